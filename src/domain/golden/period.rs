//! The periods of a case, one after the other, computed by the engines of the close.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;

use super::{
    Failure, Unusable, activity,
    company::{Company, NO_RANK},
    order::word,
    pairs::{Pairs, Standings},
    verify::{Diff, Got, Place, Report, Results},
};
use crate::domain::{
    close::{
        Base, BelowZero, Carried, Close, ClosePlan, Columns, Earning, ForcedRank, GivenEarnings,
        Inputs, Instead, MemberStory, PaidRank, Population, Ranking, Shortfall, Title, Withheld,
        evaluate,
    },
    id::{ComponentId, Operator, RankId, Reason},
    money::Money,
    plan::{
        Component,
        case::{BREAKAGE, CAPPED, CARRIED, PeriodRow, Points, RankExpect},
        close::CloseComponent,
        rank::RankLevel,
        volume::{LineVolumes, Measure},
    },
    volume::Volume,
};

/// What goes on from one period to the next.
struct Running<'a> {
    company: &'a Company<'a>,
    close: ClosePlan,
    pairs: Pairs<'a>,
    achieved: Vec<RankLevel>,
    accumulated: Vec<Volume>,
    /// The PV of the periods before, the last one first.
    earlier_pv: Vec<Vec<Volume>>,
    /// What the orders of each period brought that make somebody active, the last one first.
    orders: Vec<Vec<Volume>>,
    paid_ranks: Vec<PaidRank>,
    carried: Vec<Carried>,
    /// The volume below zero that goes into the next period.
    below_zero: Vec<BelowZero>,
}

/// A period as the engines have it.
struct Closed {
    population: Population,
    close: Close,
}

/// Computes the periods and holds them against what is expected.
pub(super) fn compute(
    periods: &[Spanned<PeriodRow>],
    company: &Company<'_>,
    report: &Report<'_>,
) -> Result<Vec<Failure>, Unusable> {
    let Some(first) = periods.first() else { return Ok(Vec::new()) };
    let mut running = Running::new(company, company.cases.line(first))?;
    let mut failures = Vec::new();
    for (number, spanned) in (1..).zip(periods) {
        let (line, row) = (company.cases.line(spanned), spanned.get_ref());
        let place = Place::new("period", number, line);
        let mut results = Results::default();
        let closed = running.period(spanned, &mut results)?;
        failures.extend(report.money(&place, &mut results, &row.expect, &row.totals)?);
        for expected in &row.ranks {
            failures.extend(running.ranks(&place, expected, &closed)?);
        }
        for spanned in &row.carry {
            let (line, expected) = (company.cases.line(spanned), spanned.get_ref());
            let (component, carry) = running.pairs.carried(expected, line)?;
            if (carry.left, carry.right) != (expected.left.0, expected.right.0) {
                let legs = |left, right| format!("left {left}, right {right}");
                let why = results.steps.get(component).into_iter().flatten();
                let why = why.map(|step| step.told.clone()).collect();
                let expected_legs = legs(expected.left.0, expected.right.0);
                let got = legs(carry.left, carry.right);
                let about = format!("{}, carry of {component}", expected.who);
                let diff = Diff { expected: expected_legs, got, why };
                failures.push(place.failure(line, about, diff));
            }
        }
    }
    Ok(failures)
}

impl<'a> Running<'a> {
    fn new(company: &'a Company<'a>, line: usize) -> Result<Self, Unusable> {
        let close = company.plan.close().map_err(|error| Unusable::new(line, error))?;
        let (Some(close), Some(currency)) = (close, company.plan.currency) else {
            return Err(Unusable::new(line, "the plan has nothing that a period computes"));
        };
        // Before the first period nobody had volume.
        let activity = company.plan.activity.as_ref();
        let earlier = activity.map_or(0, |activity| usize::from(activity.look_back));
        let mut running = Self {
            company,
            close,
            pairs: Pairs::new(company, currency)?,
            achieved: Vec::new(),
            accumulated: Vec::new(),
            earlier_pv: vec![vec![Volume::ZERO; company.members.len()]; earlier],
            orders: Vec::new(),
            paid_ranks: Vec::new(),
            carried: Vec::new(),
            below_zero: Vec::new(),
        };
        for spanned in &company.members {
            let (line, row) = (company.cases.line(spanned), spanned.get_ref());
            let achieved = row.achieved.as_ref().map(|rank| company.level(rank, line));
            running.achieved.push(achieved.transpose()?.unwrap_or_default());
            running.accumulated.push(row.accumulated.0);
        }
        Ok(running)
    }

