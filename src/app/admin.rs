//! The admin listener: `/metrics`, `/healthz`, `/readyz`. For the company's own network only.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{sink::CompanyCell, store::postgres::Postgres, stream::jetstream::JetStream};

/// The most connections at once; a scraper needs one.
const CONNECTIONS: usize = 64;
const HEADERS: Duration = Duration::from_secs(10);
const PROBE: Duration = Duration::from_secs(2);
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Parts {
    metrics: PrometheusHandle,
    log: Arc<JetStream>,
    store: Arc<Postgres>,
    company: CompanyCell,
}

#[derive(Debug)]
pub(super) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    parts: Arc<Parts>,
}

impl Admin {
    pub(super) async fn bind(
        address: SocketAddr,
        metrics: PrometheusHandle,
        log: Arc<JetStream>,
        store: Arc<Postgres>,
        company: CompanyCell,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, parts: Arc::new(Parts { metrics, log, store, company }) })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn run(self, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = upkeep.tick() => self.parts.metrics.run_upkeep(),
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => {
                    let Ok((stream, _)) = accepted else { continue };
                    let parts = self.parts.clone();
                    let service = service_fn(move |request| answer(parts.clone(), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADERS)
                        .serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "an admin connection broke");
                        }
                    });
                }
            }
        }
    }
}

async fn answer(
    parts: Arc<Parts>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()));
    }
    Ok(match request.uri().path() {
        "/metrics" => text(StatusCode::OK, parts.metrics.render()),
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(&parts).await,
        _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz\n".to_owned()),
    })
}

/// Ready means that a webhook would be taken and its order posted.
async fn ready(parts: &Parts) -> Response<Full<Bytes>> {
    let database = tokio::time::timeout(PROBE, parts.store.ping()).await;
    let lines = [
        ("nats", parts.log.is_connected()),
        ("postgres", matches!(database, Ok(Ok(())))),
        ("company", parts.company.is_loaded()),
    ];
    let all = lines.iter().all(|(_, ok)| *ok);
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let body = lines.map(|(name, ok)| format!("{name} {}\n", word(ok))).concat();
    text(if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}
