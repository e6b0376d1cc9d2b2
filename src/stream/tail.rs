//! What a batch still waits for after its effects are durable, before it may be acknowledged.
//!
//! A lane that hands on the last of its results through the log need not stand still until they are
//! written: it goes on with the next batch, and this one is acknowledged when they are. Writes that
//! nobody waits for can also be collected for a moment, and one sync of the disk serves many batches.
//!
//! Invariant: the same as without it. A batch is acknowledged only after all that it handed on is
//! durable; if a write fails, or the program is killed before, the batch comes again and hands on again.

use std::{
    collections::VecDeque,
    future::pending,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{Outgoing, Publish, ServiceError};

/// For how long messages are collected: nobody waits for them but the warehouse, which collects for
/// longer itself.
const LINGER: Duration = Duration::from_millis(50);
/// The most messages of one write, but for those of a single batch.
const MOST: usize = 500;
/// The most batches that wait for the writer; more wait at the door.
const WAITING: usize = 64;

/// The messages of one batch and where to say whether all are durable.
struct Request {
    messages: Vec<Outgoing>,
    durable: oneshot::Sender<bool>,
}

/// Writes what several lanes hand on last.
#[derive(Debug, Clone)]
pub struct Trail {
    requests: mpsc::Sender<Request>,
}

impl Trail {
    /// A trail and its writer, which ends when the last clone of the trail is gone.
    pub fn new<P: Publish>(log: Arc<P>) -> (Self, impl Future<Output = ()> + Send + use<P>) {
        let (requests, waiting) = mpsc::channel(WAITING);
        (Self { requests }, write(log, waiting))
    }

    /// Hands messages on; `tail` then knows what their batch waits for.
    pub async fn push(&self, messages: Vec<Outgoing>, tail: &Tail) -> Result<(), ServiceError> {
        if messages.is_empty() {
            return Ok(());
        }
        let (durable, said) = oneshot::channel();
        self.requests.send(Request { messages, durable }).await.map_err(|_closed| {
            let source = "the writer has ended".into();
            ServiceError::Unavailable { service: "log", source }
        })?;
        tail.lock().push(said);
        Ok(())
    }
}

async fn write<P: Publish>(log: Arc<P>, mut waiting: mpsc::Receiver<Request>) {
    while let Some(first) = waiting.recv().await {
        tokio::time::sleep(LINGER).await;
        let mut count = first.messages.len();
        let mut requests = vec![first];
        while count < MOST
            && let Ok(next) = waiting.try_recv()
        {
            count = count.saturating_add(next.messages.len());
            requests.push(next);
        }
        let messages = requests.iter_mut().flat_map(|request| mem::take(&mut request.messages));
        // Together they fail together: a batch that comes again needlessly is harmless.
        let written = log.publish_all(messages.collect()).await;
        if let Err(error) = &written {
            tracing::warn!(error = error.chain(), "what was handed on is not in the log");
        }
        for request in requests {
            // A lane that has ended does not listen; its batch comes again.
            request.durable.send(written.is_ok()).unwrap_or_default();
        }
    }
}

/// What the batch of a lane waits for: filled by the last sink of the lane, emptied by its runner.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<Vec<oneshot::Receiver<bool>>>>);

impl Tail {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<oneshot::Receiver<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was handed on since the last time.
    pub(super) fn take(&self) -> Pending {
        Pending { open: mem::take(&mut *self.lock()), durable: true }
    }
}

/// What one batch waits for.
#[derive(Debug)]
pub(super) struct Pending {
    open: Vec<oneshot::Receiver<bool>>,
    durable: bool,
}

impl Pending {
    /// Whether there is nothing to wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Waits until it is known of all whether they are durable, and says so. Whoever stops waiting may
    /// come back.
    async fn settled(&mut self) -> bool {
        while let Some(said) = self.open.last_mut() {
            self.durable &= said.await.unwrap_or(false);
            self.open.pop();
        }
        self.durable
    }
}

/// Waits for the oldest batch and takes it out; for ever if there is none.
pub(super) async fn oldest<T>(open: &mut VecDeque<(Pending, T)>) -> (bool, T) {
    let durable = match open.front_mut() {
        Some((pending, _)) => pending.settled().await,
        None => pending().await,
    };
    match open.pop_front() {
        Some((_, batch)) => (durable, batch),
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stage::message::Headers,
        stream::memory::{Faults, MemoryLog},
    };

    fn message(id: &str) -> Outgoing {
        Outgoing {
            subject: "x".to_owned(),
            id: id.to_owned(),
            headers: Headers::default(),
            payload: bytes::Bytes::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_until_its_messages_are_durable_and_the_lane_does_not() {
        let log = MemoryLog::default();
        let (shared, writer) = Trail::new(Arc::new(log.clone()));
        let (one, two) = (Tail::default(), Tail::default());
        shared.push(vec![message("a"), message("b")], &one).await.unwrap();
        shared.push(vec![message("c")], &two).await.unwrap();
        let mut open = VecDeque::from([(one.take(), 1), (two.take(), 2)]);
        assert!(one.take().is_empty());
        assert!(log.messages("x").is_empty());
        let settled = async {
            let settled = [oldest(&mut open).await, oldest(&mut open).await];
            drop(shared);
            settled
        };
        let ((), settled) = futures_util::future::join(writer, settled).await;
        assert_eq!(settled, [(true, 1), (true, 2)]);
        assert_eq!(log.messages("x").len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_written_is_not_acknowledged() {
        let log = MemoryLog::default();
        log.script(Faults { publish_fails: [true].into(), ..Faults::default() });
        let (shared, writer) = Trail::new(Arc::new(log.clone()));
        let tail = Tail::default();
        shared.push(vec![message("a")], &tail).await.unwrap();
        let mut open = VecDeque::from([(tail.take(), ())]);
        let settled = async {
            let settled = oldest(&mut open).await;
            drop(shared);
            settled
        };
        let ((), (durable, ())) = futures_util::future::join(writer, settled).await;
        assert!(!durable);
    }

    #[tokio::test]
    async fn a_writer_that_is_gone_is_an_error_and_never_an_acknowledgement() {
        let (shared, writer) = Trail::new(Arc::new(MemoryLog::default()));
        let tail = Tail::default();
        shared.push(vec![message("a")], &tail).await.unwrap();
        drop(writer);
        assert!(!oldest(&mut VecDeque::from([(tail.take(), ())])).await.0);
        assert!(shared.push(vec![message("b")], &tail).await.is_err());
    }
}