    /// Closes a period and remembers what goes on.
    fn period(
        &mut self,
        spanned: &Spanned<PeriodRow>,
        results: &mut Results,
    ) -> Result<Closed, Unusable> {
        let (line, row) = (self.company.cases.line(spanned), spanned.get_ref());
        self.orders.insert(0, activity::orders(self.company, row)?);
        let ordered = activity::ordered(self.company, &self.orders);
        let mut columns = Columns { ordered, ..self.columns(row)? };
        let carried = columns.carry_in(&self.below_zero);
        carried.map_err(|error| Unusable::new(line, error))?;
        let population = Population::new(&columns).map_err(|error| Unusable::new(line, error))?;
        let forced = self.forced(row)?;
        let ranking = self.close.ranks().rank(&population, &forced);
        let mut given = self.given(row)?;
        let standings = self.standings(&population, &ranking);
        given.extend(self.pairs.close(self.company, spanned, &standings, results)?);
        let wanted: Vec<&ComponentId> = self.close.given().collect();
        for id in &wanted {
            if !given.iter().any(|given| given.component == **id) {
                let earned = vec![Money::ZERO; self.company.members.len()];
                given.push(GivenEarnings { component: (*id).clone(), earned, unearned: None });
            }
        }
        given.retain(|given| wanted.contains(&&given.component));
        let (paid_ranks, carried) = (self.paid_ranks.clone(), self.carried.clone());
        let inputs = Inputs { forced, given, paid_ranks, carried };
        let close = evaluate(&self.close, &population, &inputs);
        let close = close.map_err(|error| Unusable::new(line, error))?;
        let closed = Closed { population, close };
        self.put_down(&closed, results);
        self.remember(columns, &closed);
        Ok(closed)
    }

    fn columns(&self, row: &PeriodRow) -> Result<Columns, Unusable> {
        let company = self.company;
        let len = company.members.len();
        let nothing = vec![Volume::ZERO; len];
        let mut columns = Columns {
            sponsor: company.sponsors.clone(),
            status: company.members.iter().map(|row| row.get_ref().status).collect(),
            pv: nothing.clone(),
            qv: nothing.clone(),
            cv: nothing,
            accumulated: self.accumulated.clone(),
            earlier_pv: self.earlier_pv.clone(),
            ordered: Vec::new(),
            achieved: self.achieved.clone(),
        };
        for spanned in &row.volumes {
            let line = company.cases.line(spanned);
            let member = index(company.bearer(&spanned.get_ref().who, line)?);
            let LineVolumes { pv, qv, cv } = company.volumes(spanned)?;
            let columns = [&mut columns.pv, &mut columns.qv, &mut columns.cv];
            for (column, volume) in columns.into_iter().zip([pv, qv, cv]) {
                if let Some(sum) = column.get_mut(member) {
                    *sum += volume;
                }
            }
        }
        let own = self.grouped(&columns);
        for (sum, volume) in columns.accumulated.iter_mut().zip(own) {
            *sum += volume;
        }
        Ok(columns)
    }

    /// What groups and lifetimes add up of each member.
    fn grouped(&self, columns: &Columns) -> Vec<Volume> {
        let measure = self.company.plan.volumes.as_ref().map(|volumes| volumes.group);
        match measure.unwrap_or(Measure::Pv) {
            Measure::Pv => columns.pv.clone(),
            Measure::Qv => columns.qv.clone(),
            Measure::Cv => columns.cv.clone(),
        }
    }

