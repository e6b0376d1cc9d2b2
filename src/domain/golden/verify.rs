//! What was computed against what was expected.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{Failure, Unusable, company::Company};
use crate::domain::{
    id::{ComponentId, DistributorId},
    money::Money,
    plan::{
        Plan,
        case::{ACCOUNTS, BREAKAGE, CAPPED, CARRIED, Cases, Expect, Sums},
    },
};

/// The most steps of a calculation that are told about one failure.
const TOLD: usize = 24;

/// Money that went somewhere.
pub(super) struct Got {
    pub(super) component: ComponentId,
    /// A member, or one of [`ACCOUNTS`].
    pub(super) who: Box<str>,
    pub(super) level: Option<u32>,
    /// Of breakage, why; of what is capped, the cap.
    pub(super) reason: Option<Box<str>>,
    pub(super) amount: Money,
    /// How the engine came to it.
    pub(super) told: String,
}

/// What the engines made of an order or a period.
#[derive(Default)]
pub(super) struct Results {
    pub(super) got: Vec<Got>,
    pub(super) totals: BTreeMap<ComponentId, Totals>,
    /// Why a component gave a member nothing.
    pub(super) nothing: BTreeMap<(ComponentId, Box<str>), Box<str>>,
    /// What else a component tells: who was met and passed over, what became of volume.
    pub(super) steps: BTreeMap<ComponentId, Vec<Step>>,
}

/// Something that a component tells, and whom it is about; nobody where it is about all.
pub(super) struct Step {
    pub(super) who: Box<str>,
    pub(super) told: String,
}

impl Results {
    /// Puts down a step.
    pub(super) fn step(&mut self, component: &ComponentId, who: &str, told: String) {
        let steps = self.steps.entry(component.clone()).or_default();
        steps.push(Step { who: who.into(), told });
    }
}

/// Where the money of a component went.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) pool: Money,
    pub(super) paid: Money,
    pub(super) breakage: Money,
    pub(super) capped: Money,
    pub(super) carried: Money,
}

/// An order or a period: what it is called, and its line.
pub(super) struct Place {
    pub(super) name: Box<str>,
    pub(super) line: usize,
}

impl Place {
    pub(super) fn new(what: &str, number: u32, line: usize) -> Self {
        Self { name: format!("{what} {number}").into(), line }
    }

    /// Something that is not as expected.
    pub(super) fn failure(&self, line: usize, about: String, diff: Diff) -> Failure {
        let Diff { expected, got, why } = diff;
        Failure { line, place: self.name.clone(), about, expected, got, why }
    }
}

/// The two sides of a failure.
pub(super) struct Diff {
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) why: Vec<String>,
}

/// Holds results against expectations.
pub(super) struct Report<'a> {
    plan: &'a Plan,
    cases: &'a Cases,
    company: &'a Company<'a>,
    only: &'a [&'a ComponentId],
}

impl<'a> Report<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        cases: &'a Cases,
        company: &'a Company<'a>,
        only: &'a [&'a ComponentId],
    ) -> Self {
        Self { plan, cases, company, only }
    }

    /// What is not as expected of the money of an order or a period. Results of components that the case
    /// is not about are dropped.
    pub(super) fn money(
        &self,
        place: &Place,
        results: &mut Results,
        expect: &[Spanned<Expect>],
        totals: &BTreeMap<ComponentId, Spanned<Sums>>,
    ) -> Result<Vec<Failure>, Unusable> {
        results.got.retain(|got| self.concerns(&got.component));
        results.nothing.retain(|(component, _), _| self.concerns(component));
        results.steps.retain(|component, _| self.concerns(component));
        let mut failures = Vec::new();
        let mut named = vec![false; results.got.len()];
        for spanned in expect {
            let (line, expected) = (self.cases.line(spanned), spanned.get_ref());
            self.check(expected, line)?;
            for (got, named) in results.got.iter().zip(&mut named) {
                *named |= covers(expected, got);
            }
            failures.extend(difference(place, line, expected, results));
        }
        for (got, named) in results.got.iter().zip(named) {
            if !named && !got.amount.is_zero() {
                let about = about(&got.who, Some(&got.component), got.level, got.reason.as_deref());
                let expected =
                    "no such line (name it, or say with `only` which components the case \
                                is about)"
                        .to_owned();
                let diff =
                    Diff { expected, got: got.amount.to_string(), why: vec![got.told.clone()] };
                failures.push(place.failure(place.line, about, diff));
            }
        }
        for (component, sums) in totals {
            failures.extend(self.totals(place, component, sums, results)?);
        }
        Ok(failures)
    }

    /// Whether the case is about a component.
    fn concerns(&self, component: &ComponentId) -> bool {
        self.only.is_empty() || self.only.contains(&component)
    }

    /// Whether an expectation can be met at all.
    fn check(&self, expected: &Expect, line: usize) -> Result<(), Unusable> {
        let member = !ACCOUNTS.contains(&expected.who.as_str());
        if member {
            self.company.find(&expected.who, line)?;
            if expected.reason.is_some() && !expected.amount.0.is_zero() {
                let problem = "a reason says why a member gets nothing: drop it, or expect 0";
                return Err(Unusable::new(line, problem));
            }
            if expected.reason.is_some() && expected.component.is_none() {
                return Err(Unusable::new(line, "a reason is that of a component: name it"));
            }
        }
        expected.component.as_ref().map_or(Ok(()), |id| self.component(id, line))
    }

    /// That the plan has a component, and the case is about it.
    fn component(&self, id: &ComponentId, line: usize) -> Result<(), Unusable> {
        if self.plan.components.iter().any(|component| component.id() == id) {
            let problem = format!("the case is not about {id}: name it under `only` too");
            return if self.concerns(id) { Ok(()) } else { Err(Unusable::new(line, problem)) };
        }
        let known: Vec<&str> = self.plan.components.iter().map(|c| c.id().as_str()).collect();
        let problem = format!("the plan has no component {id}, it has {}", known.join(", "));
        Err(Unusable::new(line, problem))
    }

    fn totals(
        &self,
        place: &Place,
        component: &ComponentId,
        spanned: &Spanned<Sums>,
        results: &Results,
    ) -> Result<Vec<Failure>, Unusable> {
        let (line, sums) = (self.cases.line(spanned), spanned.get_ref());
        self.component(component, line)?;
        let got = results.totals.get(component).copied().unwrap_or_default();
        let pairs = [
            ("pool", sums.pool, got.pool),
            ("paid", sums.paid, got.paid),
            (BREAKAGE, sums.breakage, got.breakage),
            (CAPPED, sums.capped, got.capped),
            (CARRIED, sums.carried, got.carried),
        ];
        let wrong = pairs.into_iter().filter_map(|(what, expected, got)| {
            let expected = expected.filter(|expected| expected.0 != got)?.0.to_string();
            let lines = results.got.iter().filter(|other| other.component == *component);
            let why = lines.map(|got| got.told.clone()).take(TOLD).collect();
            let diff = Diff { expected, got: got.to_string(), why };
            Some(place.failure(line, format!("{component}, {what} in all"), diff))
        });
        Ok(wrong.collect())
    }
}

