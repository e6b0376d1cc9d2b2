//! The rules as one would read them aloud: every question is answered from the whole upline, as often
//! as it is asked. The engine must give the same lines.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Breakage, MappedLine, MappedOrder, VolumeBasis};
use crate::domain::{
    id::CommissionClass,
    money::{Money, Rate, Rounding},
    plan::{
        BlockedBy, Boundary, Component, Compression, EmptyGeneration, EqualRank, ExcludedLines,
        FastStart, FastStartOrders, FirstLevel, Generation, IneligibleLeader, Infinity,
        InfinityModel, PayBase, Plan, RankRates, Unilevel, WhenInactive,
        rank::RankLevel,
        volume::{Missing, Source},
    },
};

/// Somebody above an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Above {
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) rank: u8,
}

/// What an order meets: whoever stands behind it, and everybody above them, nearest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Field {
    pub(super) referrer: Option<(Above, Vec<Above>)>,
    pub(super) own_buyer: Option<(Above, Vec<Above>)>,
    /// Days from the enrolment of the buyer, and of the referrer, to the order.
    pub(super) buyer_age: i64,
    pub(super) referrer_age: i64,
}

/// Component, order line, level, account and reason, with the money.
pub(super) type Rows = BTreeMap<(String, String, u16, String, String), Money>;

/// The lines that an order should have, without those of no money, and the pool of each component.
pub(super) fn expected(
    plan: &Plan,
    order: &MappedOrder,
    field: &Field,
) -> (Rows, BTreeMap<String, Money>) {
    let mut oracle = Oracle { plan, order, field, rows: Rows::new(), pools: BTreeMap::new() };
    for component in &plan.components {
        oracle.component(component);
    }
    (oracle.rows, oracle.pools)
}

struct Oracle<'a> {
    plan: &'a Plan,
    order: &'a MappedOrder,
    field: &'a Field,
    rows: Rows,
    pools: BTreeMap<String, Money>,
}

/// Whether somebody holds a level.
type Holds<'a> = dyn Fn(&Above, usize) -> bool + 'a;

/// What happens to the money of a place.
type Fate = Result<String, Breakage>;

