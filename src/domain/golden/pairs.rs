//! The binaries and matrices of a plan at the close of a case's period.

use toml::Spanned;

use super::{
    Unusable,
    company::Company,
    order::word,
    places::Places,
    verify::{Got, Results},
};
use crate::domain::{
    close::{
        GivenEarnings,
        binary::{self, Input, LegVolumes, Legs, Rules, Settled, standings},
        matrix::{self, Climb},
    },
    id::{ComponentId, RankId},
    money::{Currency, Money},
    placement::{BinaryTree, MatrixTree, Position, Side, Spans},
    plan::{
        Component,
        case::{BREAKAGE, CAPPED, CarryExpect, PeriodRow, VolumeRow},
        pairs::{Binary, Matrix, MatrixLine},
    },
    volume::Volume,
};

/// The reason under which what a binary's own caps take stands.
const OWN_CAP: &str = "cap";

/// What the pairs of a plan need from one period to the next.
pub(super) struct Pairs<'a> {
    currency: Currency,
    binaries: Vec<Legged<'a>>,
    matrices: Vec<(&'a Matrix, Places<'a, MatrixTree>)>,
}

struct Legged<'a> {
    plan: &'a Binary,
    rules: Rules,
    places: Places<'a, BinaryTree>,
    carry: Vec<Legs>,
    /// What each position brought in the periods before, the last one first.
    before: Vec<Vec<Volume>>,
}

/// Who is active and of which rank, by the members' numbers.
pub(super) struct Standings {
    pub(super) active: Vec<bool>,
    pub(super) ranks: Vec<Option<RankId>>,
}

/// A period of a case.
struct Scene<'a> {
    company: &'a Company<'a>,
    standings: &'a Standings,
    currency: Currency,
    rows: &'a [Spanned<VolumeRow>],
    line: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(company: &Company<'a>, currency: Currency) -> Result<Self, Unusable> {
        let mut pairs = Self { currency, binaries: Vec::new(), matrices: Vec::new() };
        for component in &company.plan.components {
            match component {
                Component::Binary(plan) => pairs.binaries.push(Legged {
                    plan,
                    rules: Rules::new(plan.clone(), company.plan.rounding, currency),
                    places: Places::binary(company)?,
                    carry: Vec::new(),
                    before: Vec::new(),
                }),
                Component::Matrix(plan) => {
                    pairs.matrices.push((plan, Places::matrix(company, plan)?));
                }
                Component::Direct(_)
                | Component::Unilevel(_)
                | Component::Differential(_)
                | Component::Infinity(_)
                | Component::Generation(_)
                | Component::FastStart(_)
                | Component::Close(_) => {}
            }
        }
        Ok(pairs)
    }

    /// Closes a period of all of them. Gives what members earned, for what counts it.
    pub(super) fn close(
        &mut self,
        company: &Company<'_>,
        spanned: &Spanned<PeriodRow>,
        standings: &Standings,
        results: &mut Results,
    ) -> Result<Vec<GivenEarnings>, Unusable> {
        let (line, rows) = (company.cases.line(spanned), &*spanned.get_ref().volumes);
        let scene = Scene { company, standings, currency: self.currency, rows, line };
        let mut given = Vec::new();
        for legged in &mut self.binaries {
            let earned = legged.close(&scene, results)?;
            let component = legged.plan.id.clone();
            given.push(GivenEarnings { component, earned, unearned: None });
        }
        for (plan, places) in &self.matrices {
            let earned = climb(plan, places, &scene, results)?;
            given.push(GivenEarnings { component: plan.id.clone(), earned, unearned: None });
        }
        Ok(given)
    }

    /// What a position carries, and what the binary is called.
    pub(super) fn carried(
        &self,
        expected: &CarryExpect,
        line: usize,
    ) -> Result<(&ComponentId, Legs), Unusable> {
        let named = |legged: &&Legged<'_>| {
            expected.component.as_ref().is_none_or(|component| *component == legged.plan.id)
        };
        let mut found = self.binaries.iter().filter(named);
        let (Some(legged), None) = (found.next(), found.next()) else {
            let problem = "`carry` is that of one binary of the plan: name it as `component`";
            return Err(Unusable::new(line, problem));
        };
        let position = legged.places.position(&expected.who, line)?;
        let carry = legged.carry.get(position.index()).copied();
        Ok((&legged.plan.id, carry.unwrap_or(Legs::ZERO)))
    }
}

