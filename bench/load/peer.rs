//! The peer: what a team would write in a day, Fastify straight into Postgres (`bench/peer`).

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;

use crate::{
    company::Company,
    generator::Sent,
    order::{Order, SECRET, Shape},
    world::{Server, World},
};

const SOURCES: [&str; 3] = ["package.json", "package-lock.json", "server.mjs"];

/// The folder of the peer with its modules, or why it cannot be had.
pub(crate) fn install() -> Result<PathBuf, String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peer");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-peer");
    fs::create_dir_all(&to).map_err(|error| error.to_string())?;
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap_or_default();
    let fresh = read(&from, "package-lock.json") == read(&to, "package-lock.json")
        && to.join("node_modules").is_dir();
    for name in SOURCES {
        fs::copy(from.join(name), to.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    if fresh {
        return Ok(to);
    }
    let output = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&to)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm: {error}"))?;
    if output.status.success() {
        return Ok(to);
    }
    // Half an installation would count as one the next time.
    fs::remove_dir_all(to.join("node_modules")).ok();
    Err(format!("npm ci: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Starts the peer in the database of a world, with a schema of its own.
pub(crate) async fn start(world: &World, folder: &Path) -> anyhow::Result<Server> {
    world
        .client
        .batch_execute(
            "DROP SCHEMA IF EXISTS peer CASCADE;
             CREATE SCHEMA peer;
             CREATE TABLE peer.orders (
                 order_id bigint PRIMARY KEY, store text NOT NULL, referrer bigint NOT NULL,
                 total numeric NOT NULL, received_at timestamptz NOT NULL DEFAULT now());
             CREATE TABLE peer.ledger (
                 order_id bigint NOT NULL REFERENCES peer.orders, level smallint NOT NULL,
                 distributor bigint NOT NULL, amount numeric NOT NULL, currency text NOT NULL,
                 PRIMARY KEY (order_id, level));
             CREATE INDEX ON peer.ledger (distributor)",
        )
        .await?;
    let parents = world.folder.join("parents.csv");
    let mut csv = String::new();
    for of in 0..world.company.size() {
        let sponsor = world.company.sponsor(of).map_or(0, Company::id);
        writeln!(csv, "{},{sponsor}", Company::id(of))?;
    }
    fs::write(&parents, csv)?;
    let log = world.folder.join("peer.log");
    let file = fs::File::create(&log)?;
    let child = Command::new("node")
        .arg(folder.join("server.mjs"))
        .env("DATABASE_URL", &world.database)
        .env("PARENTS", &parents)
        .env("WEBHOOK_SECRET", SECRET)
        .env("NODE_ENV", "production")
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        .spawn()
        .context("node")?;
    Server::wait(child, &log, |text| {
        let (_, rest) = text.split_once("listening on ")?;
        Some((rest.split_once('\n')?.0.trim().parse().ok()?, None))
    })
    .await
}

/// Whether the peer's books are right: as many rows as there must be, and their sum.
pub(crate) async fn right(world: &World, shape: Shape, sent: &Sent) -> anyhow::Result<bool> {
    let row = world
        .client
        .query_one(
            "SELECT count(*), (coalesce(sum(amount), 0) * 100)::bigint FROM peer.ledger",
            &[],
        )
        .await?;
    let (rows, cents): (i64, i64) = (row.get(0), row.get(1));
    let mut expected = (0i64, 0i64);
    for number in &sent.accepted {
        for (_, amount) in world.company.expected(Order::new(*number, world.company, shape)) {
            expected.0 += 1;
            expected.1 += i64::try_from(amount)?;
        }
    }
    // An answer that was lost may stand for rows that are there.
    Ok(if sent.open.is_empty() { (rows, cents) == expected } else { rows >= expected.0 })
}
