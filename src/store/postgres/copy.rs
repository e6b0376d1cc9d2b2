//! COPY in its binary form, for large batches.

use std::pin::pin;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{
    Statement,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    classify,
    seal::{Posting, Sealed, Uuid},
    to_i64,
};
use crate::{domain::commission::Breakage, stream::ServiceError};

/// COPY of the calculations.
pub(super) const RUNS: &str = "COPY upline.commission_run
    (order_key, revision, platform, store, order_id, status, currency, order_ts, received_at,
     order_hash, genealogy_seq, genealogy_hash, plan_id, plan_version, plan_hash, engine,
     calc_snapshot_json, block, posted_at, validated_at, mapped_at, computed_at) FROM STDIN BINARY";

/// COPY of the entries.
pub(super) const ENTRIES: &str = "COPY upline.ledger_entry
    (seq, event_id, order_key, revision, line_id, component, level, debit, credit, amount,
     currency, kind, corrects, breakage, order_ts, block, posted_at) FROM STDIN BINARY";

/// COPY into the volume journal.
pub(super) const VOLUMES: &str = "COPY upline.volume_entry
    (seq, event_id, order_key, revision, line_id, distributor_id, source, pv, qv, cv, order_ts,
     corrects, block, posted_at) FROM STDIN BINARY";

/// Writes the calculations by the statement [`RUNS`].
pub(super) async fn runs(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    // JSON has the binary form of text.
    const TYPES: [Type; 22] = [
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::BYTEA,
        Type::INT8,
        Type::BYTEA,
        Type::TEXT,
        Type::INT4,
        Type::BYTEA,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
    ];
    let sink = client.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for (Posting { key, computed, .. }, snapshot) in sealed.postings.iter().zip(&sealed.snapshots) {
        let (run, order) = (&computed.run, &computed.run.order);
        let row: [&(dyn ToSql + Sync); 22] = [
            key,
            &to_i64(order.revision),
            &order.key.platform.as_str(),
            &order.key.store.as_str(),
            &order.key.order_id.as_str(),
            &order.status.as_str(),
            &order.currency.as_str(),
            &order.placed_at,
            &computed.trace.received_at,
            &run.order_hash.as_bytes().as_slice(),
            &to_i64(order.locks.genealogy.seq),
            &order.locks.genealogy.hash.as_bytes().as_slice(),
            &&*order.locks.plan.id,
            &i32::try_from(order.locks.plan.version).unwrap_or(i32::MAX),
            &order.locks.plan.hash.as_bytes().as_slice(),
            &&*run.engine,
            snapshot,
            &sealed.number,
            &sealed.now,
            &computed.trace.validated_at,
            &computed.trace.mapped_at,
            &computed.trace.computed_at,
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map_err(classify)?;
    Ok(())
}

/// Writes the entries by the statement [`ENTRIES`].
pub(super) async fn entries(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    const TYPES: [Type; 17] = [
        Type::INT8,
        Type::UUID,
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
    let sink = client.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    let mut seq = sealed.last_seq;
    for Posting { key, computed, entries, .. } in sealed.postings {
        let order = &computed.run.order;
        for entry in *entries {
            seq = seq.saturating_add(1);
            let position = &entry.position;
            let row: [&(dyn ToSql + Sync); 17] = [
                &seq,
                &Uuid(entry.event_id),
                key,
                &to_i64(order.revision),
                &position.line.as_str(),
                &position.component.as_str(),
                &i16::try_from(position.level).unwrap_or(i16::MAX),
                &entry.debit(),
                &entry.credit(),
                &entry.amount.written(),
                &position.currency.as_str(),
                &entry.kind.as_str(),
                &entry.corrects.map(Uuid),
                &entry.breakage.map(Breakage::as_str),
                &order.placed_at,
                &sealed.number,
                &sealed.now,
            ];
            rows.as_mut().write(&row).await.map_err(classify)?;
        }
    }
    rows.finish().await.map_err(classify)?;
    Ok(())
}

/// Writes into the volume journal by the statement [`VOLUMES`].
pub(super) async fn volumes(
    client: &ClientWrapper,
    into: &Statement,
    sealed: &Sealed<'_>,
) -> Result<(), ServiceError> {
    const TYPES: [Type; 14] = [
        Type::INT8,
        Type::UUID,
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::UUID,
        Type::INT8,
        Type::TIMESTAMPTZ,
    ];
    let sink = client.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    let mut seq = sealed.last_volume;
    for Posting { key, computed, volumes, .. } in sealed.postings {
        for entry in *volumes {
            seq = seq.saturating_add(1);
            let (position, amount) = (&entry.position, entry.amount);
            let row: [&(dyn ToSql + Sync); 14] = [
                &seq,
                &Uuid(entry.event_id),
                key,
                &to_i64(computed.run.order.revision),
                &position.line.as_str(),
                &position.distributor.as_str(),
                &position.source.as_str(),
                &amount.pv.parts(),
                &amount.qv.parts(),
                &amount.cv.parts(),
                &position.placed_at,
                &entry.corrects.map(Uuid),
                &sealed.number,
                &sealed.now,
            ];
            rows.as_mut().write(&row).await.map_err(classify)?;
        }
    }
    rows.finish().await.map_err(classify)?;
    Ok(())
}
