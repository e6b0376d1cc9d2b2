//! Watches how the pipeline keeps up and tells the edge's admission.
//!
//! Everything comes from the log, so it holds over all processes: the backlog is what the consumers of
//! the stages up to the ledger have not settled, arrivals are the sequence numbers that the log gives to
//! deliveries, and what arrived and is not in the backlog any more was settled. One delivery is one
//! message somewhere on the way, so the unit is deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::CONSUMERS;
use crate::{
    ingest::{Admission, Outlook, Reading},
    metric,
    sink::CompanyCell,
    stage::{
        Stage,
        commission::Commission,
        ledger::{Ledger, Map},
        validate::Validate,
    },
    stream::{
        ServiceError,
        jetstream::{JetStream, StreamName},
    },
};

/// How often it looks: four small requests, at the same time.
const EVERY: Duration = Duration::from_millis(250);

/// The highest sequence number that the log has told this process for a delivery.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals(Arc<AtomicU64>);

impl Arrivals {
    /// The log has given this number to a delivery.
    pub(super) fn saw(&self, sequence: u64) {
        self.0.fetch_max(sequence, Ordering::Relaxed);
    }

    fn last(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes readings of looks.
#[derive(Debug, Default)]
struct Looks {
    /// The last sequence number and the backlog.
    last: Option<(u64, u64)>,
    /// Nothing arrived here between the last two looks.
    quiet: bool,
}

impl Looks {
    fn reading(&mut self, sequence: u64, backlog: u64) -> Reading {
        let Some((before, was)) = self.last.replace((sequence, backlog)) else {
            return Reading { backlog, arrived: 0, settled: None };
        };
        let arrived = sequence.saturating_sub(before);
        // What arrived while nothing arrived here is not known until something does, and then it is of
        // all that time.
        let woke = before == 0 || (std::mem::replace(&mut self.quiet, arrived == 0) && arrived > 0);
        let less = i64::try_from(was).ok().zip(i64::try_from(backlog).ok());
        let settled = less
            .and_then(|(was, is)| i64::try_from(arrived).ok()?.checked_add(was)?.checked_sub(is))
            .filter(|_| !woke);
        Reading { backlog, arrived, settled }
    }
}

/// Looks until the stop, and tells.
pub(super) async fn watch(
    log: Arc<JetStream>,
    arrivals: Arrivals,
    admission: Arc<Admission>,
    stop: CancellationToken,
) {
    let mut looks = Looks::default();
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut paced = false;
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        let sequence = arrivals.last();
        let backlog = match backlog(&log).await {
            Ok(backlog) => backlog,
            Err(error) => {
                tracing::debug!(error = error.chain(), "the backlog is unknown");
                continue;
            }
        };
        let outlook = admission.observe(Instant::now(), looks.reading(sequence, backlog));
        metric::expected_wait(outlook.wait);
        metric::admission_pace(outlook.pace);
        report(&mut paced, backlog, outlook);
    }
}

/// A line in the log when shops begin to be turned away, and when they are all let in again.
fn report(paced: &mut bool, backlog: u64, outlook: Outlook) {
    let Outlook { wait, pace } = outlook;
    if std::mem::replace(paced, pace.is_some()) != pace.is_some() {
        if let Some(pace) = pace {
            tracing::warn!(backlog, ?wait, pace, "the edge admits at a pace");
        } else {
            tracing::info!(backlog, ?wait, "the edge admits everybody again");
        }
    }
}

/// Deliveries that are in the log and not through the ledger.
async fn backlog(log: &JetStream) -> Result<u64, ServiceError> {
    let before_the_books = |stage: &str| {
        [Validate::NAME, Map::NAME, Commission::<CompanyCell>::NAME, Ledger::NAME].contains(&stage)
    };
    let consumers: [(StreamName, &str, &str); 6] = CONSUMERS;
    let lags = consumers
        .into_iter()
        .filter(|(_, stage, _)| before_the_books(stage))
        .map(|(stream, stage, _)| log.lag(stream, stage));
    Ok(try_join_all(lags).await?.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(looks: &mut Looks, sequence: u64, backlog: u64) -> (u64, Option<i64>) {
        let reading = looks.reading(sequence, backlog);
        assert_eq!(reading.backlog, backlog);
        (reading.arrived, reading.settled)
    }

    #[test]
    fn what_arrived_and_is_not_waiting_was_settled() {
        let mut looks = Looks::default();
        assert_eq!(settled(&mut looks, 1_000, 300), (0, None), "the first look compares with none");
        assert_eq!(settled(&mut looks, 1_500, 300), (500, Some(500)));
        assert_eq!(settled(&mut looks, 1_900, 800), (400, Some(-100)));
        assert_eq!(settled(&mut looks, 1_900, 500), (0, Some(300)), "nothing came, work went on");
    }

    #[test]
    fn what_other_processes_brought_in_a_quiet_time_is_not_taken_for_speed() {
        let mut looks = Looks::default();
        assert_eq!(settled(&mut looks, 0, 0), (0, None));
        assert_eq!(settled(&mut looks, 90_000, 0).1, None, "all that was there before");
        assert_eq!(settled(&mut looks, 90_010, 0).1, Some(10));
        assert_eq!(settled(&mut looks, 90_010, 0).1, Some(0));
        assert_eq!(settled(&mut looks, 99_000, 0).1, None);
        assert_eq!(settled(&mut looks, 99_005, 0).1, Some(5));
    }

    #[test]
    fn the_highest_number_counts() {
        let arrivals = Arrivals::default();
        for sequence in [3, 7, 5] {
            arrivals.clone().saw(sequence);
        }
        assert_eq!(arrivals.last(), 7);
    }
}