impl Legged<'_> {
    fn close(&mut self, scene: &Scene<'_>, results: &mut Results) -> Result<Vec<Money>, Unusable> {
        let company = scene.company;
        let tree = self.places.tree.columns();
        let volume = self.places.volume(company, scene.rows, self.plan.volume)?;
        let active = &scene.standings.active;
        let standing = standings(tree, &Spans::of(tree), &company.sponsors, active);
        let recent = self.recent(volume.len());
        let mut opening = self.carry.clone();
        opening.resize(volume.len(), Legs::ZERO);
        let input = Input { tree, volume: &volume, recent: recent.as_deref(), standing: &standing };
        let closed = binary::close(&self.rules, &input, &mut self.carry);
        let closed = closed.map_err(|error| Unusable::new(scene.line, error))?;

        let mut earned = vec![Money::ZERO; company.members.len()];
        for line in &closed.lines {
            let owner = self.places.owner(line.position);
            if let Some(earned) = usize::try_from(owner).ok().and_then(|o| earned.get_mut(o)) {
                *earned += line.paid;
            }
            self.line(company, line, results);
        }
        let recent = recent.map(|recent| LegVolumes::of(tree, &recent));
        for (index, (opening, standing)) in (0_u32..).zip(opening.iter().zip(&standing)) {
            let position = Position(index);
            let recent = recent.as_ref().map_or(Legs::ZERO, |recent| recent.legs(position));
            let arrived = closed.arrived.legs(position);
            let settled = self.rules.settle(*opening, arrived, recent, *standing);
            self.story(company, position, (*opening, arrived), &settled, results);
        }
        self.before.insert(0, volume);
        Ok(earned)
    }

    /// Puts down what the pairs of a position came to.
    fn line(&self, company: &Company<'_>, line: &binary::Line, results: &mut Results) {
        let id = &self.plan.id;
        let told = format!(
            "{id}: {} pairs {} left with {} right, worth {}",
            self.places.name(line.position),
            line.paired.left,
            line.paired.right,
            line.pool
        );
        let why = line.unpaid.map(|reason| word(&reason));
        let parts = [
            (company.name(self.places.owner(line.position)), line.paid, None),
            (BREAKAGE, line.breakage, why),
            (CAPPED, line.capped, Some(OWN_CAP.into())),
        ];
        for (who, amount, reason) in parts.into_iter().filter(|part| !part.1.is_zero()) {
            let told = format!("{told}: {amount} to {who}");
            let component = id.clone();
            results.got.push(Got { component, who: who.into(), level: None, reason, amount, told });
        }
        let totals = results.totals.entry(id.clone()).or_default();
        totals.pool += line.pool;
        totals.paid += line.paid;
        totals.breakage += line.breakage;
        totals.capped += line.capped;
    }

    /// Puts down what became of the legs of a position.
    fn story(
        &self,
        company: &Company<'_>,
        position: Position,
        (opening, arrived): (Legs, Legs),
        settled: &Settled,
        results: &mut Results,
    ) {
        let leg = |side: Side| {
            let (opening, arrived, leg) = (opening.of(side), arrived.of(side), settled.leg(side));
            let lost = leg.flushed + leg.expired;
            let lost = if lost == Volume::ZERO { String::new() } else { format!(", {lost} lost") };
            let (paired, carried) = (leg.paired, leg.carried);
            format!(
                "{} {opening} + {arrived}: {paired} paired{lost}, {carried} carried",
                word(&side)
            )
        };
        let id = &self.plan.id;
        let reason = settled.unpaid.map(|reason| word(&reason));
        let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let name = self.places.name(position);
        let told = format!("{id}: {name}: {}; {}{why}", leg(Side::Left), leg(Side::Right));
        let who = company.name(self.places.owner(position));
        if opening.plus(arrived) != Legs::ZERO {
            results.step(id, who, told);
        }
        if let Some(reason) = reason {
            results.nothing.entry((id.clone(), who.into())).or_insert(reason);
        }
    }

    /// What each position brought in the periods whose volume still lives, where volume expires.
    fn recent(&self, positions: usize) -> Option<Vec<Volume>> {
        let periods = self.rules.expires_after()?;
        let mut sums = vec![Volume::ZERO; positions];
        for column in self.before.iter().take(usize::from(periods.saturating_sub(1))) {
            for (sum, volume) in sums.iter_mut().zip(column) {
                *sum += *volume;
            }
        }
        Some(sums)
    }
}

