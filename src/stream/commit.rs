//! Group commit: few messages at once, many together in one durable write.
//!
//! The log syncs the disk for every write, whether it holds one message or five hundred. While few come,
//! each is sent at once, and so many may be on their way before what comes waits; what has gathered
//! meanwhile is written together. There is no linger: at a low rate nothing waits, at a high rate the
//! batches grow until the disk keeps up.
//!
//! Invariant: a receipt is given only after the log said that the message is durable. Messages are
//! written in the order in which they came.
//!
//! The log refuses a batch as a whole if it knows one message id of it, without naming it. Ids that
//! were written lately are therefore remembered and answered here, an id that repeats inside a batch
//! is written once, and a batch that is refused all the same is divided until the known ids are
//! among few, and those are written one by one. What was written before the program began is read back
//! from the log ([`super::jetstream::JetStream::recall`]).

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    future::Future,
    hash::BuildHasher,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, JoinAll, join_all},
    stream::FuturesUnordered,
};
use tokio::sync::{mpsc, oneshot};

use super::{Outgoing, Receipt, ServiceError};
use crate::{clock::Clock, metric};

/// Where a committer writes to: one stream of the log.
pub(super) trait Journal: Send + Sync + 'static {
    /// Sends a message by itself. Messages are written in the order in which they are sent; the receipt
    /// comes later.
    fn send(&self, message: &Outgoing) -> impl Future<Output = Promise> + Send;

    /// Writes messages all or none, durable together; the sequence number of the last one.
    fn together(&self, messages: &[Outgoing]) -> impl Future<Output = Result<u64, Refusal>> + Send;
}

/// The receipt of a message that is on its way.
pub(super) type Promise = BoxFuture<'static, Result<Receipt, ServiceError>>;

/// Why a batch was not written; nothing of it was.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The log has a message with one of the ids.
    Known,
    /// The log says no for another reason, which may be that of a single message.
    Rejected(String),
    /// There is no answer; it may be written or not.
    Unavailable(ServiceError),
}

/// The most messages in one write; the server takes 1,000.
const MOST: usize = 500;
/// About the most bytes in one write.
const MOST_BYTES: usize = 8 << 20;
/// From how many messages on they are written as a batch: for one the server makes and removes files of
/// its own, which takes it as long as so many single writes (`bench/README.md`).
const ATOMIC_FROM: usize = 16;
/// The most single messages on their way; what comes then waits and is collected.
const SINGLES: usize = 16;
/// Into how many parts a batch with known ids is divided.
const PARTS: usize = 4;
/// After so many refused batches in a second a batch with known ids is not divided but written singly:
/// a program that has just started knows no ids, and where repeats are many every part holds one.
const REFUSALS: u32 = 8;
/// The most requests that wait for a write; more wait at the door.
const WAITING: usize = 4096;
/// For how long an id is remembered: less than the log itself does.
const REMEMBER: Duration = Duration::from_mins(2);
/// The most ids that are remembered.
const REMEMBER_MOST: usize = 1 << 17;

/// What a committer is asked for.
enum Request {
    /// To write messages, and where their receipts go.
    Write(Vec<Outgoing>, Answer),
    /// To remember what somebody else wrote lately: ids with their sequence numbers.
    Recall(Vec<(String, u64)>),
}

type Answer = oneshot::Sender<Vec<Result<Receipt, ServiceError>>>;

/// Writes to one stream, in groups.
#[derive(Debug, Clone)]
pub(super) struct Committer {
    requests: mpsc::Sender<Request>,
}

impl Committer {
    /// Starts a committer; it ends when the last clone is dropped.
    #[expect(clippy::disallowed_methods, reason = "nothing waits for it: who wants a receipt does")]
    pub(super) fn start<J: Journal>(stream: &'static str, journal: J, clock: Clock) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let refusals = (clock.instant(), 0);
        let writer = Writer { stream, journal, clock: clock.clone(), refusals };
        let (recent, under_way) = (Recent::default(), FuturesUnordered::new());
        let lane = Lane { writer, flights: Flights { clock, recent, under_way, singles: 0 } };
        tokio::spawn(lane.run(waiting));
        Self { requests }
    }

