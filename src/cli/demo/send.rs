//! Sends the webhooks over real sockets, at a steady rate, and measures each answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Version, header::RETRY_AFTER};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::traffic::{HttpVersion, Shot};
use crate::cli::output::Progress;

/// What the sender saw.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// From the moment at which a request was due until its answer was read, in ascending order.
    pub(super) latencies: Vec<Duration>,
    /// Answers that were not as expected: expected, got, how many.
    pub(super) surprises: BTreeMap<(u16, u16), usize>,
    /// Answers that said that the delivery was there already.
    pub(super) duplicates: usize,
    /// Answers that asked for patience (503), after which the request was sent again.
    pub(super) put_off: usize,
}

/// The most requests on their way at once.
const IN_FLIGHT: usize = 64;
/// How often a request is sent that is put off, as a shop sends it again.
const TRIES: usize = 20;
/// How long to wait where the answer does not say.
const PAUSE: Duration = Duration::from_secs(1);

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Sends all shots, `rate` a second. The time of each counts from when it was due, so a slow answer
/// cannot hide behind the requests that it delays.
pub(super) async fn send(
    address: SocketAddr,
    shots: Vec<Shot>,
    rate: u32,
    progress: &mut Progress,
) -> anyhow::Result<Sent> {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let total = u64::try_from(shots.len())?;
    let mut tasks = JoinSet::new();
    let mut sent = Sent::default();
    let begin = Instant::now();
    for (number, shot) in (0u32..).zip(shots) {
        let offset = Duration::from_secs(1).saturating_mul(number).checked_div(rate);
        let offset = offset.context("the rate is zero")?;
        let due = begin.checked_add(offset).unwrap_or(begin);
        tokio::time::sleep_until(due.into()).await;
        let place = room.clone().acquire_owned().await?;
        let client = client.clone();
        tasks.spawn(async move {
            let mut put_off = 0usize;
            let answer = loop {
                match one(&client, address, &shot).await {
                    Ok(answer) if answer.status == 503 && put_off < TRIES => {
                        put_off = put_off.saturating_add(1);
                        tokio::time::sleep(answer.retry_after).await;
                    }
                    answer => break answer,
                }
            };
            drop(place);
            Done { shot, answer, put_off, latency: due.elapsed() }
        });
        while let Some(done) = tasks.try_join_next() {
            sent.add(done?)?;
        }
        progress.show("sent", u64::from(number).saturating_add(1), total);
    }
    while let Some(done) = tasks.join_next().await {
        sent.add(done?)?;
    }
    progress.done();
    sent.latencies.sort_unstable();
    Ok(sent)
}

/// An answer.
struct Answer {
    status: u16,
    body: Bytes,
    retry_after: Duration,
}

/// A request with its last answer.
struct Done {
    shot: Shot,
    answer: anyhow::Result<Answer>,
    put_off: usize,
    /// From when it was due.
    latency: Duration,
}

impl Sent {
    fn add(&mut self, Done { shot, answer, put_off, latency }: Done) -> anyhow::Result<()> {
        let Answer { status, body, .. } = answer.with_context(|| format!("POST {}", shot.path))?;
        self.latencies.push(latency);
        self.put_off = self.put_off.saturating_add(put_off);
        if status != shot.expect_status {
            let count = self.surprises.entry((shot.expect_status, status)).or_default();
            *count = count.saturating_add(1);
        }
        if body.windows(b"duplicate".len()).any(|window| window == b"duplicate") {
            self.duplicates = self.duplicates.saturating_add(1);
        }
        Ok(())
    }

    /// The latency that a share of the answers stayed within, in hundredths.
    pub(super) fn percentile(&self, hundredths: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = last.saturating_mul(hundredths).div_ceil(100);
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

async fn one(client: &HttpClient, address: SocketAddr, shot: &Shot) -> anyhow::Result<Answer> {
    let mut request = Request::builder()
        .method(shot.method)
        .uri(format!("http://{address}{}", shot.path))
        .version(if shot.http == HttpVersion::Http10 {
            Version::HTTP_10
        } else {
            Version::HTTP_11
        });
    for (name, value) in &shot.headers {
        request = request.header(name.as_str(), value.as_str());
    }
    let request = request.body(Full::new(Bytes::from(shot.body.clone())))?;
    let answer = client.request(request).await?;
    let status = answer.status().as_u16();
    let wait = answer.headers().get(RETRY_AFTER).and_then(|text| text.to_str().ok()?.parse().ok());
    let retry_after = wait.map_or(PAUSE, Duration::from_secs);
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body, retry_after })
}
