//! The order book in Postgres: two round trips a batch, no row locks held between them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

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
/// alone and not returned.
const UPSERT: &str = "
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
    RETURNING order_key";

pub(super) async fn save(
    client: &mut ClientWrapper,
    changes: &[Change],
    idle: &[Chapter],
) -> Result<BTreeSet<OrderKey>, ServiceError> {
    let columns = Columns::of(changes)?;
    let upsert = client.prepare_cached(UPSERT).await.map_err(classify)?;
    let tx = client.transaction().await.map_err(classify)?;
    let rows = tx
        .query(
            &upsert,
            &[
                &columns.keys,
                &columns.editions,
                &columns.revisions,
                &columns.states,
                &columns.locks,
                &columns.plans,
                &columns.outcomes,
                &columns.received,
            ],
        )
        .await
        .map_err(classify)?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut saved = BTreeSet::new();
    for name in &names {
        saved.insert(OrderKey::parse(name).map_err(unreadable)?);
    }
    // Orders at edition 1 cannot have waited before; most batches hold nothing else.
    let again = changes.iter().any(|c| c.booked.edition > 1 && saved.contains(&c.key));
    if again {
        let delete = "DELETE FROM upline.order_wait WHERE order_key = ANY ($1)";
        tx.execute(delete, &[&names]).await.map_err(classify)?;
    }
    let waits: Vec<(String, &str, Cow<'_, str>)> = changes
        .iter()
        .filter(|change| saved.contains(&change.key))
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
    let told = changes.iter().filter(|change| saved.contains(&change.key));
    let chapters: Vec<&Chapter> = told.flat_map(|change| &change.events).chain(idle).collect();
    story::write(&tx, &chapters).await?;
    let touches: Vec<_> = changes
        .iter()
        .filter(|change| saved.contains(&change.key))
        .filter_map(|change| change.touch.as_ref())
        .collect();
    if !touches.is_empty() {
        // Last, because numbering holds a lock until commit.
        customers::touch(&tx, &touches).await?;
    }
    tx.commit().await.map_err(classify)?;
    Ok(saved)
}
