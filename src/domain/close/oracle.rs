//! The same close from the definitions, member by member, by recursion and repetition.

mod rest;

use std::collections::BTreeMap;

use super::*;
use crate::domain::{
    genealogy::DistributorStatus,
    plan::{
        close::*,
        rank::{ActiveLeg, Legs, Rank, Reach, Standing, Window},
        volume::Measure,
    },
};

/// A tree in which each member has a sponsor among those before, or none, with the numbers shuffled.
pub(super) fn shuffled_tree(seed: &[(proptest::sample::Index, bool)], order: u64) -> Vec<u32> {
    let mut names: Vec<u32> = (0..u32::try_from(seed.len()).unwrap()).collect();
    let mut dice = order | 1;
    for last in (1..names.len()).rev() {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        names.swap(last, usize::try_from(dice >> 33).unwrap() % (last + 1));
    }
    let mut sponsor = vec![NOBODY; seed.len()];
    for (place, (above, top)) in seed.iter().enumerate().skip(1) {
        if !*top {
            sponsor[usize::try_from(names[place]).unwrap()] = names[above.index(place)];
        }
    }
    sponsor
}

pub(super) fn us(number: u32) -> usize {
    usize::try_from(number).unwrap()
}

/// What the oracle says of a component.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) paid: Vec<Money>,
    pub(super) totals: Totals,
}

impl Outcome {
    fn pay(&mut self, member: usize, amount: Money) {
        self.paid[member] += amount;
    }

