//! UNNEST of arrays, for small batches: a statement is one message, so all of a batch go out together.

use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Statement;

use super::{
    classify,
    seal::{Posting, Sealed, Uuid},
    to_i64,
};
use crate::{
    domain::{commission::Breakage, plan::volume::LineVolumes, volume::Volume},
    stream::ServiceError,
};

/// INSERT of the calculations.
pub(super) const RUNS: &str = "
    INSERT INTO upline.commission_run
        (order_key, revision, platform, store, order_id, status, currency, order_ts, received_at,
         order_hash, genealogy_seq, genealogy_hash, plan_id, plan_version, plan_hash, engine,
         calc_snapshot_json, block, posted_at, validated_at, mapped_at, computed_at)
    SELECT k, n, p, s, i, t, u, o, e, h, g, f, l, v, q, x, j::json, $18, $19, a, b, c
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::timestamptz[], $9::timestamptz[], $10::bytea[], $11::bigint[],
                $12::bytea[], $13::text[], $14::integer[], $15::bytea[], $16::text[],
                $17::text[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[])
         AS r(k, n, p, s, i, t, u, o, e, h, g, f, l, v, q, x, j, a, b, c)";

/// INSERT of the entries.
pub(super) const ENTRIES: &str = "
    INSERT INTO upline.ledger_entry
        (event_id, order_key, revision, line_id, component, level, debit, credit, amount,
         currency, kind, corrects, breakage, order_ts, seq, block, posted_at)
    SELECT i, k, r, l, c, v, d, t, a, u, n, o, b, w, $15 + at, $16, $17
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::smallint[],
                $7::text[], $8::text[], $9::numeric[], $10::text[], $11::text[], $12::uuid[],
                $13::text[], $14::timestamptz[])
         WITH ORDINALITY AS e(i, k, r, l, c, v, d, t, a, u, n, o, b, w, at)";

/// INSERT into the volume journal.
pub(super) const VOLUMES: &str = "
    INSERT INTO upline.volume_entry
        (event_id, order_key, revision, line_id, distributor_id, source, pv, qv, cv, order_ts,
         corrects, seq, block, posted_at)
    SELECT i, k, r, l, d, s, p, q, c, w, o, $12 + at, $13, $14
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                $7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::uuid[])
         WITH ORDINALITY AS e(i, k, r, l, d, s, p, q, c, w, o, at)";

/// Writes the calculations by the statement [`RUNS`].
pub(super) async fn runs(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    let orders = || sealed.postings.iter().map(|posting| &posting.computed.run.order);
    let runs = || sealed.postings.iter().map(|posting| &posting.computed.run);
    let keys: Vec<&str> = sealed.postings.iter().map(|posting| posting.key).collect();
    let revisions: Vec<i64> = orders().map(|order| to_i64(order.revision)).collect();
    let platforms: Vec<&str> = orders().map(|order| order.key.platform.as_str()).collect();
    let stores: Vec<&str> = orders().map(|order| order.key.store.as_str()).collect();
    let ids: Vec<&str> = orders().map(|order| order.key.order_id.as_str()).collect();
    let statuses: Vec<&str> = orders().map(|order| order.status.as_str()).collect();
    let currencies: Vec<&str> = orders().map(|order| order.currency.as_str()).collect();
    let placed: Vec<Timestamp> = orders().map(|order| order.placed_at).collect();
    let received: Vec<Timestamp> =
        sealed.postings.iter().map(|posting| posting.computed.trace.received_at).collect();
    let hashes: Vec<&[u8]> = runs().map(|run| run.order_hash.as_bytes().as_slice()).collect();
    let trees: Vec<i64> = orders().map(|order| to_i64(order.locks.genealogy.seq)).collect();
    let tree_hashes: Vec<&[u8]> =
        orders().map(|order| order.locks.genealogy.hash.as_bytes().as_slice()).collect();
    let plans: Vec<&str> = orders().map(|order| &*order.locks.plan.id).collect();
    let versions: Vec<i32> =
        orders().map(|order| i32::try_from(order.locks.plan.version).unwrap_or(i32::MAX)).collect();
    let plan_hashes: Vec<&[u8]> =
        orders().map(|order| order.locks.plan.hash.as_bytes().as_slice()).collect();
    let engines: Vec<&str> = runs().map(|run| &*run.engine).collect();
    let traces = || sealed.postings.iter().map(|posting| &posting.computed.trace);
    let validated: Vec<Option<Timestamp>> = traces().map(|trace| trace.validated_at).collect();
    let mapped: Vec<Option<Timestamp>> = traces().map(|trace| trace.mapped_at).collect();
    let computed: Vec<Option<Timestamp>> = traces().map(|trace| trace.computed_at).collect();
    let snapshots: &Vec<String> = &sealed.snapshots;
    client
        .execute(
            into,
            &[
                &keys,
                &revisions,
                &platforms,
                &stores,
                &ids,
                &statuses,
                &currencies,
                &placed,
                &received,
                &hashes,
                &trees,
                &tree_hashes,
                &plans,
                &versions,
                &plan_hashes,
                &engines,
                snapshots,
                &sealed.number,
                &sealed.now,
                &validated,
                &mapped,
                &computed,
            ],
        )
        .await
        .map(drop)
        .map_err(classify)
}

