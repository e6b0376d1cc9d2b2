//! Threads of their own for everything behind the edge, of lower priority than the edge's.
//!
//! Stages compute in pieces of milliseconds and always have more to do; a webhook needs a tenth of one
//! and somebody waits for its answer. On threads of their own the stages cannot keep it from a thread, and
//! where both want a core at the same time the system gives most of it to the edge.

use std::{future::Future, io};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinSet,
};

/// How much the threads of the stages are nicer than those of the edge: about a third of its share of a
/// core that both want.
const NICER: i32 = 5;

/// The runtime of the stages.
#[derive(Debug)]
pub(super) struct Behind(Option<Runtime>);

impl Behind {
    /// Starts the threads.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("stages")
            .on_thread_start(nicer)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn; the current runtime after the end.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

/// Does `work` on the threads of `there`, as long as it is waited for. It fails if `work` panics.
pub(super) async fn at<T: Send + 'static>(
    there: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let mut only = JoinSet::new();
    only.spawn_on(work, there);
    match only.join_next().await {
        Some(done) => done.map_err(io::Error::other),
        None => Err(io::Error::other("there was nothing to do")),
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // What still runs was cut off by the deadline: it is not waited for.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of the calling thread. Where the system does not want that, all are equal.
fn nicer() {
    let now = rustix::process::getpriority_process(None).unwrap_or_default();
    if let Err(error) = rustix::process::setpriority_process(None, now.saturating_add(NICER)) {
        tracing::debug!(%error, "the stages keep the priority of the edge");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_are_nicer_than_the_edge() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let behind = Behind::start().unwrap();
        let there = behind.handle();
        let waiting = Builder::new_current_thread().build().unwrap();
        let theirs = waiting
            .block_on(at(&there, async { rustix::process::getpriority_process(None).unwrap() }));
        assert_eq!(theirs.unwrap(), (own + NICER).min(19));
    }
}
