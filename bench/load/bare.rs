//! The limits: the least that any program would have to do for the same effect, in the same style of
//! process. A bare edge is hyper, the signature and one publish; bare Postgres is rows in bulk.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    path::Path,
    pin::pin,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use async_nats::{HeaderMap, jetstream};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rust_decimal::Decimal;
use sha2::Sha256;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_postgres::{
    Client,
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use crate::{
    order::SECRET,
    world::{Server, World},
};

/// The most messages in an atomic batch.
const BATCH: usize = 500;
const ADDRESS: &str = "listening on ";

/// What a bare server does with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Reads it and answers.
    Echo,
    /// Checks the signature and publishes it, each for itself.
    Single,
    /// Checks the signature and publishes it; what comes while a batch is under way is the next.
    Batch,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Single => "single",
            Self::Batch => "batch",
        }
    }
}

/// How a bare server is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    mode: Mode,
    /// The URL of NATS.
    nats: String,
    /// The stream and its subject.
    stream: String,
}

/// A bare server and its stream.
#[derive(Debug)]
pub(crate) struct Bare {
    /// The process.
    pub(crate) server: Server,
    stream: String,
    context: jetstream::Context,
}

impl Bare {
    /// Starts a bare server.
    pub(crate) async fn start(world: &World, mode: Mode) -> anyhow::Result<Self> {
        let stream = format!("{}_BARE", world.name);
        let context = jetstream::new(async_nats::connect(world.nats()).await?);
        context
            .create_or_update_stream(jetstream::stream::Config {
                name: stream.clone(),
                subjects: vec![stream.clone()],
                allow_atomic_publish: true,
                ..jetstream::stream::Config::default()
            })
            .await?;
        let log = world.folder.join(format!("bare-{}.log", mode.name()));
        let server = start(&log, &[mode.name(), world.nats(), &stream]).await?;
        Ok(Self { server, stream, context })
    }

    /// How many messages the stream holds.
    pub(crate) async fn messages(&self) -> anyhow::Result<u64> {
        Ok(self.context.get_stream(&self.stream).await?.cached_info().state.messages)
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.server.kill()?;
        self.context.delete_stream(&self.stream).await?;
        Ok(())
    }
}

async fn start(log: &Path, arguments: &[&str]) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let child = command.stdout(std::fs::File::create(log)?).spawn()?;
    Server::wait(child, log, |text| {
        let (_, rest) = text.split_once(ADDRESS)?;
        Some((rest.split_once('\n')?.0.parse().ok()?, None))
    })
    .await
}

type Waiting = (Bytes, oneshot::Sender<bool>);

/// What a request needs.
enum Take {
    Echo,
    Single(Box<jetstream::Context>, String),
    Batch(mpsc::Sender<Waiting>),
}

/// Serves until it is killed.
pub(crate) async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let take = match arguments.mode {
        Mode::Echo => Take::Echo,
        Mode::Single => {
            let client = async_nats::connect(&arguments.nats).await?;
            let context = jetstream::ContextBuilder::new().max_ack_inflight(10_000).build(client);
            Take::Single(Box::new(context), arguments.stream)
        }
        Mode::Batch => {
            let client = async_nats::connect(&arguments.nats).await?;
            let (queue, waiting) = mpsc::channel(10_000);
            tasks.spawn(commit_in_groups(client, arguments.stream, waiting));
            Take::Batch(queue)
        }
    };
    let take = Arc::new(take);
    let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{ADDRESS}{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (take, key) = (take.clone(), key.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request| answer(request, take.clone(), key.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // The generator hangs up when it is done.
            connection.await.ok();
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    take: Arc<Take>,
    key: Hmac<Sha256>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = |code| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = code;
        Ok(response)
    };
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return status(StatusCode::BAD_REQUEST);
    };
    if matches!(*take, Take::Echo) {
        return Ok(Response::new(Full::from(body)));
    }
    let signature = head.headers.get("x-shopify-hmac-sha256").and_then(|s| STANDARD.decode(s).ok());
    let believed =
        signature.is_some_and(|signature| key.chain_update(&body).verify_slice(&signature).is_ok());
    if !believed {
        return status(StatusCode::UNAUTHORIZED);
    }
    let durable = match &*take {
        Take::Echo => true,
        Take::Single(context, subject) => match context.publish(subject.clone(), body).await {
            Ok(ack) => ack.await.is_ok(),
            Err(_) => false,
        },
        Take::Batch(queue) => {
            let (done, durable) = oneshot::channel();
            queue.send((body, done)).await.is_ok() && durable.await.unwrap_or(false)
        }
    };
    status(if durable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
}

/// The least group commit: what waits while one batch is under way is the next batch.
async fn commit_in_groups(
    client: async_nats::Client,
    subject: String,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    let mut number = 0u64;
    let mut group = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut group, BATCH).await > 0 {
        number += 1;
        let (bodies, done): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        let durable = publish(&client, &subject, number, bodies).await.is_ok();
        for done in done {
            // Who hung up needs no answer.
            done.send(durable).ok();
        }
    }
}

