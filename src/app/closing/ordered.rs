//! In which periods the volume of an order counts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ClosingError, calendar,
    open::{following, plan_of},
};
use crate::{
    domain::{
        close::returns::Closes,
        id::DistributorId,
        plan::{PlanBook, period::PeriodId, volume::LineVolumes},
    },
    store::postgres::{NumberedVolume, PaidAbove, Postgres},
};

/// A period that counts volume of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedIn {
    /// The plan that closes it.
    pub plan: Box<str>,
    /// The period.
    pub period: PeriodId,
    /// Whose volume it is.
    pub distributor: DistributorId,
    /// How much; below zero where it came back after its own period was closed: that corrects its own period and
    /// counts in no later one.
    pub volumes: LineVolumes,
    /// Whether the order was placed in an earlier period, which was closed when this came.
    pub late: bool,
    /// The block that seals the period, if it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// What the close paid to those above the distributor whose volume it is, nearest first, by component:
    /// for all volume that they had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paid: Vec<PaidAbove>,
}

/// Finds the periods that count entries of the journal, which are of one order.
pub async fn counted_in(
    store: &Postgres,
    plans: &PlanBook,
    entries: &[&NumberedVolume],
    now: Timestamp,
) -> Result<Vec<CountedIn>, ClosingError> {
    // A company without closes has no periods that could count it.
    let Ok(plan) = plan_of(plans, now) else { return Ok(Vec::new()) };
    let id = &*plan.reference.id;
    let closed = store.closed_bases(&plan.reference.id).await?;
    let mut reading = Closes::default();
    for basis in &closed {
        reading.push(&basis.period, basis.counted);
    }
    let mut found: BTreeMap<(Timestamp, DistributorId), CountedIn> = BTreeMap::new();
    for NumberedVolume { seq, entry, .. } in entries {
        let (placed_at, distributor) = (entry.position.placed_at, &entry.position.distributor);
        let counts = reading.of(*seq, placed_at).and_then(|close| closed.get(close));
        let period = match (counts, closed.first(), closed.last()) {
            (Some(basis), _, _) => basis.period.clone(),
            // What was placed before the first closed period counts in none.
            (None, Some(first), _) if placed_at < first.counted.since => continue,
            (None, _, Some(last)) if placed_at < last.period.end => {
                following(plans, id, &last.period)?.1
            }
            (None, _, _) => {
                let then = plans.in_force(id, placed_at).filter(|then| then.is_closed());
                calendar(then.unwrap_or(plan))?.at(placed_at)?
            }
        };
        let late = placed_at < period.start;
        let told = found.entry((period.start, distributor.clone())).or_insert_with(|| CountedIn {
            plan: plan.reference.id.clone(),
            period: period.id,
            distributor: distributor.clone(),
            volumes: LineVolumes::default(),
            late,
            block: None,
            paid: Vec::new(),
        });
        told.late |= late;
        told.volumes.pv += entry.amount.pv;
        told.volumes.qv += entry.amount.qv;
        told.volumes.cv += entry.amount.cv;
    }
    let mut told: Vec<CountedIn> = found.into_values().collect();
    for counted in &mut told {
        let of = (&*counted.plan, counted.period.as_str(), counted.distributor.as_str());
        (counted.block, counted.paid) = store.paid_above(of).await?;
    }
    Ok(told)
}
