//! The log in memory, with scripted faults: the same traits as JetStream, for simulations.
//!
//! It keeps what the real log promises and no more: at least once, in any order, with duplicates of
//! whatever was not acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Delivery, Disposition, Inbox, Outgoing, Publish, Receipt, ServiceError};
use crate::stage::message::Headers;

/// Decides, message by message, what goes wrong. `None` everywhere is a log without faults.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Each publish fails when the next of these says so (the message is then not stored).
    pub publish_fails: VecDeque<bool>,
    /// Each publish reports a failure although it stored the message (the ack was lost).
    pub ack_lost: VecDeque<bool>,
    /// Each fetch hands its messages out in this rotation.
    pub rotate: VecDeque<usize>,
    /// Each settle is lost when the next of these says so: everything in it comes again.
    pub settle_lost: VecDeque<bool>,
}

#[derive(Debug, Default)]
struct Log {
    messages: Vec<Outgoing>,
    ids: BTreeSet<String>,
    faults: Faults,
    consumers: BTreeMap<String, Cursor>,
}

#[derive(Debug, Default)]
struct Cursor {
    settled: BTreeSet<usize>,
    attempts: BTreeMap<usize, u32>,
}

/// A log in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog(Arc<Mutex<Log>>);

impl MemoryLog {
    /// From now on these faults happen.
    pub fn script(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A durable consumer of the subjects that start with `prefix`; the same name and prefix go on
    /// where the last consumer stopped, as after a restart.
    pub fn inbox(&self, prefix: &str) -> MemoryInbox {
        MemoryInbox { log: self.clone(), prefix: prefix.to_owned() }
    }

    /// How many messages a consumer of `prefix` has not settled.
    pub fn open(&self, prefix: &str) -> usize {
        let log = self.lock();
        let settled = log.consumers.get(prefix).map_or(0, |cursor| cursor.settled.len());
        let all = log.messages.iter().filter(|m| m.subject.starts_with(prefix)).count();
        all.saturating_sub(settled)
    }

    /// Every message whose subject starts with `prefix`.
    pub fn messages(&self, prefix: &str) -> Vec<Outgoing> {
        self.lock().messages.iter().filter(|m| m.subject.starts_with(prefix)).cloned().collect()
    }
}

fn fault(script: &mut VecDeque<bool>) -> bool {
    script.pop_front().unwrap_or(false)
}

fn down() -> ServiceError {
    ServiceError::Unavailable { service: "memory", source: "scripted fault".into() }
}

impl Publish for MemoryLog {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<Receipt, ServiceError>> {
        let mut log = self.lock();
        let store = |message: Outgoing| {
            if fault(&mut log.faults.publish_fails) {
                return Err(down());
            }
            let duplicate = !log.ids.insert(message.id.clone());
            if !duplicate {
                log.messages.push(message);
            }
            let sequence = u64::try_from(log.messages.len()).unwrap_or(u64::MAX);
            if fault(&mut log.faults.ack_lost) {
                return Err(down());
            }
            Ok(Receipt { sequence, duplicate })
        };
        messages.into_iter().map(store).collect()
    }
}

/// A consumer of a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryInbox {
    log: MemoryLog,
    prefix: String,
}

impl Inbox for MemoryInbox {
    type Token = usize;

    async fn fetch(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery<usize>>, ServiceError> {
        let batch = {
            let mut log = self.log.lock();
            let log = &mut *log;
            let cursor = log.consumers.entry(self.prefix.clone()).or_default();
            let mut open: Vec<usize> = (0..log.messages.len())
                .filter(|at| !cursor.settled.contains(at))
                .filter(|at| {
                    log.messages.get(*at).is_some_and(|m| m.subject.starts_with(&self.prefix))
                })
                .take(max)
                .collect();
            let turn = log.faults.rotate.pop_front().unwrap_or(0);
            let turn = turn.checked_rem(open.len()).unwrap_or(0);
            open.rotate_left(turn);
            let mut batch = Vec::with_capacity(open.len());
            for at in open {
                let Some(message) = log.messages.get(at) else { continue };
                let attempt = cursor.attempts.entry(at).or_insert(0);
                *attempt = attempt.saturating_add(1);
                batch.push(Delivery {
                    subject: message.subject.clone(),
                    headers: message.headers.clone().with(Headers::DELIVERY, &message.id),
                    payload: message.payload.clone(),
                    attempt: *attempt,
                    sequence: u64::try_from(at).unwrap_or(u64::MAX),
                    token: at,
                });
            }
            batch
        };
        if batch.is_empty() {
            tokio::time::sleep(wait.min(Duration::from_millis(1))).await;
        }
        Ok(batch)
    }

    async fn settle(&self, settled: Vec<(usize, Disposition)>) -> Result<(), ServiceError> {
        let mut log = self.log.lock();
        if fault(&mut log.faults.settle_lost) {
            return Err(down());
        }
        let cursor = log.consumers.entry(self.prefix.clone()).or_default();
        let done = settled.into_iter().filter(|(_, d)| *d == Disposition::Ack);
        cursor.settled.extend(done.map(|(at, _)| at));
        Ok(())
    }
}