    fn forced(&self, row: &PeriodRow) -> Result<Vec<ForcedRank>, Unusable> {
        let force = |spanned: &Spanned<_>| {
            let (line, row): (usize, &crate::domain::plan::case::ForcedRow) =
                (self.company.cases.line(spanned), spanned.get_ref());
            let wrong = |error| Unusable::new(line, error);
            Ok(ForcedRank {
                member: self.company.find(&row.who, line)?,
                rank: self.company.level(&row.rank, line)?,
                hold: row.hold,
                raises_title: false,
                operator: Operator::parse("case").map_err(wrong)?,
                reason: Reason::parse("stated by the case").map_err(wrong)?,
            })
        };
        row.forced.iter().map(force).collect()
    }

    /// What the case says of components that are computed for each order.
    fn given(&self, row: &PeriodRow) -> Result<Vec<GivenEarnings>, Unusable> {
        let mut by_component: BTreeMap<&ComponentId, Vec<Money>> = BTreeMap::new();
        for spanned in &row.given {
            let (line, row) = (self.company.cases.line(spanned), spanned.get_ref());
            let mut components = self.company.plan.components.iter();
            if !components.any(|c| c.of_orders() && *c.id() == row.component) {
                let problem = format!("{} is no component of orders of the plan", row.component);
                return Err(Unusable::new(line, problem));
            }
            let member = index(self.company.find(&row.who, line)?);
            let column = by_component
                .entry(&row.component)
                .or_insert_with(|| vec![Money::ZERO; self.company.members.len()]);
            if let Some(sum) = column.get_mut(member) {
                *sum += row.amount.0;
            }
        }
        let given = by_component.into_iter();
        Ok(given
            .map(|(component, earned)| (component.clone(), earned))
            .map(|(component, earned)| GivenEarnings { component, earned, unearned: None })
            .collect())
    }

    fn standings(&self, population: &Population, ranking: &Ranking) -> Standings {
        let positions = || self.company.numbered().filter_map(|(m, _)| population.position(m));
        let rank = |position| ranking.paid_as.get(index(position)).copied().unwrap_or_default();
        Standings {
            active: positions().map(|position| ranking.is_active(position)).collect(),
            ranks: positions().map(|p| self.close.ladder().rank(rank(p)).cloned()).collect(),
        }
    }

    /// Puts down the lines of the close, what caps took, and why there is nothing.
    fn put_down(&self, closed: &Closed, results: &mut Results) {
        let (population, close) = (&closed.population, &closed.close);
        for component in close.components() {
            let id = &component.id;
            let paired = results.totals.contains_key(id);
            let totals = results.totals.entry(id.clone()).or_default();
            let broken: Money = component.totals.breakage.values().copied().sum();
            let capped: Money = component.totals.capped.values().copied().sum();
            if !paired {
                totals.pool = component.totals.pool;
            }
            totals.paid = component.totals.paid;
            totals.breakage += broken;
            totals.capped += capped;
            totals.carried += component.totals.carried;
            if !paired {
                results.got.extend(close.lines(id, population).map(|line| self.line(id, &line)));
            }
            let breakage = component.totals.breakage.iter();
            let breakage = breakage.map(|(reason, amount)| (BREAKAGE, word(reason), *amount));
            let capped = component.totals.capped.iter();
            let capped = capped.map(|(cap, amount)| (CAPPED, cap.as_str().into(), *amount));
            let carried = [(CARRIED, "nobody_qualified".into(), component.totals.carried)];
            for (who, reason, amount) in breakage.chain(capped).chain(carried) {
                results.got.push(Got {
                    component: id.clone(),
                    who: who.into(),
                    level: None,
                    told: format!("{id}: {who} ({reason}) {amount}"),
                    reason: Some(reason),
                    amount,
                });
            }
        }
        let stories = close.stories(&self.close, population);
        for (member, name) in self.company.numbered() {
            let Some(story) = stories.of(member) else { continue };
            for part in story.components {
                for withheld in &part.withheld {
                    let told = self.not_got(&part.component, name.as_str(), withheld);
                    results.step(&part.component, name.as_str(), told);
                }
                for (cap, amount) in part.cuts {
                    let told = format!("{}: {name}: the cap {cap} takes {amount}", part.component);
                    let (component, who) = (part.component.clone(), name.as_str().into());
                    let (level, reason) = (None, None);
                    results.got.push(Got { component, who, level, reason, amount: -amount, told });
                }
                let of = (part.component.clone(), name.as_str().into());
                if let Some(reason) = part.unpaid {
                    results.nothing.entry(of).or_insert_with(|| word(&reason));
                }
                if let Some(standing) = part.bracket {
                    let bracket = standing.bracket.map(|step| step.rate.to_string());
                    let next = standing.next.map(|s| format!(", {} from {}", s.rate, s.from));
                    let told = format!(
                        "{}: group of {name} {}: {}{}",
                        part.component,
                        standing.group,
                        bracket.as_deref().unwrap_or("below the first bracket"),
                        next.unwrap_or_default()
                    );
                    results.step(&part.component, name.as_str(), told);
                }
            }
        }
    }