fn is_account(who: &DistributorId) -> bool {
    ACCOUNTS.contains(&who.as_str())
}

fn covers(expected: &Expect, got: &Got) -> bool {
    let reason = expected.reason.as_deref().filter(|_| is_account(&expected.who));
    *expected.who.as_str() == *got.who
        && expected.component.as_ref().is_none_or(|component| *component == got.component)
        && expected.level.is_none_or(|level| got.level == Some(level))
        && reason.is_none_or(|reason| got.reason.as_deref() == Some(reason))
}

fn about(
    who: &str,
    component: Option<&ComponentId>,
    level: Option<u32>,
    reason: Option<&str>,
) -> String {
    let component = component.map(|component| format!(", {component}")).unwrap_or_default();
    let level = level.map(|level| format!(", level {level}")).unwrap_or_default();
    let reason = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    format!("{who}{component}{level}{reason}")
}

/// What is not as expected of the money of somebody.
fn difference(place: &Place, line: usize, expected: &Expect, results: &Results) -> Option<Failure> {
    let found = results.got.iter().filter(|got| covers(expected, got));
    let sum: Money = found.map(|got| got.amount).sum();
    let about = about(
        expected.who.as_str(),
        expected.component.as_ref(),
        expected.level,
        expected.reason.as_deref(),
    );
    let why = || why(expected, results);
    if sum != expected.amount.0 {
        let (expected, got) = (expected.amount.0.to_string(), sum.to_string());
        return Some(place.failure(line, about, Diff { expected, got, why: why() }));
    }
    let reason = expected.reason.as_deref().filter(|_| !is_account(&expected.who))?;
    let of = (expected.component.clone()?, expected.who.as_str().into());
    let got = results.nothing.get(&of).map_or("no reason", AsRef::as_ref);
    (got != reason).then(|| {
        let expected = format!("nothing, because of {reason}");
        let got = format!("nothing, because of {got}");
        place.failure(line, about, Diff { expected, got, why: why() })
    })
}

/// How the engine came to what somebody gets: their lines, those of the component if they have none,
/// why there is nothing, and who was met on the way; of somebody who is paid only their own steps.
fn why(expected: &Expect, results: &Results) -> Vec<String> {
    let component = expected.component.as_ref();
    let of_component = |id: &ComponentId| component.is_none_or(|component| component == id);
    let lines = || results.got.iter().filter(|got| of_component(&got.component));
    let own = lines().filter(|got| *got.who == *expected.who.as_str());
    let mut told: Vec<String> = own.map(|got| got.told.clone()).collect();
    let nothing = results.nothing.iter().filter(|((id, who), _)| {
        of_component(id) && **who == *expected.who.as_str() && told.is_empty()
    });
    let nothing: Vec<String> = nothing
        .map(|((id, who), reason)| format!("{id}: {who} gets nothing, because of {reason}"))
        .collect();
    let all = told.is_empty() || is_account(&expected.who);
    if told.is_empty() {
        told = lines().map(|got| got.told.clone()).collect();
    }
    told.extend(nothing);
    let met = lines().map(|got| &got.component).collect::<Vec<_>>();
    // Without a component those that paid tell their steps, and all of them if none paid.
    let tells = |id: &&ComponentId| component.is_some() || met.is_empty() || met.contains(id);
    let steps = results.steps.iter().filter(|(id, _)| of_component(id) && tells(id));
    let steps = steps.flat_map(|(_, steps)| steps);
    let steps = steps.filter(|step| all || *step.who == *expected.who.as_str());
    told.extend(steps.map(|step| step.told.clone()));
    told.truncate(TOLD);
    told
}
