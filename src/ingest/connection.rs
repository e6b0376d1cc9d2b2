//! One connection: HTTP/1.0, HTTP/1.1 or HTTP/2 with prior knowledge, and when it has to go.
//!
//! One clock watches every connection, whatever its protocol: a first head must come within
//! `header_timeout`, later ones within `keep_alive` of each other. The server library has a timer
//! for HTTP/1 heads only, and none while it still waits for the bytes that tell the two apart.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{EdgeConfig, Intake, Observer, server::Shared};

/// What a connection is doing.
#[derive(Debug)]
struct Activity {
    opened: Instant,
    /// A request head has been read.
    begun: AtomicBool,
    requests: AtomicUsize,
    /// When the last request ended, in milliseconds since the opening.
    idle_since: AtomicU64,
}

/// What the clock of a connection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing to do until then.
    Wait(Instant),
    /// Ask the client to go.
    Close,
    /// Cut the connection.
    Cut,
}

/// A request in the making.
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let millis = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(millis, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Release);
    }
}

impl Activity {
    fn new(opened: Instant) -> Self {
        let (begun, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { opened, begun, requests, idle_since: AtomicU64::new(0) }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn verdict(&self, now: Instant, closing: bool, config: &EdgeConfig) -> Verdict {
        let last_chance = closing || !self.begun.load(Ordering::Relaxed);
        let allowed = if last_chance { config.header_timeout } else { config.keep_alive };
        if self.requests.load(Ordering::Acquire) > 0 {
            return Verdict::Wait(after(now, allowed));
        }
        let idle_since = Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        let until = after(after(self.opened, idle_since), allowed);
        if now < until {
            Verdict::Wait(until)
        } else if last_chance {
            Verdict::Cut
        } else {
            Verdict::Close
        }
    }
}

/// A later instant. A duration too long to add never comes, and a day is as good as that.
fn after(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration.min(Duration::from_hours(24))).unwrap_or(instant)
}

/// Serves a connection until it ends, is idle for too long, is told to stop, or is cut.
pub(super) async fn serve<I: Intake, O: Observer>(
    shared: Arc<Shared<I, O>>,
    stream: TcpStream,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let config = &shared.config;
    let activity = Arc::new(Activity::new(Instant::now()));
    let service = service_fn(|request: Request<Incoming>| {
        let busy = activity.begin();
        let answering = Arc::clone(&shared).serve(request);
        async move {
            let response = answering.await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let mut serving = pin!(shared.http.serve_connection(TokioIo::new(stream), service));
    let first = config.header_timeout.min(config.keep_alive);
    let mut alarm = pin!(sleep_until(after(activity.opened, first)));
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &*error, "a connection ended with an error");
                }
                return;
            }
            () = stop.cancelled(), if !closing => {
                closing = true;
                serving.as_mut().graceful_shutdown();
                let latest = after(Instant::now(), config.header_timeout);
                let earlier = alarm.deadline().min(latest);
                alarm.as_mut().reset(earlier);
            }
            () = cut.cancelled(), if closing => return,
            () = alarm.as_mut() => match activity.verdict(Instant::now(), closing, config) {
                Verdict::Wait(until) => alarm.as_mut().reset(until),
                Verdict::Close => {
                    closing = true;
                    serving.as_mut().graceful_shutdown();
                    alarm.as_mut().reset(after(Instant::now(), config.header_timeout));
                }
                Verdict::Cut => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_gives_each_phase_its_time() {
        let config = EdgeConfig::new(([127, 0, 0, 1], 0).into());
        let (header, keep) = (config.header_timeout, config.keep_alive);
        let start = Instant::now();
        let activity = Arc::new(Activity::new(start));
        let verdict = |closing| activity.verdict(Instant::now(), closing, &config);

        assert_eq!(verdict(false), Verdict::Wait(start + header));
        tokio::time::advance(header).await;
        assert_eq!(verdict(false), Verdict::Cut);

        let busy = activity.begin();
        assert_eq!(verdict(false), Verdict::Wait(Instant::now() + keep));
        tokio::time::advance(keep * 2).await;
        assert_eq!(verdict(false), Verdict::Wait(Instant::now() + keep));
        drop(busy);

        let idle = Instant::now();
        assert_eq!(verdict(false), Verdict::Wait(idle + keep));
        assert_eq!(verdict(true), Verdict::Wait(idle + header));
        tokio::time::advance(keep).await;
        assert_eq!(verdict(false), Verdict::Close);
        assert_eq!(verdict(true), Verdict::Cut);
    }
}
