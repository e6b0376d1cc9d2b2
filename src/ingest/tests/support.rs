//! A log that can be told to fail, a recorder, and clients that speak bytes.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    domain::id::{Platform, StoreId},
    ingest::{
        Accepted, Admission, Drained, Edge, EdgeConfig, Envelope, Intake, IntakeError, Observer,
        Outcome, Reason, StoreEndpoint,
    },
    stage::platform::{Scope, StorePolicy},
};

pub(super) const SECRET: &str = "hush";
pub(super) const TOKEN: &str = "token-of-the-company";
pub(super) const NOW: &str = "2026-11-21T12:00:00Z";

/// What the log does with the next deliveries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mood {
    Takes,
    Unavailable,
    Overloaded,
    TooLarge,
    Refuses,
    Panics,
    Hangs,
    /// Takes it after [`Log::open_gate`].
    Waits,
}

#[derive(Debug)]
pub(super) struct Log {
    mood: Mutex<Mood>,
    gate: Semaphore,
    waiting: Semaphore,
    taken: Mutex<Vec<Envelope>>,
    keys: Mutex<HashSet<String>>,
}

impl Log {
    pub(super) fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(super) fn open_gate(&self) {
        self.gate.add_permits(1);
    }

    /// Returns when another delivery waits at the gate or hangs.
    pub(super) async fn somebody_waits(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }

    pub(super) fn taken(&self) -> Vec<Envelope> {
        self.taken.lock().unwrap().clone()
    }
}

impl Intake for Log {
    async fn accept(&self, envelope: Envelope) -> Result<Accepted, IntakeError> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Takes => {}
            Mood::Unavailable => return Err(IntakeError::Unavailable("no route".into())),
            Mood::Overloaded => {
                let retry_after = Duration::from_millis(6_001);
                return Err(IntakeError::Overloaded { retry_after });
            }
            Mood::TooLarge => {
                return Err(IntakeError::TooLarge { length: envelope.body.len(), limit: 3 });
            }
            Mood::Refuses => return Err(IntakeError::Refused("no such subject".into())),
            Mood::Panics => panic!("told to"),
            Mood::Hangs => {
                self.waiting.add_permits(1);
                std::future::pending::<()>().await;
            }
            Mood::Waits => {
                self.waiting.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
            }
        }
        let duplicate = !self.keys.lock().unwrap().insert(envelope.delivery.clone());
        if !duplicate {
            self.taken.lock().unwrap().push(envelope);
        }
        Ok(Accepted { duplicate })
    }

    fn ready(&self) -> bool {
        true
    }
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    outcomes: Mutex<Vec<(&'static str, Outcome)>>,
    connections: Mutex<Vec<usize>>,
    pub(super) bytes: Mutex<Vec<usize>>,
    pub(super) seen: Mutex<Vec<(Platform, String)>>,
    pub(super) lags: Mutex<Vec<f64>>,
    pub(super) refused: Mutex<Vec<(Platform, String, Reason)>>,
}

impl Recorder {
    pub(super) fn outcomes(&self) -> Vec<(&'static str, Outcome)> {
        self.outcomes.lock().unwrap().clone()
    }

    /// Waits until this many requests have been counted, and returns what they ended as.
    pub(super) async fn after(&self, count: usize) -> Vec<(&'static str, Outcome)> {
        for _ in 0..500 {
            if self.outcomes().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.outcomes()
    }

    pub(super) fn open_connections(&self) -> usize {
        self.connections.lock().unwrap().last().copied().unwrap_or_default()
    }
}

impl Observer for Recorder {
    fn webhook(&self, platform: &'static str, outcome: Outcome, seconds: f64) {
        assert!((0.0..60.0).contains(&seconds));
        self.outcomes.lock().unwrap().push((platform, outcome));
    }
    fn body(&self, _: &'static str, bytes: usize) {
        self.bytes.lock().unwrap().push(bytes);
    }
    fn refused(&self, platform: Platform, store: &StoreId, reason: Reason) {
        self.refused.lock().unwrap().push((platform, store.to_string(), reason));
    }
    fn connections(&self, open: usize) {
        self.connections.lock().unwrap().push(open);
    }
    fn source_seen(&self, platform: Platform, store: &StoreId, at: Timestamp) {
        assert_eq!(at, NOW.parse().unwrap());
        self.seen.lock().unwrap().push((platform, store.to_string()));
    }
    fn source_lag(&self, _: &'static str, seconds: f64) {
        self.lags.lock().unwrap().push(seconds);
    }
}

/// A running edge with one store per platform, all named `acme`.
pub(super) struct Server {
    pub(super) edge: std::net::SocketAddr,
    pub(super) log: Arc<Log>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) admission: Arc<Admission>,
    pub(super) stop: CancellationToken,
    running: JoinHandle<Drained>,
}