    /// Writes messages and returns when each is durable or has failed.
    pub(super) async fn commit(
        &self,
        messages: Vec<Outgoing>,
    ) -> Vec<Result<Receipt, ServiceError>> {
        let count = messages.len();
        let (answer, receipts) = oneshot::channel();
        let sent = self.requests.send(Request::Write(messages, answer)).await.is_ok();
        match receipts.await {
            Ok(receipts) if sent => receipts,
            Ok(_) | Err(_) => failed(count, "the committer has ended"),
        }
    }

    /// Remembers ids that are in the log since before this committer began.
    pub(super) async fn recall(&self, ids: Vec<(String, u64)>) -> Result<(), ServiceError> {
        let sent = self.requests.send(Request::Recall(ids)).await;
        sent.map_err(|_closed| unavailable("the committer has ended"))
    }
}

fn unavailable(reason: &str) -> ServiceError {
    ServiceError::Unavailable { service: "nats", source: reason.into() }
}

fn failed(count: usize, reason: &str) -> Vec<Result<Receipt, ServiceError>> {
    (0..count).map(|_| Err(unavailable(reason))).collect()
}

/// An outcome once more, for a message with the same id as the one that was written.
fn repeated(outcome: &Result<Receipt, ServiceError>) -> Result<Receipt, ServiceError> {
    match outcome {
        Ok(receipt) => Ok(Receipt { duplicate: true, ..*receipt }),
        Err(error) if error.is_transient() => Err(unavailable(&error.chain())),
        Err(error) => Err(ServiceError::Refused { service: "nats", source: error.chain().into() }),
    }
}

/// What one message of a group became.
#[derive(Clone, Copy)]
enum Place {
    /// Written lately: here is its receipt.
    Known(Receipt),
    /// The n-th of those that are written.
    Written(usize),
    /// The same id as the n-th of those that are written.
    Repeated(usize),
}

/// What was asked for together.
struct Group {
    /// The ids of the messages that are written.
    ids: Vec<u128>,
    /// Who waits, and for which of them.
    answers: Vec<(Answer, Vec<Place>)>,
}

/// A group that is on its way as single messages, and its outcomes.
type UnderWay = BoxFuture<'static, (Group, Vec<Result<Receipt, ServiceError>>)>;

struct Lane<J> {
    writer: Writer<J>,
    flights: Flights,
}

impl<J: Journal> Lane<J> {
    async fn run(mut self, mut waiting: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some((group, outcomes)) = self.flights.under_way.next() => {
                    self.flights.landed(group, outcomes);
                }
                count = waiting.recv_many(&mut group, MOST), if self.flights.singles < SINGLES => {
                    if count == 0 {
                        break;
                    }
                    self.commit(std::mem::take(&mut group)).await;
                }
            }
        }
        while let Some((group, outcomes)) = self.flights.under_way.next().await {
            self.flights.landed(group, outcomes);
        }
    }

    /// Writes a group: few messages go on their way, of many the end is awaited.
    async fn commit(&mut self, group: Vec<Request>) {
        let (messages, group) = self.flights.sort(group);
        if group.answers.is_empty() {
            return;
        }
        if messages.len() < ATOMIC_FROM {
            let promises = self.writer.send(&messages).await;
            self.flights.start(group, promises);
            return;
        }
        let mut write = pin!(self.writer.write(&messages));
        let outcomes = loop {
            tokio::select! {
                outcomes = &mut write => break outcomes,
                Some((group, outcomes)) = self.flights.under_way.next() => {
                    self.flights.landed(group, outcomes);
                }
            }
        };
        self.flights.told(group, outcomes);
    }
}

/// What was written lately, and what is on its way as single messages.
struct Flights {
    clock: Clock,
    recent: Recent,
    under_way: FuturesUnordered<UnderWay>,
    /// How many single messages are on their way.
    singles: usize,
}