impl Oracle<'_> {
    fn component(&mut self, component: &Component) {
        let id = component.id().to_string();
        let lines: Vec<MappedLine> = self.order.lines.clone();
        for line in &lines {
            let Some(class) = line.class.clone() else { continue };
            if !line.base.is_positive() || self.excluded(&id, &class) {
                continue;
            }
            match component {
                Component::Direct(_) => self.direct(component, &id, line, &class),
                Component::Unilevel(part) => self.unilevel(part, &id, line, &class),
                Component::Differential(part) => {
                    let upline = self.upline(part.starts_at);
                    let rule = (part.inactive, part.walk_limit.people());
                    self.stairs((&part.rates, &part.equal_rank), upline, rule, &id, line, &class);
                }
                Component::Infinity(part) => self.infinity(part, &id, line, &class),
                Component::Generation(part) => self.generation(part, &id, line, &class),
                Component::FastStart(part) => self.fast_start(part, &id, line, &class),
                Component::Binary(_) | Component::Matrix(_) | Component::Close(_) => {}
            }
        }
    }

    /// The rate of what the component pays on: of the net amount, or of what is left of the points of
    /// the line, each worth the conversion.
    fn share(&self, id: &str, line: &MappedLine, rate: Rate) -> Money {
        let component = self.plan.components.iter().find(|c| c.id().as_str() == id).unwrap();
        let Some(PayBase::Cv(cv)) = component.base() else {
            return line.base.scaled(rate, self.plan.rounding, self.order.currency);
        };
        let rate = rate.as_decimal() * cv.conversion.as_decimal();
        let cv = match (self.plan.volumes.as_ref().unwrap().cv, &line.volume) {
            (Source::Net { rate }, _) => cut(line.base.as_decimal() * rate.as_decimal()),
            (
                Source::Catalogue { .. },
                Some(VolumeBasis { cv: Some(unit), units, units_net, .. }),
            ) => {
                let left = cut(unit.as_decimal() * units);
                let net = (line.base.as_decimal(), units_net.as_decimal());
                if net.0 >= net.1 { left } else { cut(left * net.0 / net.1) }
            }
            (Source::Catalogue { missing: Missing::Zero }, _) => Decimal::ZERO,
            (Source::Catalogue { missing: Missing::Net }, _) => cut(line.base.as_decimal()),
        };
        let strategy = match self.plan.rounding {
            Rounding::HalfEven => RoundingStrategy::MidpointNearestEven,
            Rounding::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Rounding::HalfDown => RoundingStrategy::MidpointTowardZero,
            Rounding::Down => RoundingStrategy::ToZero,
            Rounding::Up => RoundingStrategy::AwayFromZero,
        };
        let digits = self.order.currency.minor_digits();
        Money::from_decimal((cv * rate).round_dp_with_strategy(digits, strategy)).unwrap()
    }

    fn row(&mut self, id: &str, line: &MappedLine, level: u16, fate: &Fate, amount: Money) {
        *self.pools.entry(id.to_owned()).or_default() += amount;
        if amount.is_zero() {
            return;
        }
        let (account, reason) = match fate {
            Ok(name) => (format!("distributor:{name}"), String::new()),
            Err(why) => ("breakage".to_owned(), why.as_str().to_owned()),
        };
        let key = (id.to_owned(), line.id.to_string(), level, account, reason);
        *self.rows.entry(key).or_default() += amount;
    }

    /// The rank's part of what is offered, and the rest as breakage.
    fn part(&mut self, id: &str, line: &MappedLine, level: u16, who: &Above, rates: [Rate; 2]) {
        let [own, offered] = rates.map(|rate| self.share(id, line, rate));
        self.row(id, line, level, &Ok(who.name.clone()), own);
        self.row(id, line, level, &Err(Breakage::LowerRate), offered - own);
    }

    fn upline(&self, first: FirstLevel) -> Option<Vec<Above>> {
        match (&self.field.referrer, &self.field.own_buyer, first) {
            (Some((referrer, above)), _, FirstLevel::Referrer) => {
                Some([vec![referrer.clone()], above.clone()].concat())
            }
            (Some((_, above)), _, FirstLevel::Sponsor) | (None, Some((_, above)), _) => {
                Some(above.clone())
            }
            (None, None, _) => None,
        }
    }

    fn direct(
        &mut self,
        component: &Component,
        id: &str,
        line: &MappedLine,
        class: &CommissionClass,
    ) {
        let Component::Direct(direct) = component else { return };
        let Some((referrer, above)) = self.field.referrer.clone() else { return };
        let Some(offered) = direct.rates.get(class).copied() else { return };
        let all = [vec![referrer.clone()], above].concat();
        let rolls_up = direct.inactive_referrer == crate::domain::plan::InactiveReferrer::RollUp;
        let earner = all.iter().find(|person| person.active);
        match earner {
            Some(earner) if rolls_up || referrer.active => {
                let table = direct.rates_by_rank.get(class);
                let own = table.map_or(offered, |t| *t.get(RankLevel(earner.rank)).unwrap());
                self.part(id, line, 0, earner, [own, offered]);
            }
            Some(_) | None => {
                let why = if rolls_up { Breakage::EndOfUpline } else { Breakage::Inactive };
                self.row(id, line, 0, &Err(why), self.share(id, line, offered));
            }
        }
    }

    fn unilevel(&mut self, part: &Unilevel, id: &str, line: &MappedLine, class: &CommissionClass) {
        let Some(upline) = self.upline(part.first_level) else { return };
        let Some(rates) = part.rates.get(class).cloned() else { return };
        let by_rank = part.rates_by_rank.get(class);
        // Whether the rank of somebody lets them earn a level of this class.
        let unlocked = |person: &Above, level: usize| match (by_rank, &part.unlocked) {
            (Some(table), _) => level <= table.get(RankLevel(person.rank)).unwrap().len(),
            (None, Some(unlocked)) => {
                level <= usize::from(*unlocked.get(RankLevel(person.rank)).unwrap())
            }
            (None, None) => true,
        };
        let (limit, holds): (usize, Box<Holds<'_>>) = match &part.compression {
            Compression::None => (usize::MAX, Box::new(|_, _| true)),
            Compression::RollUp => (usize::MAX, Box::new(|person, _| person.active)),
            Compression::SkipBelowRank(skip) => (
                skip.walk_limit.people(),
                Box::new(|person, _| {
                    person.rank >= skip.threshold.level().0
                        && (person.active || skip.inactive == WhenInactive::KeepsPlace)
                }),
            ),
            Compression::Dynamic(dynamic) => (
                dynamic.walk_limit.people(),
                Box::new(|person, level| person.active && unlocked(person, level)),
            ),
        };
        for (index, offered) in rates.iter().enumerate() {
            let (level, number) = (index + 1, u16::try_from(index + 1).unwrap());
            match occupant(&upline, limit, level, &holds) {
                Ok(person) if !person.active => {
                    let whole = self.share(id, line, *offered);
                    self.row(id, line, number, &Err(Breakage::Inactive), whole);
                }
                Ok(person) if !unlocked(person, level) => {
                    let whole = self.share(id, line, *offered);
                    self.row(id, line, number, &Err(Breakage::NotUnlocked), whole);
                }
                Ok(person) => {
                    let own = by_rank.map_or(*offered, |table| {
                        table.get(RankLevel(person.rank)).unwrap()[index]
                    });
                    self.part(id, line, number, person, [own, *offered]);
                }
                Err(why) => self.row(id, line, number, &Err(why), self.share(id, line, *offered)),
            }
        }
    }

    fn stairs(
        &mut self,
        (rates, equal_rank): (&RankRates, &EqualRank),
        upline: Option<Vec<Above>>,
        (inactive, limit): (WhenInactive, usize),
        id: &str,
        line: &MappedLine,
        class: &CommissionClass,
    ) {
        let (Some(upline), Some(table)) = (upline, rates.get(class)) else { return };
        let top = *table.steps().iter().max().unwrap();
        let counts = |person: &&Above| {
            (person.active || inactive == WhenInactive::KeepsPlace)
                && rates.rated(RankLevel(person.rank))
        };
        let people: Vec<&Above> = upline.iter().take(limit).filter(counts).collect();
        let mut paid = Rate::ZERO;
        let mut number = 0;
        for (index, person) in people.iter().enumerate() {
            let below = &people[..index];
            let own = *table.get(RankLevel(person.rank)).unwrap();
            let equals = below.iter().filter(|other| other.rank == person.rank).count();
            let upto = match equal_rank {
                _ if below.iter().any(|other| other.rank > person.rank) => continue,
                _ if equals == 0 => own.max(paid),
                EqualRank::MinimumOverride(minimum) if equals <= minimum.times.into() => {
                    top.min(paid.plus(minimum.rate))
                }
                EqualRank::MinimumOverride(_) | EqualRank::Nothing => continue,
            };
            number += 1;
            let amount = self.share(id, line, upto) - self.share(id, line, paid);
            let fate =
                if person.active { Ok(person.name.clone()) } else { Err(Breakage::Inactive) };
            self.row(id, line, number, &fate, amount);
            paid = upto;
        }
        let rest = self.share(id, line, top) - self.share(id, line, paid);
        self.row(id, line, number + 1, &Err(end(&upline, limit)), rest);
    }

    fn infinity(&mut self, part: &Infinity, id: &str, line: &MappedLine, class: &CommissionClass) {
        let Some(upline) = self.upline(part.starts_at) else { return };
        let limit = part.walk_limit.people();
        let there = |person: &Above| person.active || part.inactive == WhenInactive::KeepsPlace;
        match &part.model {
            InfinityModel::Differential(model) => {
                let rule = (part.inactive, limit);
                let scheme = (&model.rates, &model.equal_rank);
                self.stairs(scheme, Some(upline), rule, id, line, class);
            }
            InfinityModel::Generational(model) => {
                let leads = |p: &Above, _: usize| p.rank >= model.threshold.level().0 && there(p);
                for (index, rate) in model.rates.get(class).iter().copied().flatten().enumerate() {
                    let fate = occupant(&upline, limit, index + 1, &leads).and_then(earns);
                    let number = u16::try_from(index + 1).unwrap();
                    self.row(id, line, number, &fate, self.share(id, line, *rate));
                }
            }
            InfinityModel::PureOverride(model) => {
                let Some(table) = model.rates.get(class) else { return };
                let leader = |p: &&Above| there(p) && model.rates.rated(RankLevel(p.rank));
                let leaders: Vec<&Above> = upline.iter().take(limit).filter(leader).collect();
                let strict = model.blocked_by == BlockedBy::SameOrHigherRank;
                for (step, rate) in (0u8..).zip(table.steps()) {
                    let blocks = |p: &&&Above| strict && p.rank > step;
                    let first = leaders.iter().position(|p| p.rank == step);
                    let below = &leaders[..first.unwrap_or(leaders.len())];
                    let fate = match first {
                        _ if below.iter().any(|p| blocks(&p)) => Err(Breakage::Blocked),
                        Some(first) => earns(leaders[first]),
                        None => Err(end(&upline, limit)),
                    };
                    self.row(id, line, step.into(), &fate, self.share(id, line, *rate));
                }
            }
        }
    }

    fn generation(
        &mut self,
        part: &Generation,
        id: &str,
        line: &MappedLine,
        class: &CommissionClass,
    ) {
        let Some(upline) = self.upline(part.starts_at) else { return };
        let Some(rates) = part.rates.get(class) else { return };
        let limit = part.walk_limit.people();
        let unlocked = |p: &Above, number: usize| {
            let most = part.unlocked.as_ref().map(|table| *table.get(RankLevel(p.rank)).unwrap());
            most.is_none_or(|most| number <= most.into())
        };
        let uses = part.empty_generation == EmptyGeneration::UsesNumber;
        let begins = part.ineligible_leader == IneligibleLeader::Boundary;
        let counts = |p: &Above, number: usize| {
            p.rank >= part.boundary.threshold().0
                && if p.active { unlocked(p, number) || uses } else { begins }
        };
        let fate = |p: &Above, number: usize| {
            let locked = p.active && !unlocked(p, number);
            if locked { Err(Breakage::NotUnlocked) } else { earns(p) }
        };
        if matches!(part.boundary, Boundary::FixedRank(_)) {
            for (index, rate) in rates.iter().enumerate() {
                let number = index + 1;
                let fate = occupant(&upline, limit, number, &counts).and_then(|p| fate(p, number));
                let level = u16::try_from(number).unwrap();
                self.row(id, line, level, &fate, self.share(id, line, *rate));
            }
            return;
        }
        let people: Vec<&Above> = upline.iter().take(limit).collect();
        for (person, number) in people.iter().zip(own_numbers(&people, &counts)) {
            let Some(rate) = rates.get(number - 1).filter(|_| counts(person, number)) else {
                continue;
            };
            let level = u16::try_from(number).unwrap();
            self.row(id, line, level, &fate(person, number), self.share(id, line, *rate));
        }
    }

    /// Whoever an order of this fast start would be of, and their age in days.
    fn newcomer(&self, part: &FastStart) -> Option<(Vec<Above>, i64)> {
        let buyer = self.field.own_buyer.clone().map(|(_, up)| (up, self.field.buyer_age));
        let referrer = self.field.referrer.clone().map(|(_, up)| (up, self.field.referrer_age));
        match part.orders {
            FastStartOrders::Own => buyer,
            FastStartOrders::OwnAndReferred => buyer.or(referrer),
        }
    }

    fn fast_start(
        &mut self,
        part: &FastStart,
        id: &str,
        line: &MappedLine,
        class: &CommissionClass,
    ) {
        let Some((upline, age)) = self.newcomer(part) else { return };
        if !(-1..part.days.into()).contains(&age) {
            return;
        }
        let there = |p: &Above, _: usize| p.active || part.inactive == WhenInactive::KeepsPlace;
        for (index, rate) in part.rates.get(class).iter().copied().flatten().enumerate() {
            let fate = occupant(&upline, part.walk_limit.people(), index + 1, &there);
            let number = u16::try_from(index + 1).unwrap();
            self.row(id, line, number, &fate.and_then(earns), self.share(id, line, *rate));
        }
    }

    fn excluded(&self, id: &str, class: &CommissionClass) -> bool {
        self.plan.components.iter().any(|component| match component {
            Component::FastStart(part) => part.excludes.as_ref().is_some_and(|excludes| {
                self.newcomer(part).is_some_and(|(_, age)| (-1..part.days.into()).contains(&age))
                    && excludes.components.iter().any(|other| other.as_str() == id)
                    && (excludes.lines == ExcludedLines::All || part.rates.contains_key(class))
            }),
            Component::Direct(_)
            | Component::Unilevel(_)
            | Component::Differential(_)
            | Component::Infinity(_)
            | Component::Generation(_)
            | Component::Binary(_)
            | Component::Matrix(_)
            | Component::Close(_) => false,
        })
    }
}

