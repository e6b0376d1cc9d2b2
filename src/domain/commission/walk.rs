//! The way up from an order: who takes which level, who is passed over, and why.

use super::{Breakage, CommissionLine, Context, Passed, Payer, Step};
use crate::domain::{
    genealogy::{DistributorStatus, Member},
    id::ComponentId,
    plan::{Levels, WalkLimit, rank::RankLevel},
};

/// So many distributors who are passed over are named on a walk; the others are counted at the last one
/// named.
const NAMED: usize = 30;

/// Who stands at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Who earns, or why nobody does.
    pub(super) to: Result<Member, Breakage>,
    /// The rank of whoever stands there.
    pub(super) rank: RankLevel,
}

impl Slot {
    /// A level that nobody reached.
    pub(super) fn empty(why: Breakage) -> Self {
        Self { to: Err(why), rank: RankLevel(0) }
    }
}

/// What becomes of somebody on the way up. Who is not active needs no further reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They take the level.
    Takes,
    /// They keep the level and do not earn it.
    Keeps(Breakage, Option<Passed>),
    /// They take no level.
    Passed(Option<Passed>),
}

/// What is known of somebody on the way up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) member: Member,
    pub(super) status: DistributorStatus,
    pub(super) rank: RankLevel,
}

impl Person {
    pub(super) fn active(self) -> bool {
        self.status == DistributorStatus::Active
    }
}

/// The upline of an order as far as a component may look, and a note of everybody met.
pub(super) struct Walk<'c, 'a, I> {
    context: &'c Context<'a>,
    upline: I,
    /// How many more may be looked at; `None` without a limit.
    left: Option<usize>,
    asks_ranks: bool,
    /// Why levels that nobody takes are breakage: what ended the walk.
    pub(super) end: Breakage,
    pub(super) steps: Vec<Step>,
    /// How many of those who were passed over are named.
    named: usize,
}

impl<'c, 'a, I: Iterator<Item = Member>> Walk<'c, 'a, I> {
    pub(super) fn new(
        context: &'c Context<'a>,
        upline: I,
        limit: Option<WalkLimit>,
        asks_ranks: bool,
    ) -> Self {
        let left = limit.map(WalkLimit::people);
        let end = Breakage::EndOfUpline;
        Self { context, upline, left, asks_ranks, end, steps: Vec::new(), named: 0 }
    }

    /// The next one above; `None` at the top and at the limit.
    pub(super) fn next(&mut self) -> Option<Person> {
        let member = self.upline.next()?;
        if let Some(left) = &mut self.left {
            let Some(fewer) = left.checked_sub(1) else {
                self.end = Breakage::WalkLimit;
                return None;
            };
            *left = fewer;
        }
        let rank = if self.asks_ranks { self.context.rank(member) } else { RankLevel(0) };
        Some(Person { member, status: self.context.as_of.status(member), rank })
    }

    /// Notes what became of somebody.
    pub(super) fn note(&mut self, person: Person, level: Option<u16>, why: Option<Passed>) {
        if level.is_none() {
            self.named = self.named.saturating_add(1);
            let many = self.named > NAMED;
            let last = self.steps.last_mut().filter(|last| many && last.level.is_none());
            if let Some(last) = last {
                last.more = Some(last.more.unwrap_or_default().saturating_add(1));
                return;
            }
        }
        let Some(distributor) = self.context.tree.id(person.member) else { return };
        let status = person.status;
        let rank = self.context.plan.ranks.rank(person.rank).cloned();
        self.steps.push(Step { distributor, status, level, rank, why, more: None });
    }

    /// Gives `depth` levels to the upline by what `judge` says of each person at a level.
    pub(super) fn climb(
        mut self,
        depth: usize,
        judge: impl Fn(Person, usize) -> Verdict,
    ) -> (Vec<Step>, Vec<Slot>) {
        let mut slots = Vec::with_capacity(depth);
        while slots.len() < depth {
            let Some(person) = self.next() else { break };
            let level = slots.len().saturating_add(1);
            let (to, why) = match judge(person, level) {
                Verdict::Takes => (Some(Ok(person.member)), None),
                Verdict::Keeps(breakage, why) => (Some(Err(breakage)), why),
                Verdict::Passed(why) => (None, why),
            };
            let number = to.and_then(|_| u16::try_from(level).ok());
            self.note(person, number, why);
            slots.extend(to.map(|to| Slot { to, rank: person.rank }));
        }
        slots.resize(depth, Slot::empty(self.end));
        (self.steps, slots)
    }
}

/// How many levels the earning lines of a component have at most.
pub(super) fn depth(context: &Context<'_>, id: &ComponentId, rates: &Levels) -> usize {
    let lines = context.earning_in(id).filter_map(|line| rates.get(line.class.as_ref()?));
    lines.map(Vec::len).max().unwrap_or_default()
}

/// The lines of levels whose rates are the same for every rank.
pub(super) fn lines(
    context: &Context<'_>,
    payer: Payer<'_>,
    rates: &Levels,
    slots: &[Slot],
) -> Vec<CommissionLine> {
    let mut lines = Vec::new();
    for line in context.earning_in(payer.id) {
        let Some(rates) = line.class.as_ref().and_then(|class| rates.get(class)) else { continue };
        for ((rate, slot), number) in rates.iter().zip(slots).zip(1u16..) {
            lines.push(context.line(payer, line, number, *rate, *slot));
        }
    }
    lines
}
