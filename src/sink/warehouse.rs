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
        Posting,
        postgres::{Block, ClosedPeriod, PeriodLine, Postgres, Turn},
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
/// How many revisions are read back at once: calculations of some kilobytes each.
const READ_BACK: usize = 4_000;
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
#[derive(Debug, PartialEq, Eq)]
enum Batch {
    /// Nothing yet.
    Nothing,
    /// What this process has posted, up to a block.
    AtHand(Vec<Arc<[Posted]>>, u64),
    /// These blocks, as many of them as can be read back at once.
    ReadBack(RangeInclusive<u64>),
}

impl Batch {
    /// As many of the blocks as one insert takes, at least one, but none behind a gap.
    fn of(blocks: &[Block], recent: &Recent, most: usize, now: Timestamp) -> Self {
        let (mut at_hand, mut entries, mut upto) = (Vec::new(), 0u64, 0);
        for block in blocks {
            let Some(posted) = recent.of(block.number, block.posted_at) else { break };
            if upto > 0 && entries >= u64::try_from(most).unwrap_or(u64::MAX) {
                break;
            }
            at_hand.push(posted);
            entries = entries.saturating_add(block.entries);
            upto = block.number;
        }
        if upto > 0 {
            return Self::AtHand(at_hand, upto);
        }
        let old = |block: &&Block| now.duration_since(block.posted_at).abs() >= YOUNG;
        let mut old = blocks.iter().take_while(old).map(|block| block.number);
        match old.next() {
            None => Self::Nothing,
            Some(first) => Self::ReadBack(first..=old.last().unwrap_or(first)),
        }
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
                self.turn(stopping).await
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
                    // Whoever lost its tables has to have them made.
                    ready = false;
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

    /// Writes what is behind the mark, as much as one insert takes. Whoever is `stopping` reads nothing back:
    /// that is for the next start.
    async fn turn(&self, stopping: bool) -> Result<Left, ServiceError> {
        let (mark, head) = self.store.warehouse_mark().await?;
        self.recent.forget(mark);
        if mark >= head {
            return Ok(Left::Nothing);
        }
        let Some(turn) = self.store.warehouse_turn().await? else { return Ok(Left::Nothing) };
        let blocks = turn.blocks(BLOCKS).await?;
        let began = self.clock.instant();
        let upto = match Batch::of(&blocks, &self.recent, self.entries, self.clock.now()) {
            Batch::Nothing => return Ok(Left::Nothing),
            Batch::ReadBack(_) if stopping => return Ok(Left::Nothing),
            Batch::AtHand(posted, upto) => {
                let posted: Vec<&Posted> = posted.iter().flat_map(|block| block.iter()).collect();
                self.write(&posted, began, true).await?;
                let now = self.clock.now();
                for posted in &posted {
                    metric::warehoused(posted.posted_at, now);
                }
                upto
            }
            Batch::ReadBack(blocks) => {
                let read = turn.read_back(blocks, READ_BACK).await?;
                if let Some(closed) = &read.closed {
                    self.write_period(&turn, closed).await?;
                }
                let posted: Vec<Posted> = read.posted.into_iter().map(posted).collect();
                self.write(&posted.iter().collect::<Vec<_>>(), began, false).await?;
                read.upto
            }
        };
        turn.done(upto).await?;
        self.recent.forget(upto);
        Ok(if upto < head { Left::More } else { Left::Nothing })
    }

    /// Writes revisions and accounts for them, as a stage does. What is read back may be there already, of
    /// another release: it is written whatever the server remembers.
    async fn write(
        &self,
        all: &[&Posted],
        began: std::time::Instant,
        first: bool,
    ) -> Result<(), ServiceError> {
        if all.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = all.iter().map(|posted| posted.order.key.to_string()).collect();
        let mut rows = Rows::default();
        for (posted, key) in all.iter().zip(&keys) {
            rows.push(key, posted);
        }
        let made = self.clock.instant();
        self.warehouse.write(&rows, first.then(|| rows.token())).await?;
        let written = self.clock.instant().saturating_duration_since(made);
        metric::delivered(NAME, all.len());
        metric::stage_batch(NAME, all.len(), made.saturating_duration_since(began), written);
        Ok(())
    }

    /// Writes what a close posted, a page at a time: it may be millions of entries.
    async fn write_period(&self, turn: &Turn, closed: &ClosedPeriod) -> Result<(), ServiceError> {
        let mut after = 0;
        loop {
            let lines = turn.period_lines(closed, after, PAGE).await?;
            let Some(last) = lines.last() else { return Ok(()) };
            after = last.number;
            let rows: Vec<PeriodRow<'_>> = lines.iter().map(|line| period(closed, line)).collect();
            self.warehouse.write_period(&rows).await?;
        }
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

    fn chosen(blocks: &[Block], here: &[Block], most: usize) -> (usize, RangeInclusive<u64>) {
        let recent = Recent::default();
        for block in here {
            recent.keep(block.number, block.posted_at, Vec::new());
        }
        match Batch::of(blocks, &recent, most, Timestamp::UNIX_EPOCH) {
            Batch::Nothing => (0, 0..=0),
            Batch::AtHand(at_hand, upto) => (at_hand.len(), 0..=upto),
            Batch::ReadBack(blocks) => (0, blocks),
        }
    }

    #[test]
    fn what_is_at_hand_is_taken_first_and_the_rest_read_back_as_one() {
        let blocks: Vec<Block> = (1..=6).map(|number| block(number, 10, 60)).collect();
        assert_eq!(chosen(&blocks, &blocks, 99), (6, 0..=6));
        assert_eq!(chosen(&blocks, &blocks[..2], 99), (2, 0..=2));
        assert_eq!(chosen(&blocks, &blocks[2..3], 99), (0, 1..=6));
        assert_eq!(chosen(&blocks[..1], &[], 99), (0, 1..=1));
        assert_eq!(chosen(&[], &blocks, 99), (0, 0..=0));
    }

    #[test]
    fn an_insert_has_its_limit_but_at_least_one_block() {
        let blocks: Vec<Block> = (1..=6).map(|number| block(number, 10, 60)).collect();
        assert_eq!(chosen(&blocks, &blocks, 30).0, 3);
        assert_eq!(chosen(&blocks, &blocks, 31).0, 4);
        let large = [block(7, 1_000, 60), block(8, 0, 60)];
        assert_eq!(chosen(&large, &large, 30).0, 1);
    }

    /// Whoever goes on behind a block that is not written would leave it out for ever.
    #[test]
    fn nothing_is_taken_behind_a_young_block_of_somebody_else() {
        let blocks = [block(1, 10, 60), block(2, 10, 1), block(3, 10, 0)];
        assert_eq!(chosen(&blocks, &[blocks[0], blocks[2]], 99), (1, 0..=1));
        assert_eq!(chosen(&blocks, &[], 99), (0, 1..=1));
        assert_eq!(chosen(&blocks[1..], &blocks[2..], 99), (0, 0..=0));
        // A clock that is ahead makes nobody wait until others have caught up with it.
        assert_eq!(chosen(&[block(1, 10, -3_600)], &[], 99), (0, 1..=1));
    }
}