/// Ten-thousandths of a point, what is finer cut off.
fn cut(points: Decimal) -> Decimal {
    points.trunc_with_scale(4)
}

fn earns(person: &Above) -> Fate {
    if person.active { Ok(person.name.clone()) } else { Err(Breakage::Inactive) }
}

/// Why nobody is there: the upline ends, or what may be looked at of it.
fn end(upline: &[Above], limit: usize) -> Breakage {
    if upline.len() > limit { Breakage::WalkLimit } else { Breakage::EndOfUpline }
}

/// Who holds a level: the first who may, above the one who holds the level before.
fn occupant<'u>(
    upline: &'u [Above],
    limit: usize,
    level: usize,
    holds: &dyn Fn(&Above, usize) -> bool,
) -> Result<&'u Above, Breakage> {
    fn place(
        upline: &[Above],
        limit: usize,
        level: usize,
        holds: &dyn Fn(&Above, usize) -> bool,
    ) -> Option<usize> {
        let from = if level == 1 { 0 } else { place(upline, limit, level - 1, holds)? + 1 };
        (from..upline.len().min(limit)).find(|index| holds(&upline[*index], level))
    }
    place(upline, limit, level, holds).map(|index| &upline[index]).ok_or_else(|| end(upline, limit))
}

/// The generation in which each stands by the own rank: one more than the leaders of that or a higher
/// rank below who count by their own numbers.
fn own_numbers(people: &[&Above], counts: &dyn Fn(&Above, usize) -> bool) -> Vec<usize> {
    let mut numbers: Vec<usize> = Vec::new();
    for person in people {
        let below = people.iter().zip(&numbers).filter(|(other, _)| other.rank >= person.rank);
        let number = 1 + below.filter(|(other, number)| counts(other, **number)).count();
        numbers.push(number);
    }
    numbers
}