async fn publish(
    client: &async_nats::Client,
    subject: &str,
    number: u64,
    bodies: Vec<Bytes>,
) -> anyhow::Result<()> {
    let last = bodies.len();
    for (at, body) in (1..).zip(bodies) {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", format!("{}-{number}", std::process::id()));
        headers.insert("Nats-Batch-Sequence", at.to_string());
        if at < last {
            client.publish_with_headers(subject.to_owned(), headers, body).await?;
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            let ack = client.request_with_headers(subject.to_owned(), headers, body).await?;
            let ack: serde_json::Value = serde_json::from_slice(&ack.payload)?;
            ensure!(ack.get("error").is_none(), "the batch was refused: {ack}");
        }
    }
    Ok(())
}

/// Rows a second that Postgres takes in bulk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk {
    /// UNNEST of 1,000 rows a statement.
    pub(crate) unnest: f64,
    /// COPY BINARY of 10,000 rows a statement.
    pub(crate) copy: f64,
}

/// Fills a table like the ledger's, with its primary key alone.
pub(crate) async fn bulk(client: &Client, each: Duration) -> anyhow::Result<Bulk> {
    client
        .batch_execute(
            "CREATE TABLE public.bare (LIKE upline.ledger_entry, PRIMARY KEY (seq));
             ALTER TABLE public.bare ALTER event_id TYPE text",
        )
        .await?;
    let mut next = 0i64;
    let mut unnest = Vec::new();
    let mut copy = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < each || unnest.is_empty() {
        unnest.push(insert(client, &mut next, 1_000).await?);
    }
    let begin = Instant::now();
    while begin.elapsed() < each || copy.is_empty() {
        copy.push(copy_in(client, &mut next, 10_000).await?);
    }
    client.batch_execute("DROP TABLE public.bare").await?;
    let rate = |times: &[f64], rows: f64| rows * times.len() as f64 / times.iter().sum::<f64>();
    Ok(Bulk { unnest: rate(&unnest, 1_000.0), copy: rate(&copy, 10_000.0) })
}

/// Seconds for one statement.
async fn insert(client: &Client, next: &mut i64, rows: usize) -> anyhow::Result<f64> {
    let seqs: Vec<i64> = (*next..).take(rows).collect();
    *next += i64::try_from(rows)?;
    let texts = |name: &str| seqs.iter().map(|n| format!("{name}{n:012}")).collect::<Vec<_>>();
    let (events, keys) = (texts("00000000-0000-4000-8000-"), texts("shopify/store/"));
    let (lines, credits) = (texts(""), texts("distributor:"));
    let levels: Vec<i16> = seqs.iter().map(|n| (n % 10) as i16).collect();
    let amounts: Vec<Decimal> = seqs.iter().map(|n| Decimal::new(n % 9_000 + 1, 2)).collect();
    let now = vec![Timestamp::UNIX_EPOCH; rows];
    let begin = Instant::now();
    client
        .execute(
            "INSERT INTO public.bare
             SELECT s, e, k, 1, l, 'unilevel', n, 'commission', c, a, 'USD', 'earned', NULL, NULL,
                    t, 1, t
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::smallint[],
                         $6::text[], $7::numeric[], $8::timestamptz[]) AS r(s, e, k, l, n, c, a, t)",
            &[&seqs, &events, &keys, &lines, &levels, &credits, &amounts, &now],
        )
        .await?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Seconds for one statement.
async fn copy_in(client: &Client, next: &mut i64, rows: i64) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let sink = client.copy_in("COPY public.bare FROM STDIN BINARY").await?;
    let types = [
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::INT2,
        Type::TEXT,
        Type::TEXT,
        Type::NUMERIC,
        Type::TEXT,
        Type::TEXT,
        Type::UUID,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::TIMESTAMPTZ,
    ];
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let now = Timestamp::UNIX_EPOCH;
    for seq in *next..*next + rows {
        let event = format!("00000000-0000-4000-8000-{seq:012}");
        let (key, line) = (format!("shopify/store/{seq:012}"), seq.to_string());
        let credit = format!("distributor:{seq:012}");
        let amount = Decimal::new(seq % 9_000 + 1, 2);
        let level = (seq % 10) as i16;
        let none: Option<&str> = None;
        writer
            .as_mut()
            .write(&[
                &seq,
                &event,
                &key,
                &1i64,
                &line,
                &"unilevel",
                &level,
                &"commission",
                &credit,
                &amount,
                &"USD",
                &"earned",
                &NoUuid,
                &none,
                &now,
                &1i64,
                &now,
            ])
            .await?;
    }
    writer.finish().await?;
    *next += rows;
    Ok(begin.elapsed().as_secs_f64())
}

/// An empty uuid.
#[derive(Debug)]
struct NoUuid;

impl ToSql for NoUuid {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }

    to_sql_checked!();
}
