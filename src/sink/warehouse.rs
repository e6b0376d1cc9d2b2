//! The warehouse follows the ledger: block by block, as rows for the analysts.
//!
//! Invariant: the mark in the books says up to which block the warehouse has everything, and it moves after
//! the rows are written. A feed that is cut off in between writes them again, which counts once. So nothing
//! that was posted can miss in the warehouse for ever, whatever stops or is lost in between, and moving the
//! mark back makes all of it again.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::money::Money,
    metric,
    stage::message::Posted,
    store::{
        Posting, Store,
        postgres::{Block, ClosedPeriod, PeriodLine, Postgres},
    },
    stream::{ServiceError, runner::Limits},
    warehouse::{
        clickhouse::ClickHouse,
        period::{PeriodRow, days},
        recent::Recent,
        rows::{Rows, decimal, halves},
    },
};

/// What metrics call it.
pub const NAME: &str = "warehouse";

/// The most blocks that are looked at in one turn.
const BLOCKS: u32 = 1_000;
/// How many entries of a closed period are one insert.
const PAGE: u32 = 50_000;
/// How often it looks for what other processes have posted.
const LOOK: Duration = Duration::from_secs(1);
/// A block that is younger and not at hand was sealed here a moment ago, or by a process that is about to
/// write it itself.
const YOUNG: SignedDuration = SignedDuration::from_secs(2);

/// Writes what is posted to `ClickHouse`, in the order of the blocks. Of all processes that share a ledger
/// one does at a time.
#[derive(Debug)]
pub struct Feed {
    /// The books.
    pub store: Arc<Postgres>,
    /// Where the rows go.
    pub warehouse: ClickHouse,
    /// What this process has posted.
    pub recent: Recent,
    /// The time.
    pub clock: Clock,
    /// How long it collects for one insert.
    pub linger: Duration,
    /// How many entries are one insert, but for those of a single block.
    pub entries: usize,
    /// How long it waits after a failure.
    pub limits: Limits,
}

/// What a turn left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing, or what somebody else is about to write.
    Nothing,
    /// More than one insert takes.
    More,
}

/// What is to be written in one turn.
#[derive(Debug, Default)]
struct Batch {
    at_hand: Vec<Arc<[Posted]>>,
    read_back: Vec<RangeInclusive<u64>>,
    /// The last block; 0 if there is none.
    upto: u64,
}

impl Batch {
    /// As many of the blocks as one insert takes, at least one, but none behind a gap.
    fn of(blocks: &[Block], recent: &Recent, most: usize, now: Timestamp) -> Self {
        let mut batch = Self::default();
        let mut entries = 0u64;
        for block in blocks {
            if batch.upto > 0 && entries >= u64::try_from(most).unwrap_or(u64::MAX) {
                break;
            }
            match (recent.of(block.number), batch.read_back.last_mut()) {
                (Some(posted), _) => batch.at_hand.push(posted),
                (None, _) if now.duration_since(block.posted_at) < YOUNG => break,
                (None, Some(range)) if *range.end() == batch.upto => {
                    *range = *range.start()..=block.number;
                }
                (None, _) => batch.read_back.push(block.number..=block.number),
            }
            entries = entries.saturating_add(block.entries);
            batch.upto = block.number;
        }
        batch
    }
}

