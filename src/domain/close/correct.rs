//! A closed period computed once more, without the volume that has come back of it since.
//!
//! Held as the close found it is who was active, the ranks, and with them what these open: levels, rates,
//! shares, bonuses for ranks, the limits of caps. What follows from volumes is computed anew, by the engine
//! of closes: levels, brackets and what breaks away, the size of pools, what is matched of earnings that
//! are other ones now, and the caps in their order, of which that of the company is lower too.
//!
//! Invariant: all that is posted for a closed period, its own entries and every correction, is the close
//! that it would have been without the volume that came back, with those standings. So what comes back in
//! parts, in whatever periods, comes to what it would have come to at once; and where all of it comes
//! back, everything that volumes paid is taken back.

use std::collections::BTreeMap;

use super::{
    Beneficiary, Close, CloseEntry, CloseError, CloseKey, ClosePlan, Inputs, Population, Unpaid,
    check,
    column::{at, set, update},
    compute,
};
use crate::domain::{
    id::{ComponentId, DistributorId},
    money::{Currency, Money},
    plan::{period::PeriodId, rank::RankLevel},
};

/// What a close found about its members, by member number; who is not in a column was nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether they were active.
    pub active: Vec<bool>,
    /// The rank that they were paid as.
    pub paid_as: Vec<RankLevel>,
    /// The highest rank ever, that period included.
    pub achieved: Vec<RankLevel>,
}

impl Held {
    /// Of so many members, of whom nothing is known yet.
    pub fn new(members: usize) -> Self {
        let none = || vec![RankLevel::default(); members];
        Self { active: vec![false; members], paid_as: none(), achieved: none() }
    }

    /// What was found about a member.
    pub fn set(&mut self, member: u32, active: bool, paid_as: RankLevel, achieved: RankLevel) {
        set(&mut self.active, member, active);
        set(&mut self.paid_as, member, paid_as);
        set(&mut self.achieved, member, achieved);
    }
}

/// Closes a period once more: with the volumes of `population`, with what came in as it is now, and with
/// everybody standing as they stood. Forced ranks are part of that.
pub fn restate(
    plan: &ClosePlan,
    population: &Population,
    held: &Held,
    inputs: &Inputs,
) -> Result<Close, CloseError> {
    check(plan, population, inputs)?;
    compute(plan, population, inputs, plan.ranks.held(population, held))
}

/// Whose money it is, by member number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// A member's.
    Member(u32),
    /// Nobody qualified.
    Breakage(Unpaid),
    /// A cap's.
    Capped(ComponentId),
    /// It went into the next period.
    Carried,
}

/// What is posted for a closed period: with its close, and to correct it.
#[derive(Debug, Clone, Default)]
pub struct Posted {
    members: usize,
    components: Vec<PostedOf>,
}

#[derive(Debug, Clone)]
struct PostedOf {
    component: ComponentId,
    /// By member number.
    paid: Vec<Money>,
    rest: BTreeMap<Whose, Money>,
}

impl Posted {
    /// Nothing, of so many members.
    pub fn new(members: usize) -> Self {
        Self { members, components: Vec::new() }
    }

    /// Adds an entry, below zero where it takes back.
    pub fn add(&mut self, component: &ComponentId, whose: Whose, amount: Money) {
        let known = self.components.iter().position(|of| of.component == *component);
        let index = known.unwrap_or_else(|| {
            let (component, rest) = (component.clone(), BTreeMap::new());
            self.components.push(PostedOf { component, paid: Vec::new(), rest });
            self.components.len().saturating_sub(1)
        });
        let Some(of) = self.components.get_mut(index) else { return };
        match whose {
            Whose::Member(member) => {
                of.paid.resize(self.members, Money::ZERO);
                update(&mut of.paid, member, |sum| *sum += amount);
            }
            other @ (Whose::Breakage(_) | Whose::Capped(_) | Whose::Carried) => {
                *of.rest.entry(other).or_default() += amount;
            }
        }
    }
}

/// What is to be posted for a closed period in one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The component.
    pub component: ComponentId,
    /// The period.
    pub corrects: PeriodId,
    /// Whose.
    pub whose: Whose,
    /// How much; below zero where it is taken back. Not zero.
    pub amount: Money,
}

impl Correction {
    /// The entry that posts it with a close. `name` knows the members.
    pub fn entry(
        &self,
        key: &CloseKey,
        currency: Currency,
        name: impl Fn(u32) -> Option<DistributorId>,
    ) -> Option<CloseEntry> {
        let to = match &self.whose {
            Whose::Member(member) => Beneficiary::Distributor(name(*member)?),
            Whose::Breakage(why) => Beneficiary::Breakage(*why),
            Whose::Capped(cap) => Beneficiary::Capped(cap.clone()),
            Whose::Carried => Beneficiary::Carried,
        };
        let corrects = Some(self.corrects.clone());
        Some(CloseEntry::new(key, currency, &self.component, (to, self.amount), corrects))
    }

    /// What a member gets by it; nothing where it is the company's.
    pub fn to_member(&self) -> Money {
        if matches!(self.whose, Whose::Member(_)) { self.amount } else { Money::ZERO }
    }
}

/// What is to be posted so that all that is posted for a period is this close of it: by component, in
/// each the members by number, then breakage, caps and what is carried.
pub fn corrections(
    close: &Close,
    population: &Population,
    posted: &Posted,
    corrects: &PeriodId,
) -> Vec<Correction> {
    let mut all = Vec::new();
    for target in close.components() {
        let of = posted.components.iter().find(|of| of.component == target.id);
        let paid = of.map_or(&[][..], |of| &of.paid);
        let mut correct = |whose, amount: Money| {
            if !amount.is_zero() {
                let (component, corrects) = (target.id.clone(), corrects.clone());
                all.push(Correction { component, corrects, whose, amount });
            }
        };
        for member in population.positions() {
            let position = population.position(member);
            let now = position.map(|position| target.posted_to(position)).unwrap_or_default();
            correct(Whose::Member(member), now - at(paid, member));
        }
        let totals = &target.totals;
        let broken = totals.breakage.iter().map(|(why, sum)| (Whose::Breakage(*why), *sum));
        let capped = totals.capped.iter().map(|(cap, sum)| (Whose::Capped(cap.clone()), *sum));
        let mut rest: BTreeMap<Whose, Money> = broken.chain(capped).collect();
        *rest.entry(Whose::Carried).or_default() += totals.carried;
        for (whose, sum) in of.into_iter().flat_map(|of| &of.rest) {
            *rest.entry(whose.clone()).or_default() += -*sum;
        }
        for (whose, amount) in rest {
            correct(whose, amount);
        }
    }
    all
}

#[cfg(test)]
mod tests;