fn climb(
    plan: &Matrix,
    places: &Places<'_, MatrixTree>,
    scene: &Scene<'_>,
    results: &mut Results,
) -> Result<Vec<Money>, Unusable> {
    let (company, of) = (scene.company, scene.standings);
    let reach = places.owners.iter().map(|owner| {
        let index = usize::try_from(*owner).unwrap_or(usize::MAX);
        let active = of.active.get(index).copied().unwrap_or_default();
        plan.unlocks.reach(active, of.ranks.get(index).and_then(Option::as_ref), plan.height)
    });
    let reach: Vec<u8> = reach.collect();
    let wrong = |error| Unusable::new(scene.line, error);
    let parents = places.tree.parents();
    let climb = Climb::new(plan, company.plan.rounding, scene.currency, parents, &reach);
    let climb = climb.map_err(wrong)?;
    let mut lines: Vec<matrix::Line> = Vec::new();
    match plan.line {
        MatrixLine::Order => {
            for spanned in scene.rows {
                let line = company.cases.line(spanned);
                let position = places.position(&spanned.get_ref().who, line)?;
                lines.extend(climb.order(position, company.volumes(spanned)?.of(plan.volume)));
            }
        }
        MatrixLine::Period => {
            lines =
                climb.period(&places.volume(company, scene.rows, plan.volume)?).map_err(wrong)?;
        }
    }
    let mut earned = vec![Money::ZERO; company.members.len()];
    for line in &lines {
        let owner = line.position.map(|position| places.owner(position));
        let slot = owner.and_then(|owner| usize::try_from(owner).ok());
        if let Some(earned) = slot.and_then(|index| earned.get_mut(index)) {
            *earned += line.paid;
        }
        level(plan, owner.map(|owner| company.name(owner)), line, results);
    }
    for (_, name) in company.numbered() {
        let of = (plan.id.clone(), name.as_str().into());
        results.nothing.entry(of).or_insert_with(|| "nothing_below".into());
    }
    Ok(earned)
}

/// Puts down what a level of a matrix came to.
fn level(plan: &Matrix, who: Option<&str>, line: &matrix::Line, results: &mut Results) {
    let component = plan.id.clone();
    let reason: Option<Box<str>> = line.unclaimed.map(|reason| reason.as_str().into());
    if let (Some(who), Some(reason)) = (who, &reason) {
        results.nothing.insert((component.clone(), who.into()), reason.clone());
    }
    let amount = line.paid + line.breakage;
    let totals = results.totals.entry(component.clone()).or_default();
    totals.paid += line.paid;
    totals.breakage += line.breakage;
    totals.pool += amount;
    let why = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let (number, name) = (line.level, who.unwrap_or("nobody"));
    let told =
        format!("{component}: level {number}, {name}{why}: of {} points = {amount}", line.volume);
    let who = who.filter(|_| reason.is_none()).unwrap_or(BREAKAGE).into();
    results.got.push(Got { component, who, level: Some(number.into()), reason, amount, told });
}
