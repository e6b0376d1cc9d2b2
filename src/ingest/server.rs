//! The listener: it takes connections up to their bound, and drains them when told to stop.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::server::conn::auto;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Intake, Observer,
    admission::Admission,
    body::Budget,
    config::{EdgeConfig, EdgeError, StoreEndpoint},
    connection,
    directory::Directory,
};
use crate::clock::Clock;

/// How long to wait after the system refused a connection for want of something (descriptors,
/// memory): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The least that the HTTP/1 parser takes for a head, in bytes; it panics at less.
const HEAD_MIN: u32 = 8192;

/// The window of one HTTP/2 stream, in bytes: what a client may send before it is read.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What all requests share.
pub(super) struct Shared<I, O> {
    pub(super) config: EdgeConfig,
    pub(super) directory: Directory,
    pub(super) intake: Arc<I>,
    pub(super) observer: Arc<O>,
    pub(super) clock: Clock,
    pub(super) budget: Arc<Budget>,
    pub(super) admission: Arc<Admission>,
    pub(super) http: auto::Builder<Tasks>,
    /// Everything that the edge has started and that a drain waits for.
    pub(super) tasks: TaskTracker,
    open: AtomicUsize,
}

/// Runs the server library's tasks where a drain sees them.
#[derive(Debug, Clone)]
pub(super) struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a drain that timed out has cut somebody off"]
pub enum Drained {
    /// Every request was answered.
    Clean,
    /// Something was still open after [`EdgeConfig::drain_timeout`], and its connection was cut. A
    /// delivery that the log was still working on goes on as long as the runtime does.
    TimedOut,
}

/// The edge, listening.
pub struct Edge<I, O> {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared<I, O>>,
}

impl<I: Intake, O: Observer> Edge<I, O> {
    /// Prepares the keys and starts to listen. Connections wait until [`Self::run`].
    pub async fn bind(
        config: EdgeConfig,
        stores: Vec<StoreEndpoint>,
        intake: Arc<I>,
        observer: Arc<O>,
        clock: Clock,
    ) -> Result<Self, EdgeError> {
        config.check()?;
        let admission = Admission::new(
            &config.admission,
            stores.len(),
            config.buffered_limit.get(),
            config.body_limit.get(),
        );
        let directory = Directory::new(stores)?;
        let at = |source| EdgeError::Bind { address: config.address, source };
        let listener = TcpListener::bind(config.address).await.map_err(at)?;
        let address = listener.local_addr().map_err(at)?;
        let tasks = TaskTracker::new();
        let shared = Shared {
            directory,
            intake,
            observer,
            clock,
            budget: Budget::new(config.buffered_limit.get()),
            admission,
            http: http(&config, &tasks),
            tasks,
            open: AtomicUsize::new(0),
            config,
        };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// The address that it listens on, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Who decides what comes in: to be told how the pipeline behind the edge is doing.
    pub fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.shared.admission)
    }

    /// Serves until `stop` is cancelled, then drains: no new connection, no further request on an
    /// open one, an answer to each that has begun, for at most [`EdgeConfig::drain_timeout`].
    ///
    /// Dropping the future cuts every connection.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        let Self { listener, shared, .. } = self;
        let cut = CancellationToken::new();
        let cut_when_dropped = cut.clone().drop_guard();
        // Not `stop` itself: connections are told to close after the listener has closed, so that a
        // client that is sent away does not come straight back.
        let closing = CancellationToken::new();
        let close_when_dropped = closing.clone().drop_guard();
        let permits = Arc::new(Semaphore::new(shared.config.max_connections.get()));
        while let Some((stream, permit)) = next(&listener, &permits, &stop).await {
            let open = Open::new(Arc::clone(&shared), permit);
            let serving =
                connection::serve(Arc::clone(&shared), stream, closing.clone(), cut.clone());
            shared.tasks.spawn(async move {
                serving.await;
                drop(open);
            });
        }
        drop(listener);
        drop(close_when_dropped);
        shared.tasks.close();
        let drained = tokio::time::timeout(shared.config.drain_timeout, shared.tasks.wait()).await;
        drop(cut_when_dropped);
        if drained.is_ok() { Drained::Clean } else { Drained::TimedOut }
    }
}

impl<I, O> fmt::Debug for Edge<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The next connection, when there is room for one; `None` at the stop.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accepting = async {
        // Room first: what is not accepted waits in the kernel and is not lost.
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small; without this each waits for the client's ack. A socket
                    // that refuses is a slow one, not a broken one.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection keeps its delay");
                    }
                    return Some((stream, permit));
                }
                Err(error) => refused(&error).await,
            }
        }
    };
    stop.run_until_cancelled(accepting).await.flatten()
}

/// Waits out a failed accept. A client that went away in the queue is no reason to wait.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::warn!(%error, "the system refuses connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn http(config: &EdgeConfig, tasks: &TaskTracker) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(Tasks(tasks.clone()));
    let head = config.head_limit.get().max(HEAD_MIN);
    builder
        .http1()
        // The connection's own clock does this for every protocol.
        .header_read_timeout(None)
        // An HTTP/1.0 client may close its sending side after the request and still listen.
        .half_close(true)
        .max_buf_size(usize::try_from(head).unwrap_or(usize::MAX));
    builder
        .http2()
        .max_header_list_size(head)
        .max_concurrent_streams(config.max_streams.get())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(4));
    builder
}

/// An open connection, counted while it lives.
struct Open<I, O: Observer> {
    shared: Arc<Shared<I, O>>,
    _permit: OwnedSemaphorePermit,
}

impl<I, O: Observer> Open<I, O> {
    fn new(shared: Arc<Shared<I, O>>, permit: OwnedSemaphorePermit) -> Self {
        let open = shared.open.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        shared.observer.connections(open);
        Self { shared, _permit: permit }
    }
}

impl<I, O: Observer> Drop for Open<I, O> {
    fn drop(&mut self) {
        let open = self.shared.open.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        self.shared.observer.connections(open);
    }
}
