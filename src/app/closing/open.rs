//! Which period is asked for, which open ones lie before it, and what its close is computed from.
//!
//! Periods are closed in their order, so one can only be previewed on the assumption that those before it
//! close as the books are now: they are computed first, in memory, and what they carry on, find and pay goes
//! into the next.

use jiff::Timestamp;

use super::{ClosingError, Prepared, Watch, calendar, compute, ranks, unclosed};
use crate::{
    domain::{
        close::{self, Basis, CloseKey, PlacedTree, gather::Counted},
        plan::{
            Plan, PlanBook,
            period::{Period, PeriodError, PeriodId},
        },
    },
    stage::map::Company,
    store::postgres::Postgres,
};

/// Open periods that are computed before the one that is asked for; each takes as long as a close.
const EARLIER: usize = 4;

/// The plan that closes periods, in its version of now. The volume journal is one for all plans, so it
/// can be one only.
pub(super) fn plan_of(plans: &PlanBook, at: Timestamp) -> Result<&Plan, ClosingError> {
    let closing = plans.iter().filter(|plan| plan.is_closed());
    let mut ids: Vec<&str> = closing.map(|plan| &*plan.reference.id).collect();
    ids.dedup();
    let found = match ids.as_slice() {
        [only] => plans.in_force(only, at).filter(|plan| plan.is_closed()),
        [] => None,
        several => {
            let several = several.join(", ");
            return Err(ClosingError::Plan(format!(
                "the volume journal is one for all plans, and {several} all close periods"
            )));
        }
    };
    let none = || ClosingError::Plan("no plan that is in force closes periods".to_owned());
    found.ok_or_else(none)
}

/// The close of a period of the plan that closes periods: by its name alone, whatever calendar it is of.
pub(super) fn key_of(
    plans: &PlanBook,
    id: &PeriodId,
    now: Timestamp,
) -> Result<CloseKey, ClosingError> {
    let plan = plan_of(plans, now)?.reference.id.clone();
    Ok(CloseKey { plan, period: id.clone() })
}

/// The plan of a period that is not closed, which is the one in force when it begins, and the period.
pub(super) fn asked<'a>(
    plans: &'a PlanBook,
    id: &PeriodId,
    now: Timestamp,
) -> Result<(&'a Plan, Period), ClosingError> {
    let current = plan_of(plans, now)?;
    let found = plans.period(&current.reference.id, id);
    // The calendar of now says best what it calls its periods.
    let unknown = || calendar(current).map(|calendar| calendar.period(id));
    match found {
        Some(found) => Ok(found),
        None => Err(match unknown()? {
            Err(unknown) => unknown.into(),
            Ok(period) => PeriodError::Replaced(period.id).into(),
        }),
    }
}

/// The period that follows one, by the calendar that is in force when that ends.
pub(super) fn following<'a>(
    plans: &'a PlanBook,
    plan: &str,
    last: &Period,
) -> Result<(&'a Plan, Period), ClosingError> {
    let none = || ClosingError::Plan(format!("plan {plan} closes no period after {}", last.id));
    let next = plans.in_force(plan, last.end).filter(|plan| plan.is_closed()).ok_or_else(none)?;
    Ok((next, calendar(next)?.from(last)?))
}