pub(super) fn config() -> EdgeConfig {
    EdgeConfig::new(([127, 0, 0, 1], 0).into())
}

pub(super) fn stores() -> Vec<StoreEndpoint> {
    let endpoint = |platform| {
        let secrets = match platform {
            Platform::Api => vec![SecretString::from(TOKEN)],
            Platform::Shopify | Platform::WooCommerce | Platform::Magento => {
                vec![SecretString::from("the next one"), SecretString::from(SECRET)]
            }
        };
        let store = StoreId::parse("acme").unwrap();
        let scope = Scope::new(store.clone(), &StorePolicy::default());
        StoreEndpoint { store, platform, secrets, adobe: None, scope }
    };
    Platform::ALL.map(endpoint).into()
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(super) async fn with(config: EdgeConfig) -> Self {
        Self::of(config, stores()).await
    }

    pub(super) async fn of(config: EdgeConfig, stores: Vec<StoreEndpoint>) -> Self {
        let log = Arc::new(Log {
            mood: Mutex::new(Mood::Takes),
            gate: Semaphore::new(0),
            waiting: Semaphore::new(0),
            taken: Mutex::default(),
            keys: Mutex::default(),
        });
        let recorder = Arc::new(Recorder::default());
        let clock = Clock::of(|| NOW.parse().unwrap());
        let edge = Edge::bind(config, stores, Arc::clone(&log), Arc::clone(&recorder), clock)
            .await
            .unwrap();
        let address = edge.local_addr();
        let admission = edge.admission();
        let stop = CancellationToken::new();
        let running = TaskTracker::new().spawn(edge.run(stop.clone()));
        Self { edge: address, log, recorder, admission, stop, running }
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.edge).await.unwrap(), Vec::new())
    }

    /// Sends one request on a connection of its own.
    pub(super) async fn send(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect().await;
        client.write(request).await;
        client.reply().await
    }

    pub(super) async fn drained(self) -> Drained {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    /// The value of a header, whose name is given in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert!(!body["message"].as_str().unwrap().is_empty());
        body["error"].as_str().unwrap().to_owned()
    }
}

/// A connection, and what was read from it and not used.
pub(super) struct Client(pub(super) TcpStream, Vec<u8>);

impl Client {
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads one answer of HTTP/1, whose length is always given.
    pub(super) async fn reply(&mut self) -> Reply {
        let head = loop {
            if let Some(end) = self.1.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.1.split_off(end + 4);
                break String::from_utf8(std::mem::replace(&mut self.1, rest)).unwrap();
            }
            assert!(self.more().await, "the connection ended before an answer");
        };
        let mut reply = Reply { status: head[9..12].parse().unwrap(), head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.1.len() < length {
            assert!(self.more().await, "the connection ended within an answer");
        }
        let rest = self.1.split_off(length);
        reply.body = String::from_utf8(std::mem::replace(&mut self.1, rest)).unwrap();
        reply
    }

    /// Whether the server closes without another byte, within two seconds.
    pub(super) async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(Duration::from_secs(2), self.more()).await;
        read == Ok(false) && self.1.is_empty()
    }

    async fn more(&mut self) -> bool {
        matches!(self.0.read_buf(&mut self.1).await, Ok(1..))
    }
}

fn hmac(body: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.chain_update(body).finalize().into_bytes().into()
}

pub(super) fn base64_of(body: &[u8]) -> String {
    STANDARD.encode(hmac(body))
}

pub(super) fn hex_of(body: &[u8]) -> String {
    hex::encode(hmac(body))
}

/// An HTTP/1.1 request with a length.
pub(super) fn post(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: edge\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A genuine delivery from Shopify.
pub(super) fn shopify(body: &str) -> String {
    let signature = base64_of(body.as_bytes());
    let headers = [
        ("X-Shopify-Topic", "orders/paid"),
        ("X-Shopify-Hmac-SHA256", &*signature),
        ("X-Shopify-Webhook-Id", body),
        ("X-Shopify-Triggered-At", "2026-11-21T11:59:57.5Z"),
    ];
    post("/webhooks/shopify/acme", &headers, body)
}