/// The columns of entries.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    keys: Vec<&'a str>,
    revisions: Vec<i64>,
    lines: Vec<&'a str>,
    components: Vec<&'a str>,
    levels: Vec<i16>,
    debits: Vec<String>,
    credits: Vec<String>,
    amounts: Vec<Decimal>,
    currencies: Vec<&'a str>,
    kinds: Vec<&'static str>,
    corrects: Vec<Option<Uuid>>,
    breakage: Vec<Option<&'static str>>,
    placed: Vec<Timestamp>,
}

impl<'a> Columns<'a> {
    fn of(postings: &'a [Posting<'a>]) -> Self {
        let mut columns = Self::default();
        for Posting { key, computed, entries, .. } in postings {
            let order = &computed.run.order;
            for entry in *entries {
                let position = &entry.position;
                columns.ids.push(Uuid(entry.event_id));
                columns.keys.push(key);
                columns.revisions.push(to_i64(order.revision));
                columns.lines.push(position.line.as_str());
                columns.components.push(position.component.as_str());
                columns.levels.push(i16::try_from(position.level).unwrap_or(i16::MAX));
                columns.debits.push(entry.debit());
                columns.credits.push(entry.credit());
                columns.amounts.push(entry.amount.written());
                columns.currencies.push(position.currency.as_str());
                columns.kinds.push(entry.kind.as_str());
                columns.corrects.push(entry.corrects.map(Uuid));
                columns.breakage.push(entry.breakage.map(Breakage::as_str));
                columns.placed.push(order.placed_at);
            }
        }
        columns
    }
}

/// Writes the entries by the statement [`ENTRIES`].
pub(super) async fn entries(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    let columns = Columns::of(sealed.postings);
    client
        .execute(
            into,
            &[
                &columns.ids,
                &columns.keys,
                &columns.revisions,
                &columns.lines,
                &columns.components,
                &columns.levels,
                &columns.debits,
                &columns.credits,
                &columns.amounts,
                &columns.currencies,
                &columns.kinds,
                &columns.corrects,
                &columns.breakage,
                &columns.placed,
                &sealed.last_seq,
                &sealed.number,
                &sealed.now,
            ],
        )
        .await
        .map(drop)
        .map_err(classify)
}

/// Writes into the volume journal by the statement [`VOLUMES`].
pub(super) async fn volumes(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    let all = || {
        let postings = sealed.postings.iter();
        postings.flat_map(|posting| posting.volumes.iter().map(move |entry| (posting, entry)))
    };
    let entries = || all().map(|(_, entry)| entry);
    let positions = || entries().map(|entry| &entry.position);
    let ids: Vec<Uuid> = entries().map(|entry| Uuid(entry.event_id)).collect();
    let keys: Vec<&str> = all().map(|(posting, _)| posting.key).collect();
    let revisions: Vec<i64> =
        all().map(|(posting, _)| to_i64(posting.computed.run.order.revision)).collect();
    let lines: Vec<&str> = positions().map(|position| position.line.as_str()).collect();
    let people: Vec<&str> = positions().map(|position| position.distributor.as_str()).collect();
    let sources: Vec<&str> = positions().map(|position| position.source.as_str()).collect();
    let parts = |pick: fn(&LineVolumes) -> Volume| -> Vec<i64> {
        entries().map(|entry| pick(&entry.amount).parts()).collect()
    };
    let (pv, qv, cv) = (parts(|v| v.pv), parts(|v| v.qv), parts(|v| v.cv));
    let placed: Vec<Timestamp> = positions().map(|position| position.placed_at).collect();
    let corrects: Vec<Option<Uuid>> = entries().map(|entry| entry.corrects.map(Uuid)).collect();
    client
        .execute(
            into,
            &[
                &ids,
                &keys,
                &revisions,
                &lines,
                &people,
                &sources,
                &pv,
                &qv,
                &cv,
                &placed,
                &corrects,
                &sealed.last_volume,
                &sealed.number,
                &sealed.now,
            ],
        )
        .await
        .map(drop)
        .map_err(classify)
}