/// The periods before one that are open, earliest first, and how many entries of the journal lie before the
/// first close of a plan.
async fn open_before<'a>(
    store: &Postgres,
    plans: &'a PlanBook,
    (plan, period): (&'a Plan, &Period),
    last: Option<&Basis>,
    now: Timestamp,
) -> Result<(Vec<(&'a Plan, Period)>, u64), ClosingError> {
    let id = &*plan.reference.id;
    let Some(last) = last else {
        return before_the_first(store, plans, (plan, period), now).await;
    };
    let mut open = Vec::new();
    let (mut of, mut next) = following(plans, id, &last.period)?;
    let expected = next.id.clone();
    while next.start < period.start && open.len() < EARLIER {
        let after = following(plans, id, &next)?;
        open.push((of, next));
        (of, next) = after;
    }
    // What has not begun is no preview of anything.
    let begun = open.is_empty() || period.start <= now;
    if next != *period || !begun {
        let (plan, last) = (id.into(), last.period.id.clone());
        return Err(ClosingError::Order { plan, last, expected });
    }
    Ok((open, 0))
}

/// Of a plan that has closed nothing: the period before, if it waits for its cut-off.
async fn before_the_first<'a>(
    store: &Postgres,
    plans: &'a PlanBook,
    (plan, period): (&'a Plan, &Period),
    now: Timestamp,
) -> Result<(Vec<(&'a Plan, Period)>, u64), ClosingError> {
    let id = &*plan.reference.id;
    let brought = store.brought_until(id).await?;
    if let Some(at) = brought.filter(|at| period.end <= *at) {
        return Err(ClosingError::Elsewhere { period: period.id.clone(), at });
    }
    let known = plans.period_before(id, period).filter(|(_, before)| {
        now < before.cut_off && brought.is_none_or(|at| at < before.end) && period.start <= now
    });
    if let Some((of, before)) = known
        && store.volumes_placed(before.start, before.end).await? > 0
    {
        return Ok((vec![(of, before)], 0));
    }
    Ok((Vec::new(), store.volumes_placed(Timestamp::UNIX_EPOCH, period.start).await?))
}

/// An open period, computed as the books are now, after the open ones before it.
pub(super) async fn preview(
    store: &Postgres,
    company: &Company,
    id: &PeriodId,
    now: Timestamp,
    (movers, watch): (usize, Option<&mut Watch>),
) -> Result<(Vec<Prepared>, Prepared), ClosingError> {
    let (tree, plans) = (&company.genealogy, &company.plans);
    let (plan, period) = asked(plans, id, now)?;
    let last = store.last_close(&plan.reference.id).await?.map(|last| last.basis);
    let (open, uncounted) = open_before(store, plans, (plan, &period), last.as_ref(), now).await?;
    // Once for all: what comes in between two readings would be new to the later period alone.
    let read = (store.last_volume().await?, store.last_entry().await?);
    let mut earlier: Vec<Prepared> = Vec::with_capacity(open.len());
    for (plan, period) in open {
        let before = earlier.last().map(|close| &close.basis).or(last.as_ref());
        let basis = basis(store, (plan, period), company, before, read).await?;
        let mut close = compute(store, tree, (plan, plans), basis, &earlier, 0, None).await?;
        close.rank_changes = close.changed_ranks(&company.ranks, plan, &earlier);
        earlier.push(close);
    }
    let before = earlier.last().map(|close| &close.basis).or(last.as_ref());
    let basis = basis(store, (plan, period), company, before, read).await?;
    let mut prepared = compute(store, tree, (plan, plans), basis, &earlier, movers, watch).await?;
    prepared.rank_changes = prepared.changed_ranks(&company.ranks, plan, &earlier);
    prepared.assumes = earlier.iter().map(|close| close.basis.period.clone()).collect();
    prepared.uncounted = uncounted;
    Ok((earlier, prepared))
}

/// What the close of a period is computed from, as the books are now, after the close before it: journal and
/// ledger up to these numbers.
async fn basis(
    store: &Postgres,
    (plan, period): (&Plan, Period),
    company: &Company,
    last: Option<&Basis>,
    (upto, ledger): (u64, u64),
) -> Result<Basis, ClosingError> {
    let currency = plan.currency.ok_or_else(|| unclosed(plan))?;
    let before = last.map(|last| last.counted);
    let mut placements = Vec::new();
    for tree in plan.trees().into_keys() {
        let version = store.placement_version(tree, period.snapshot).await?;
        placements.push(PlacedTree { tree: tree.clone(), version });
    }
    let carries = match last {
        None => store.carry_version(&plan.reference.id, u64::MAX).await?,
        Some(_) => None,
    };
    Ok(Basis {
        engine: close::ENGINE.into(),
        plan: plan.reference.clone(),
        currency,
        genealogy: company.genealogy.version(),
        ranks: ranks::version(company),
        previous: last.map(|last| last.period.id.clone()),
        before,
        counted: Counted { since: before.map_or(period.start, |before| before.since), upto },
        ledger_before: last.map_or(0, |last| last.ledger),
        ledger,
        placements,
        carries,
        period,
    })
}