    fn lose(&mut self, reason: Unpaid, amount: Money) {
        if !amount.is_zero() {
            *self.totals.breakage.entry(reason).or_default() += amount;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stand {
    pub(super) active: bool,
    pub(super) paid_as: RankLevel,
    pub(super) achieved: RankLevel,
    pub(super) gv: Volume,
    pub(super) pgv: Volume,
    pub(super) active_legs: usize,
}

pub(super) struct Oracle<'a> {
    pub(super) columns: &'a Columns,
    pub(super) parts: &'a CloseParts,
    pub(super) inputs: &'a Inputs,
    pub(super) rounding: Rounding,
    pub(super) currency: Currency,
    pub(super) stands: Vec<Stand>,
}

impl Oracle<'_> {
    pub(super) fn sponsor(&self, member: usize) -> Option<usize> {
        Some(self.columns.sponsor[member]).filter(|s| *s != NOBODY).map(us)
    }

    pub(super) fn frontline(&self, member: usize) -> Vec<usize> {
        (0..self.columns.sponsor.len()).filter(|m| self.sponsor(*m) == Some(member)).collect()
    }

    fn organisation(&self, member: usize) -> Vec<usize> {
        let below = self.frontline(member).into_iter().flat_map(|m| self.organisation(m));
        std::iter::once(member).chain(below).collect()
    }

    pub(super) fn upline(&self, member: usize) -> Vec<usize> {
        std::iter::successors(self.sponsor(member), |m| self.sponsor(*m)).collect()
    }

    pub(super) fn measure(&self, measure: Measure, member: usize) -> Volume {
        match measure {
            Measure::Pv => self.columns.pv[member],
            Measure::Qv => self.columns.qv[member],
            Measure::Cv => self.columns.cv[member],
        }
        .max(Volume::ZERO)
    }

    /// What is below zero and counts in the next period.
    pub(super) fn carried_volume(&self) -> Vec<BelowZero> {
        let mut carried = Vec::new();
        for (index, member) in (0..self.columns.sponsor.len()).zip(0..) {
            let below = |column: &[Volume]| column[index].min(Volume::ZERO);
            let (pv, qv) = (below(&self.columns.pv), below(&self.columns.qv));
            let cv = below(&self.columns.cv);
            let any = [pv, qv, cv].iter().any(|volume| *volume < Volume::ZERO);
            if any && self.parts.volumes.negative_volume == NegativeVolume::Carry {
                carried.push(BelowZero { member, pv, qv, cv });
            }
        }
        carried
    }

    pub(super) fn group(&self, measure: Measure, member: usize) -> Volume {
        self.organisation(member).into_iter().map(|m| self.measure(measure, m)).sum()
    }

    pub(super) fn level(&self, rank: &crate::domain::id::RankId) -> RankLevel {
        let place = self.parts.ranks.iter().position(|r| r.id == *rank).unwrap();
        RankLevel(u8::try_from(place + 1).unwrap())
    }

    fn active(&self, member: usize) -> bool {
        let rules = &self.parts.activity;
        let mut window = vec![self.measure(Measure::Pv, member)];
        for earlier in &self.columns.earlier_pv {
            if window.len() < usize::from(rules.look_back) {
                window.push(earlier[member].max(Volume::ZERO));
            }
        }
        let enough = match rules.window {
            _ if rules.pv <= Volume::ZERO => true,
            Window::AnyPeriod => window.iter().any(|pv| *pv >= rules.pv),
            Window::Sum => window.into_iter().sum::<Volume>() >= rules.pv,
        };
        let bought = rules.order.is_none() || self.columns.ordered[member];
        enough && bought && self.columns.status[member] == DistributorStatus::Active
    }

    /// Down to and without the next leaders, by the ranks known so far.
    fn own_group(&self, member: usize) -> Volume {
        let leader = self.parts.ladder.leader.as_ref().map(|rank| self.level(rank));
        let below = self.frontline(member).into_iter();
        let mine = below.filter(|m| leader.is_none_or(|leader| self.stands[*m].paid_as < leader));
        self.measure(self.parts.volumes.group, member) + mine.map(|m| self.own_group(m)).sum()
    }

    fn leg_rank(&self, member: usize) -> RankLevel {
        let stand = self.stands[member];
        match self.parts.ladder.leg_rank {
            Standing::PaidAs => stand.paid_as,
            Standing::Achieved => stand.achieved.max(stand.paid_as),
        }
    }

    fn active_legs(&self, member: usize) -> usize {
        let legs = self.frontline(member).into_iter();
        let counts = |leg: &usize| match self.parts.activity.active_leg {
            ActiveLeg::Frontline => self.active(*leg),
            ActiveLeg::Anyone => self.organisation(*leg).into_iter().any(|m| self.active(m)),
        };
        legs.filter(counts).count()
    }

    pub(super) fn meets(&self, rank: &Rank, member: usize) -> bool {
        let measure = self.parts.volumes.group;
        let legs = self.frontline(member);
        let leg_holds = |leg: &usize, wanted: &Legs| {
            wanted.gv.is_none_or(|gv| self.group(measure, *leg) >= gv)
                && wanted.rank.as_ref().is_none_or(|rank| {
                    let wanted = self.level(rank);
                    self.organisation(*leg).into_iter().any(|m| self.leg_rank(m) >= wanted)
                })
        };
        let gv_holds = rank.gv.is_none_or(|gv| {
            let cap = rank.leg_cap.map(|cap| gv.portion(cap));
            let counted = |leg: &usize| {
                let volume = self.group(measure, *leg);
                cap.map_or(volume, |cap| volume.min(cap))
            };
            self.measure(measure, member) + legs.iter().map(counted).sum() >= gv
        });
        let enrolled = legs.iter().filter(|m| self.active(**m)).count();
        (!rank.active || self.active(member))
            && rank.pv.is_none_or(|pv| self.measure(Measure::Pv, member) >= pv)
            && rank.qv.is_none_or(|qv| self.measure(Measure::Qv, member) >= qv)
            && rank.accumulated.is_none_or(|volume| self.columns.accumulated[member] >= volume)
            && rank.pgv.is_none_or(|pgv| self.own_group(member) >= pgv)
            && gv_holds
            && self.active_legs(member) >= usize::from(rank.active_legs)
            && enrolled >= usize::from(rank.enrolled_active)
            && rank.legs.iter().all(|wanted| {
                let count = legs.iter().filter(|leg| leg_holds(leg, wanted)).count();
                count >= usize::from(wanted.count)
            })
    }

    /// One member's standing by what is known of the others.
    fn stand(&self, member: usize) -> Stand {
        let meets: Vec<bool> = self.parts.ranks.iter().map(|r| self.meets(r, member)).collect();
        let steps = match self.parts.ladder.reach {
            Reach::HighestMet => meets.iter().rposition(|meets| *meets).map_or(0, |i| i + 1),
            Reach::EachStep => meets.iter().position(|meets| !*meets).unwrap_or(meets.len()),
        };
        let mut paid_as = RankLevel(u8::try_from(steps).unwrap());
        let held = self.inputs.forced.iter().filter(|f| us(f.member) == member);
        let held = held.filter(|f| f.hold == Hold::Exactly).map(|f| f.rank).min();
        let reached = held.map_or(paid_as, |held| held.min(paid_as));
        let mut achieved = self.columns.achieved[member].max(reached);
        for forced in self.inputs.forced.iter().filter(|f| us(f.member) == member) {
            paid_as = match forced.hold {
                Hold::AtLeast => paid_as.max(forced.rank),
                Hold::Exactly => forced.rank,
            };
            if forced.raises_title {
                achieved = achieved.max(forced.rank);
            }
        }
        Stand {
            active: self.active(member),
            paid_as,
            achieved,
            gv: self.group(self.parts.volumes.group, member),
            pgv: self.own_group(member),
            active_legs: self.active_legs(member),
        }
    }

    /// One pass over everybody in the order of their numbers. Returns whether something changed.
    pub(super) fn pass(&mut self) -> bool {
        let before = self.stands.clone();
        for member in 0..self.stands.len() {
            self.stands[member] = self.stand(member);
        }
        before != self.stands
    }

    pub(super) fn settle(&mut self) {
        let most = self.stands.len() + 2;
        for _ in 0..most {
            if !self.pass() {
                return;
            }
        }
        panic!("the ranks do not settle");
    }

    pub(super) fn rank(&self, standing: Standing, member: usize) -> RankLevel {
        match standing {
            Standing::PaidAs => self.stands[member].paid_as,
            Standing::Achieved => self.stands[member].achieved,
        }
    }

    /// Through decimals, where the engine divides whole numbers.
    pub(super) fn money(&self, volume: Volume, own: Option<Conversion>, rate: Rate) -> Money {
        let conversion = own.unwrap_or(self.parts.volumes.conversion);
        let points = Money::from_decimal(volume.as_decimal()).unwrap();
        points.times(conversion.as_decimal()).scaled(rate, self.rounding, self.currency)
    }

    pub(super) fn run(&mut self) -> Vec<Outcome> {
        self.settle();
        let mut done: Vec<Outcome> = Vec::new();
        for component in &self.parts.components {
            let mut outcome = match component {
                CloseComponent::Given(given) => self.given(given),
                CloseComponent::UnilevelVolume(plan) => self.unilevel(plan),
                CloseComponent::Bracket(plan) => self.bracket(plan),
                CloseComponent::Breakaway(plan) => self.breakaway(plan),
                CloseComponent::Matching(plan) => self.matching(plan, &done),
                CloseComponent::RankBonus(plan) => self.bonus(plan),
                CloseComponent::Pool(plan) => self.pool(plan),
            };
            outcome.id = component.id().to_string();
            done.push(outcome);
            for cap in self.parts.caps.iter().filter(|cap| cap.after == *component.id()) {
                self.cap(cap, &mut done);
            }
        }
        for outcome in &mut done {
            outcome.totals.paid = outcome.paid.iter().copied().sum();
        }
        done
    }

    pub(super) fn blank(&self) -> Outcome {
        Outcome { paid: vec![Money::ZERO; self.stands.len()], ..Outcome::default() }
    }

    fn given(&self, plan: &Given) -> Outcome {
        let mut out = self.blank();
        out.paid =
            self.inputs.given.iter().find(|g| g.component == plan.id).unwrap().earned.clone();
        out.totals.pool = out.paid.iter().copied().sum();
        let given = self.inputs.given.iter().find(|g| g.component == plan.id);
        if let Some(unearned) = given.and_then(|given| given.unearned.as_ref()) {
            for (reason, amount) in unearned.breakage.iter().filter(|(_, a)| !a.is_zero()) {
                out.totals.pool += *amount;
                out.totals.breakage.insert(*reason, *amount);
            }
            if !unearned.capped.is_zero() {
                out.totals.pool += unearned.capped;
                out.totals.capped.insert(plan.id.clone(), unearned.capped);
            }
        }
        out
    }

    /// The rates of a member by rank.
    fn row<'r>(&self, rows: &'r [RateRow], rank: RankLevel) -> &'r [Rate] {
        let reached =
            |row: &&RateRow| row.from.as_ref().is_none_or(|from| self.level(from) <= rank);
        rows.iter().rfind(reached).map_or(&[], |row| &row.rates)
    }

    fn open(&self, tiers: &[Unlock], member: usize) -> usize {
        let legs = self.stands[member].active_legs;
        let reached = tiers.iter().filter(|tier| usize::from(tier.active_legs) <= legs);
        let most = reached.map(|tier| usize::from(tier.levels)).max().unwrap_or(0);
        if tiers.is_empty() { usize::MAX } else { most }
    }

    pub(super) fn rate_at(
        &self,
        rows: &[RateRow],
        standing: Standing,
        tiers: &[Unlock],
        (member, level): (usize, usize),
    ) -> Result<Rate, Unpaid> {
        if !self.stands[member].active {
            Err(Unpaid::NotActive)
        } else if self.open(tiers, member) < level {
            Err(Unpaid::LevelLocked)
        } else {
            let row = self.row(rows, self.rank(standing, member));
            row.get(level - 1).copied().ok_or(Unpaid::RankTooLow)
        }
    }

    /// Who holds the levels from 1 to `levels` above a member.
    pub(super) fn holders(
        &self,
        member: usize,
        levels: usize,
        compression: VolumeCompression,
        open: impl Fn(usize, usize) -> bool,
    ) -> Vec<Option<usize>> {
        let mut holders = Vec::new();
        for above in self.upline(member) {
            let level = holders.len() + 1;
            let holds = match compression {
                VolumeCompression::None => true,
                VolumeCompression::RollUp => self.stands[above].active,
                VolumeCompression::Dynamic => level <= levels && open(above, level),
            };
            if holds && level <= levels {
                holders.push(Some(above));
            }
        }
        holders.resize(levels, None);
        holders
    }

    pub(super) fn top(rows: &[RateRow]) -> Vec<Rate> {
        let longest = rows.iter().map(|row| row.rates.len()).max().unwrap();
        let best = |level: usize| rows.iter().filter_map(|row| row.rates.get(level)).max();
        (0..longest).map(|level| *best(level).unwrap()).collect()
    }

    fn unilevel(&self, plan: &UnilevelVolume) -> Outcome {
        let mut out = self.blank();
        let top = Self::top(&plan.rates);
        let rate = |m, level| self.rate_at(&plan.rates, plan.rank, &plan.unlock, (m, level));
        let mut stood: BTreeMap<(usize, Option<usize>), Volume> = BTreeMap::new();
        for member in 0..self.stands.len() {
            let open = |above, level: usize| {
                let own = rate(above, level);
                own.is_ok_and(|own| own != Rate::ZERO || top[level - 1] == Rate::ZERO)
            };
            let holders = self.holders(member, top.len(), plan.compression, open);
            for (index, holder) in holders.into_iter().enumerate() {
                *stood.entry((index, holder)).or_default() += self.measure(Measure::Cv, member);
            }
        }
        for ((index, holder), volume) in stood.into_iter().filter(|(_, v)| v.is_positive()) {
            let offered = self.money(volume, plan.conversion, top[index]);
            out.totals.pool += offered;
            match holder.ok_or(Unpaid::EndOfUpline).and_then(|m| Ok((m, rate(m, index + 1)?))) {
                Err(reason) => out.lose(reason, offered),
                Ok((member, rate)) => {
                    let amount = self.money(volume, plan.conversion, rate);
                    out.pay(member, amount);
                    out.lose(Unpaid::LowerRate, offered - amount);
                }
            }
        }
        out
    }
}