    /// What a member did not get, and who has it.
    fn not_got(&self, component: &ComponentId, name: &str, withheld: &Withheld) -> String {
        let level = Some(withheld.level).filter(|level| *level > 0);
        let level = level.map(|level| format!(" level {level},")).unwrap_or_default();
        let of = withheld.source.map(|source| format!(" of {}", self.company.name(source)));
        let has = match withheld.to {
            Instead::Company => "the company keeps it".to_owned(),
            Instead::Member(member) => format!("it goes to {}", self.company.name(member)),
            Instead::Rose(member) => {
                format!("it rises to {}, who does not get it either", self.company.name(member))
            }
            Instead::Nobody => "nobody above can have it".to_owned(),
            Instead::Earlier => "it was paid before".to_owned(),
            Instead::Later => "it stays due".to_owned(),
        };
        let (amount, reason) = (withheld.amount, word(&withheld.reason));
        let of = of.unwrap_or_default();
        format!("{component}:{level} {name} does not get {amount}{of} ({reason}): {has}")
    }

    fn line(&self, component: &ComponentId, line: &Earning) -> Got {
        let who = self.company.name(line.member);
        let of = line.source.map(|source| format!(", from {}", self.company.name(source)));
        let base = match line.base {
            Base::Volume(volume) => format!("{volume} points"),
            Base::Money(money) => money.to_string(),
        };
        // The level of a rank is its step, that of a pool the number of shares.
        let level = match line.title {
            Title::Rank | Title::Shares => None,
            Title::Share | Title::OwedToFrontline | Title::Guarantee | Title::Guaranteed => {
                Some(line.level).filter(|level| *level > 0)
            }
        };
        let at = level.map(|level| format!(" level {level},")).unwrap_or_default();
        let told = format!(
            "{component}:{at} {who}{}: {} {} of {base} = {}",
            of.unwrap_or_default(),
            word(&line.title),
            line.rate,
            line.amount
        );
        let (component, who, amount) = (component.clone(), who.into(), line.amount);
        Got { component, who, level, reason: None, amount, told }
    }