impl Feed {
    /// Waits for `ClickHouse`, makes its tables, then writes until `stop`, and once more after it.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0u32;
        let mut ready = false;
        loop {
            let stopping = stop.is_cancelled();
            let result = if ready {
                self.turn().await
            } else {
                self.warehouse.migrate().await.map(|()| Left::More)
            };
            match result {
                Ok(left) => {
                    (failures, ready) = (0, true);
                    match left {
                        Left::More => {}
                        Left::Nothing if stopping => return,
                        Left::Nothing => self.wait(&stop).await,
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let pause = self.limits.back_off(failures);
                    tracing::warn!(error = error.chain(), "the warehouse has to wait");
                    metric::stage_failure(NAME);
                    tokio::select! {
                        // What is missing is written after the next start.
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Waits until something is posted, and collects for a moment.
    async fn wait(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.recent.came() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        // At a stop too: the stages finish what they have begun.
        tokio::time::sleep(self.linger).await;
    }

    /// Writes what is behind the mark, as much as one insert takes.
    async fn turn(&self) -> Result<Left, ServiceError> {
        let (mark, head) = self.store.warehouse_mark().await?;
        self.recent.forget(mark);
        if mark >= head {
            return Ok(Left::Nothing);
        }
        let Some(turn) = self.store.warehouse_turn().await? else { return Ok(Left::Nothing) };
        let blocks = turn.blocks(BLOCKS).await?;
        let began = self.clock.instant();
        let batch = Batch::of(&blocks, &self.recent, self.entries, self.clock.now());
        if batch.upto == 0 {
            return Ok(Left::Nothing);
        }
        let mut read_back = Vec::new();
        for range in batch.read_back {
            for closed in self.store.closed_in(range.clone()).await? {
                self.write_period(&closed).await?;
            }
            read_back.extend(self.store.posted(range).await?.into_iter().map(posted));
        }
        let all: Vec<&Posted> =
            batch.at_hand.iter().flat_map(|block| block.iter()).chain(&read_back).collect();
        let made = self.clock.instant();
        if !all.is_empty() {
            self.write(&all).await?;
        }
        turn.done(batch.upto).await?;
        self.recent.forget(batch.upto);
        self.account(&all, made.saturating_duration_since(began), made);
        Ok(if batch.upto < head { Left::More } else { Left::Nothing })
    }

    async fn write(&self, all: &[&Posted]) -> Result<(), ServiceError> {
        let keys: Vec<String> = all.iter().map(|posted| posted.order.key.to_string()).collect();
        let mut rows = Rows::default();
        for (posted, key) in all.iter().zip(&keys) {
            rows.push(key, posted);
        }
        self.warehouse.write(&rows).await
    }

    /// Writes what a close posted, a page at a time: it may be millions of entries.
    async fn write_period(&self, closed: &ClosedPeriod) -> Result<(), ServiceError> {
        let mut after = 0;
        loop {
            let lines = self.store.period_lines(closed, after, PAGE).await?;
            let Some(last) = lines.last() else { return Ok(()) };
            after = last.number;
            let rows: Vec<PeriodRow<'_>> = lines.iter().map(|line| period(closed, line)).collect();
            self.warehouse.write_period(&rows).await?;
        }
    }

    /// Counts what was written, as a stage does.
    fn account(&self, all: &[&Posted], judged: Duration, made: std::time::Instant) {
        let now = self.clock.now();
        for posted in all {
            metric::warehoused(posted.posted_at, now);
        }
        metric::delivered(NAME, all.len());
        let written = self.clock.instant().saturating_duration_since(made);
        metric::stage_batch(NAME, all.len(), judged, written);
    }
}

fn posted(posting: Posting) -> Posted {
    Posted::of(&posting.run, posting.entries, posting.trace, posting.at)
}

fn period<'a>(closed: &'a ClosedPeriod, line: &'a PeriodLine) -> PeriodRow<'a> {
    PeriodRow {
        event_id: halves(line.event_id.as_bytes()),
        plan_id: &closed.plan,
        period: &closed.period,
        starts_at: closed.starts_at.as_microsecond(),
        ends_at: closed.ends_at.as_microsecond(),
        pays_on: days(closed.pays_on),
        component: &line.component,
        distributor_id: line.account.strip_prefix("distributor:").unwrap_or_default(),
        account: &line.account,
        kind: if line.amount < Money::ZERO { "reversed" } else { "earned" },
        amount: decimal(line.amount),
        currency: &line.currency,
        reason: line.reason.as_deref().unwrap_or_default(),
        corrects: line.corrects.as_deref().unwrap_or_default(),
        posted_at: closed.closed_at.as_microsecond(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, entries: u64, age: i64) -> Block {
        let posted_at = Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age);
        Block { number, entries, posted_at }
    }

    fn chosen(
        blocks: &[Block],
        here: &[u64],
        most: usize,
    ) -> (usize, Vec<RangeInclusive<u64>>, u64) {
        let recent = Recent::default();
        for number in here {
            recent.keep(*number, Vec::new());
        }
        let batch = Batch::of(blocks, &recent, most, Timestamp::UNIX_EPOCH);
        (batch.at_hand.len(), batch.read_back, batch.upto)
    }

    #[test]
    fn what_is_at_hand_is_taken_and_the_rest_read_back_in_ranges() {
        let blocks: Vec<Block> = (1..=6).map(|number| block(number, 10, 60)).collect();
        assert_eq!(chosen(&blocks, &[1, 2, 3, 4, 5, 6], 99), (6, vec![], 6));
        assert_eq!(chosen(&blocks, &[3], 99), (1, vec![1..=2, 4..=6], 6));
        assert_eq!(chosen(&blocks, &[1, 6], 99), (2, vec![2..=5], 6));
        assert_eq!(chosen(&[], &[1], 99), (0, vec![], 0));
    }

    #[test]
    fn an_insert_has_its_limit_but_at_least_one_block() {
        let blocks: Vec<Block> = (1..=6).map(|number| block(number, 10, 60)).collect();
        assert_eq!(chosen(&blocks, &[], 30).2, 3);
        assert_eq!(chosen(&blocks, &[], 31).2, 4);
        assert_eq!(chosen(&[block(7, 1_000, 60), block(8, 0, 60)], &[], 30).2, 7);
        assert_eq!(chosen(&[block(7, 0, 60), block(8, 0, 60)], &[], 30).2, 8);
    }

    /// Whoever goes on behind a block that is not written would leave it out for ever.
    #[test]
    fn nothing_is_taken_behind_a_young_block_of_somebody_else() {
        let blocks = [block(1, 10, 60), block(2, 10, 1), block(3, 10, 0)];
        assert_eq!(chosen(&blocks, &[1, 3], 99), (1, vec![], 1));
        assert_eq!(chosen(&blocks, &[1, 2, 3], 99), (3, vec![], 3));
        assert_eq!(chosen(&blocks[1..], &[3], 99), (0, vec![], 0));
    }
}