impl Flights {
    fn start(&mut self, group: Group, promises: JoinAll<Promise>) {
        self.singles = self.singles.saturating_add(group.ids.len());
        self.under_way.push(promises.map(|outcomes| (group, outcomes)).boxed());
    }

    /// Single messages have their outcomes.
    fn landed(&mut self, group: Group, outcomes: Vec<Result<Receipt, ServiceError>>) {
        self.singles = self.singles.saturating_sub(group.ids.len());
        self.told(group, outcomes);
    }

    /// Remembers what is written, and tells everybody who waits for it.
    fn told(&mut self, group: Group, outcomes: Vec<Result<Receipt, ServiceError>>) {
        let now = self.clock.instant();
        for (id, outcome) in group.ids.iter().zip(&outcomes) {
            if let Ok(receipt) = outcome {
                self.recent.remember(*id, receipt.sequence, now);
            }
        }
        give(group.answers, outcomes);
    }

    /// What of a group is to be written, each id once, and what everybody who asked will be told.
    fn sort(&mut self, group: Vec<Request>) -> (Vec<Outgoing>, Group) {
        let now = self.clock.instant();
        self.recent.forget(now);
        let mut fresh = Vec::new();
        let mut ids = Vec::new();
        let mut seen: HashMap<u128, usize> = HashMap::new();
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            let (messages, answer) = match request {
                Request::Write(messages, answer) => (messages, answer),
                Request::Recall(ids) => {
                    for (id, sequence) in ids {
                        self.recent.remember(self.recent.id(&id), sequence, now);
                    }
                    continue;
                }
            };
            let mut places = Vec::with_capacity(messages.len());
            for message in messages {
                let id = self.recent.id(&message.id);
                places.push(match (self.recent.get(id), seen.get(&id)) {
                    (Some(sequence), _) => Place::Known(Receipt { sequence, duplicate: true }),
                    (None, Some(at)) => Place::Repeated(*at),
                    (None, None) => {
                        seen.insert(id, fresh.len());
                        ids.push(id);
                        fresh.push(message);
                        Place::Written(fresh.len().saturating_sub(1))
                    }
                });
            }
            answers.push((answer, places));
        }
        (fresh, Group { ids, answers })
    }
}

/// What writes, and what it has met.
struct Writer<J> {
    stream: &'static str,
    journal: J,
    clock: Clock,
    /// Since when refused batches are counted, and how many there were.
    refusals: (Instant, u32),
}

impl<J: Journal> Writer<J> {
    /// Sends messages one by one.
    async fn send(&self, messages: &[Outgoing]) -> JoinAll<Promise> {
        let mut promises = Vec::with_capacity(messages.len());
        for message in messages {
            promises.push(self.journal.send(message).await);
        }
        metric::log_written(self.stream, "single", messages.len(), messages.len());
        // Together: when a connection breaks, every ack is lost, and one time-out after the other would
        // hold up a stage for hours.
        join_all(promises)
    }

    async fn singly(&self, messages: &[Outgoing]) -> Vec<Result<Receipt, ServiceError>> {
        self.send(messages).await.await
    }

    /// Counts a refused batch; whether there were many of them lately.
    fn refused_often(&mut self) -> bool {
        let now = self.clock.instant();
        let (since, count) = self.refusals;
        let fresh = now.saturating_duration_since(since) <= Duration::from_secs(1);
        let count = if fresh { count.saturating_add(1) } else { 1 };
        self.refusals = (if fresh { since } else { now }, count);
        count > REFUSALS
    }