    fn remember(&mut self, columns: Columns, closed: &Closed) {
        let (population, close) = (&closed.population, &closed.close);
        let achieved = &close.ranking.achieved;
        for (member, rank) in (0_u32..).zip(&mut self.achieved) {
            let position = population.position(member).map(index);
            *rank = position.and_then(|p| achieved.get(p).copied()).unwrap_or_default();
        }
        self.accumulated = columns.accumulated;
        self.earlier_pv.insert(0, columns.pv);
        self.below_zero.clone_from(&close.carried_volume);
        for component in &self.company.plan.components {
            let Component::Close(part) = component else { continue };
            match part {
                CloseComponent::RankBonus(bonus) => {
                    let lines = close.lines(&bonus.id, population);
                    for line in lines.filter(|line| line.title == Title::Rank) {
                        let rank = RankLevel(u8::try_from(line.level).unwrap_or(u8::MAX));
                        let (component, member) = (bonus.id.clone(), line.member);
                        self.paid_ranks.push(PaidRank { component, member, rank });
                    }
                }
                CloseComponent::Pool(pool) => {
                    self.carried.retain(|carried| carried.component != pool.id);
                    let found = close.component(&pool.id);
                    let amount = found.map(|found| found.totals.carried).unwrap_or_default();
                    self.carried.push(Carried { component: pool.id.clone(), amount });
                }
                CloseComponent::Given(_)
                | CloseComponent::UnilevelVolume(_)
                | CloseComponent::Bracket(_)
                | CloseComponent::Breakaway(_)
                | CloseComponent::Matching(_) => {}
            }
        }
    }

    /// Holds the rank of a member, and what it rests on, against what is expected.
    fn ranks(
        &self,
        place: &Place,
        spanned: &Spanned<RankExpect>,
        closed: &Closed,
    ) -> Result<Vec<Failure>, Unusable> {
        let company = self.company;
        let (line, expected) = (company.cases.line(spanned), spanned.get_ref());
        let member = company.find(&expected.who, line)?;
        let story = closed.close.explain(&self.close, &closed.population, member);
        let Some(story) = story else { return Ok(Vec::new()) };
        for rank in [&expected.paid_as, &expected.achieved].into_iter().flatten() {
            company.level(rank, line)?;
        }
        let rank = |rank: &Option<RankId>| rank.as_ref().map_or(NO_RANK, RankId::as_str).to_owned();
        let named = |rank: &Option<RankId>| rank.as_ref().map(ToString::to_string);
        let points = |points: Option<Points>| points.map(|points| points.0.to_string());
        let missing: Vec<Box<str>> = story.missing.iter().map(requirement).collect();
        let pairs = [
            ("paid as", named(&expected.paid_as), rank(&story.paid_as)),
            ("achieved", named(&expected.achieved), rank(&story.achieved)),
            ("active", expected.active.map(|is| is.to_string()), story.active.to_string()),
            ("GV", points(expected.gv), story.gv.to_string()),
            ("PGV", points(expected.pgv), story.pgv.to_string()),
            ("missing", expected.missing.as_ref().map(|all| all.join(", ")), missing.join(", ")),
        ];
        let wrong = pairs.into_iter().filter_map(|(what, expected, got)| {
            let expected = expected.filter(|expected| *expected != got)?;
            let about = format!("{}, {what}", company.name(member));
            Some(place.failure(line, about, Diff { expected, got, why: standing(&story) }))
        });
        Ok(wrong.collect())
    }
}

/// The name of a requirement.
fn requirement(shortfall: &Shortfall) -> Box<str> {
    let value = serde_json::to_value(shortfall).unwrap_or_default();
    value.get("requirement").and_then(Value::as_str).unwrap_or_default().into()
}

/// What a member's rank rests on.
fn standing(story: &MemberStory) -> Vec<String> {
    let active = if story.active { "active" } else { "not active" };
    let mut told = vec![format!(
        "{active}, GV {}, PGV {}, {} active legs",
        story.gv, story.pgv, story.active_legs
    )];
    let next = story.next.as_ref().map_or(NO_RANK, RankId::as_str);
    told.extend(story.missing.iter().map(|shortfall| {
        let value = serde_json::to_value(shortfall).unwrap_or_default();
        let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let fields = fields.filter(|(key, _)| *key != "requirement");
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields: Vec<String> =
            fields.map(|(key, value)| format!("{key} {}", text(value))).collect();
        format!("for {next}: {} {}", requirement(shortfall), fields.join(", "))
    }));
    told
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
