//! The order book in Postgres: two round trips a batch, no row locks held between them. Only a batch in
//! which an order waits or a customer is touched for the first time needs a transaction of several.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::{GenericClient, Statement};

use super::{classify, customers, story, to_i64, to_u64, unreadable};
use crate::{
    domain::{id::OrderKey, story::Chapter},
    store::{Booked, Change},
    stream::ServiceError,
};

/// JSON kept to the byte. There is room for most orders at once: growing would copy them five times.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, ServiceError> {
    let mut text = Vec::with_capacity(6 * 1024);
    serde_json::to_writer(&mut text, value).map_err(unreadable)?;
    String::from_utf8(text).map_err(unreadable)
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, ServiceError> {
    serde_json::from_str(text).map_err(unreadable)
}

pub(super) async fn load(
    client: &ClientWrapper,
    keys: &[OrderKey],
) -> Result<BTreeMap<OrderKey, Booked>, ServiceError> {
    let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let statement = client
        .prepare_cached(
            "SELECT order_key, edition, revision, state::text, locks::text, plan
             FROM upline.order_book WHERE order_key = ANY ($1)",
        )
        .await
        .map_err(classify)?;
    let rows = client.query(&statement, &[&names]).await.map_err(classify)?;
    let mut found = BTreeMap::new();
    for row in rows {
        let key = OrderKey::parse(row.get(0)).map_err(unreadable)?;
        let locks: Option<&str> = row.get(4);
        let booked = Booked {
            edition: to_u64(row.get(1)),
            revision: to_u64(row.get(2)),
            state: from_json(row.get(3))?,
            locks: locks.map(from_json).transpose()?,
            plan: row.get::<_, &str>(5).into(),
        };
        found.insert(key, booked);
    }
    Ok(found)
}

/// The columns of a batch of changes, for UNNEST.
#[derive(Default)]
struct Columns {
    keys: Vec<String>,
    editions: Vec<i64>,
    revisions: Vec<i64>,
    states: Vec<String>,
    locks: Vec<Option<String>>,
    plans: Vec<String>,
    outcomes: Vec<&'static str>,
    received: Vec<Timestamp>,
}

impl Columns {
    fn of(changes: &[Change]) -> Result<Self, ServiceError> {
        let mut columns = Self::default();
        for change in changes {
            columns.keys.push(change.key.to_string());
            columns.editions.push(to_i64(change.booked.edition));
            columns.revisions.push(to_i64(change.booked.revision));
            columns.states.push(to_json(&change.booked.state)?);
            columns.locks.push(change.booked.locks.as_ref().map(to_json).transpose()?);
            columns.plans.push(change.booked.plan.to_string());
            columns.outcomes.push(change.outcome);
            columns.received.push(change.received_at);
        }
        Ok(columns)
    }
}

/// Inserts new orders and replaces those whose edition is still the one before; the rest is left
/// alone and not returned. What the written ones waited for is forgotten (orders at edition 1 cannot
/// have waited, and most batches hold nothing else), and the story of the written and of the idle is
/// told. One statement: one round trip and, without more to write, a transaction by itself.
const SAVE: &str = "
    WITH saved AS (
        INSERT INTO upline.order_book AS b
            (order_key, edition, revision, state, locks, plan, outcome, received_at)
        SELECT k, e, r, s::json, l::json, p, o, t
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::timestamptz[]) AS c(k, e, r, s, l, p, o, t)
        ORDER BY k
        ON CONFLICT (order_key) DO UPDATE
        SET edition = excluded.edition, revision = excluded.revision, state = excluded.state,
            locks = excluded.locks, outcome = excluded.outcome, received_at = excluded.received_at,
            updated_at = clock_timestamp()
        WHERE b.edition = excluded.edition - 1
        RETURNING order_key
    ), forgotten AS (
        DELETE FROM upline.order_wait
        WHERE $9::boolean AND order_key IN (SELECT order_key FROM saved)
    ), told AS (
        INSERT INTO upline.order_event
            (order_key, delivery, topic, received_at, digest, fact, said, version_at, effect,
             reason, revision)
        SELECT k, d, t, a, h, f, s, v, e, r, n
        FROM unnest($10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::bytea[],
                    $15::text[], $16::text[], $17::timestamptz[], $18::text[], $19::text[],
                    $20::bigint[], $21::boolean[])
             WITH ORDINALITY AS c(k, d, t, a, h, f, s, v, e, r, n, idle, at)
        WHERE idle OR k IN (SELECT order_key FROM saved)
        ORDER BY at
        ON CONFLICT DO NOTHING
    )
    SELECT order_key FROM saved";

/// Runs [`SAVE`]; the keys of what was written.
async fn save_all(
    client: &impl GenericClient,
    statement: &Statement,
    changes: &[Change],
    idle: &[Chapter],
) -> Result<BTreeSet<OrderKey>, ServiceError> {
    let columns = Columns::of(changes)?;
    let again = changes.iter().any(|change| change.booked.edition > 1);
    let told = changes.iter().flat_map(|change| &change.events).map(|told| (told, false));
    let told = story::Columns::of(told.chain(idle.iter().map(|told| (told, true))));
    let rows = client
        .query(
            statement,
            &[
                &columns.keys,
                &columns.editions,
                &columns.revisions,
                &columns.states,
                &columns.locks,
                &columns.plans,
                &columns.outcomes,
                &columns.received,
                &again,
                &told.keys,
                &told.deliveries,
                &told.topics,
                &told.received,
                &told.digests,
                &told.facts,
                &told.said,
                &told.versions,
                &told.effects,
                &told.reasons,
                &told.revisions,
                &told.idle,
            ],
        )
        .await
        .map_err(classify)?;
    rows.iter().map(|row| OrderKey::parse(row.get(0)).map_err(unreadable)).collect()
}

pub(super) async fn save(
    client: &mut ClientWrapper,
    changes: &[Change],
    idle: &[Chapter],
) -> Result<BTreeSet<OrderKey>, ServiceError> {
    if changes.is_empty() && idle.is_empty() {
        return Ok(BTreeSet::new());
    }
    let statement = client.prepare_cached(SAVE).await.map_err(classify)?;
    if changes.iter().all(|change| change.waits.is_empty() && change.touch.is_none()) {
        return save_all(&**client, &statement, changes, idle).await;
    }
    let tx = client.transaction().await.map_err(classify)?;
    let saved = save_all(&*tx, &statement, changes, idle).await?;
    let written = || changes.iter().filter(|change| saved.contains(&change.key));
    let waits: Vec<(String, &str, Cow<'_, str>)> = written()
        .flat_map(|change| change.waits.iter().map(|wait| (change.key.to_string(), wait.parts())))
        .map(|(key, (kind, value))| (key, kind, value))
        .collect();
    if !waits.is_empty() {
        let keys: Vec<&str> = waits.iter().map(|(key, _, _)| key.as_str()).collect();
        let kinds: Vec<&str> = waits.iter().map(|(_, kind, _)| *kind).collect();
        let values: Vec<&str> = waits.iter().map(|(_, _, value)| value.as_ref()).collect();
        tx.execute(
            "INSERT INTO upline.order_wait (order_key, kind, value)
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[])",
            &[&keys, &kinds, &values],
        )
        .await
        .map_err(classify)?;
    }
    let touches: Vec<_> = written().filter_map(|change| change.touch.as_ref()).collect();
    if !touches.is_empty() {
        // Last, because numbering holds a lock until commit.
        customers::touch(&tx, &touches).await?;
    }
    tx.commit().await.map_err(classify)?;
    Ok(saved)
}