    /// Writes the messages of a group in as few writes as the limits allow. After an outage the rest is not
    /// tried. (Single messages are on their way before those before them have a receipt: of two groups the
    /// later one may be written where the earlier is lost, and its sender sends it again.)
    async fn write(&mut self, messages: &[Outgoing]) -> Vec<Result<Receipt, ServiceError>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut stack: Vec<&[Outgoing]> = in_writes(messages);
        stack.reverse();
        while let Some(part) = stack.pop() {
            if part.len() < ATOMIC_FROM {
                outcomes.extend(self.singly(part).await);
                continue;
            }
            match self.journal.together(part).await {
                Ok(last) => {
                    outcomes.extend(receipts(last, part.len()).map(Ok));
                    metric::log_written(self.stream, "batch", 1, part.len());
                }
                Err(Refusal::Known) if self.refused_often() => {
                    outcomes.extend(self.singly(part).await);
                }
                Err(Refusal::Known) => {
                    let size = part.len().div_ceil(PARTS);
                    stack.extend(part.chunks(size.max(1)).rev());
                }
                Err(Refusal::Rejected(reason)) => {
                    tracing::debug!(reason, messages = part.len(), "a batch is written singly");
                    outcomes.extend(self.singly(part).await);
                }
                Err(Refusal::Unavailable(error)) => {
                    let left = messages.len().saturating_sub(outcomes.len());
                    outcomes.extend(failed(left, &error.chain()));
                    break;
                }
            }
        }
        outcomes
    }
}

/// Divides messages into writes.
fn in_writes(messages: &[Outgoing]) -> Vec<&[Outgoing]> {
    let mut writes = Vec::new();
    let (mut bytes, mut count) = (0usize, 0usize);
    let mut rest = messages;
    for message in messages {
        let size = message.payload.len();
        if count == MOST || (count > 0 && bytes.saturating_add(size) > MOST_BYTES) {
            let (write, after) = rest.split_at(count);
            writes.push(write);
            rest = after;
            (bytes, count) = (0, 0);
        }
        bytes = bytes.saturating_add(size);
        count = count.saturating_add(1);
    }
    if !rest.is_empty() {
        writes.push(rest);
    }
    writes
}

/// The receipts of a batch whose messages have consecutive numbers up to `last`.
fn receipts(last: u64, count: usize) -> impl Iterator<Item = Receipt> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let before = last.saturating_sub(count);
    (1..=count).map(move |n| Receipt { sequence: before.saturating_add(n), duplicate: false })
}

/// Hands every request its receipts.
fn give(answers: Vec<(Answer, Vec<Place>)>, outcomes: Vec<Result<Receipt, ServiceError>>) {
    let repeats: HashMap<usize, Result<Receipt, ServiceError>> = answers
        .iter()
        .flat_map(|(_, places)| places)
        .filter_map(|place| match place {
            Place::Repeated(at) => Some((*at, repeated(outcomes.get(*at)?))),
            Place::Known(_) | Place::Written(_) => None,
        })
        .collect();
    let mut outcomes: Vec<Option<_>> = outcomes.into_iter().map(Some).collect();
    for (answer, places) in answers {
        let receipts = places
            .into_iter()
            .map(|place| match place {
                Place::Known(receipt) => Some(Ok(receipt)),
                Place::Written(at) => outcomes.get_mut(at).and_then(Option::take),
                Place::Repeated(at) => repeats.get(&at).map(repeated),
            })
            .map(|outcome| outcome.unwrap_or_else(|| Err(unavailable("the log gave no answer"))))
            .collect();
        // Nobody waits any more: the message is durable, its sender will find that out.
        drop(answer.send(receipts));
    }
}

/// The ids that were written lately, as 128-bit hashes with keys of this process: an id costs
/// 60 bytes or so, and nobody outside can make two ids meet.
#[derive(Debug, Default)]
struct Recent {
    keys: (RandomState, RandomState),
    known: HashMap<u128, u64>,
    ages: VecDeque<(Instant, u128)>,
}

impl Recent {
    fn id(&self, id: &str) -> u128 {
        let high = u128::from(self.keys.0.hash_one(id));
        (high << 64) | u128::from(self.keys.1.hash_one(id))
    }

    fn get(&self, id: u128) -> Option<u64> {
        self.known.get(&id).copied()
    }

    fn remember(&mut self, id: u128, sequence: u64, now: Instant) {
        if self.known.insert(id, sequence).is_none() {
            self.ages.push_back((now, id));
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.ages.front() {
            let old = now.saturating_duration_since(*at) > REMEMBER;
            if !old && self.ages.len() <= REMEMBER_MOST {
                break;
            }
            self.known.remove(id);
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
