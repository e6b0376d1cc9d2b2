//! What is kept of positions at closes, and what a close of binaries and matrices reads of the journal.

use std::{collections::BTreeMap, pin::pin};

use bytes::Bytes;
use deadpool_postgres::{Object, Transaction};
use futures_util::{SinkExt, TryStreamExt};
use jiff::Timestamp;
use tokio_postgres::{
    CopyInSink, Row,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    Postgres, classify, copy_rows::Rows, orders::from_json, placements::to_i32, to_i64, to_u64,
    unreadable,
};
use crate::{
    domain::{
        close::{
            Basis, CloseKey,
            binary::{self, Legs, Standing, lost::Kept, unpair::Posted},
            matrix::Unclaimed,
            placed::{CorrectionRecord, LevelRecord, PlacedRecords, PositionRecord},
        },
        id::{ComponentId, DistributorId},
        money::Money,
        placement::{Position, Side},
        plan::{period::PeriodId, volume::LineVolumes},
        volume::Volume,
    },
    stream::ServiceError,
};

/// What closed periods wrote down of positions, with the corrections since: by position and the place of the
/// period in the list that was asked for.
pub type Pasts = BTreeMap<(Position, usize), Kept>;

/// An entry of an order of which something came back.
#[derive(Debug, Clone)]
pub struct ReturnedEntry {
    /// The order.
    pub order: String,
    /// Whose volume it is.
    pub distributor: String,
    /// When the order was placed.
    pub placed_at: Timestamp,
    /// The number of the entry.
    pub seq: u64,
    /// What is new.
    pub amount: LineVolumes,
}

/// A row names a position that the tree does not have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a closed period carries volume of position {position}, and the tree has {positions}")]
struct Beyond {
    position: Position,
    positions: usize,
}

fn position(number: i32) -> Result<Position, ServiceError> {
    u32::try_from(number).map(Position).map_err(unreadable)
}

fn legs(row: &Row, left: usize, right: usize) -> Legs {
    let volume = |column: usize| Volume::from_parts(row.get(column));
    Legs { left: volume(left), right: volume(right) }
}

fn posted(row: &Row, first: usize) -> Result<Posted, ServiceError> {
    let money =
        |nth: usize| Money::from_decimal(row.get(first.saturating_add(nth))).map_err(unreadable);
    Ok(Posted { paid: money(0)?, breakage: money(1)?, capped: money(2)? })
}

fn volumes(row: &Row, first: usize) -> LineVolumes {
    let volume = |nth: usize| Volume::from_parts(row.get(first.saturating_add(nth)));
    LineVolumes { pv: volume(0), qv: volume(1), cv: volume(2) }
}

impl Postgres {
    /// What every closed period of a plan came from, in their order.
    pub async fn closed_bases(&self, plan: &str) -> Result<Vec<Basis>, ServiceError> {
        let query =
            "SELECT basis::text FROM upline.period_close WHERE plan_id = $1 ORDER BY starts_at";
        let client = self.client().await?;
        let rows = client.query(query, &[&plan]).await.map_err(classify)?;
        rows.iter().map(|row| from_json(row.get(0))).collect()
    }

    /// What each of so many positions of a binary carried out of a closed period.
    pub async fn carried_legs(
        &self,
        key: &CloseKey,
        component: &ComponentId,
        positions: usize,
    ) -> Result<Vec<Legs>, ServiceError> {
        let query = "SELECT position, left_carried, right_carried FROM upline.period_position
                     WHERE plan_id = $1 AND component = $2 AND period = $3";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 3] = [&plan, &component.as_str(), &period];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        let mut carried = vec![Legs::ZERO; positions];
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let position = position(row.get(0))?;
            let slot = carried.get_mut(position.index());
            *slot.ok_or_else(|| unreadable(Beyond { position, positions }))? = legs(&row, 1, 2);
        }
        Ok(carried)
    }

    /// How many positions of a binary carried volume out of a closed period, and the volume in all of their
    /// legs.
    pub async fn carried_sum(
        &self,
        key: &CloseKey,
        component: &ComponentId,
    ) -> Result<(u64, Volume), ServiceError> {
        let query =
            "SELECT count(*), least(coalesce(sum(left_carried::numeric + right_carried), 0),
                                            9223372036854775807)::bigint
                     FROM upline.period_position
                     WHERE plan_id = $1 AND component = $2 AND period = $3
                           AND (left_carried > 0 OR right_carried > 0)";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 3] = [&plan, &component.as_str(), &period];
        let row = client.query_one(query, &given).await.map_err(classify)?;
        Ok((to_u64(row.get(0)), Volume::from_parts(row.get(1))))
    }

    /// Some closed periods of some positions of a binary, with the corrections that the closes of `closed`
    /// posted.
    pub async fn past_positions(
        &self,
        plan: &str,
        component: &ComponentId,
        positions: &[Position],
        (periods, closed): (&[&str], &[&str]),
    ) -> Result<Pasts, ServiceError> {
        let wanted: Vec<i32> = positions.iter().copied().map(to_i32).collect();
        let client = self.client().await?;
        let mut pasts = Pasts::new();
        let query =
            "SELECT array_position($4::text[], period) - 1, position, left_opening, right_opening,
                    left_arrived, right_arrived, standing, paid, breakage, capped
             FROM upline.period_position
             WHERE plan_id = $1 AND component = $2 AND position = ANY ($3) AND period = ANY ($4)";
        let of = component.as_str();
        let place = |row: &Row| -> Result<(Position, usize), ServiceError> {
            let period = usize::try_from(row.get::<_, i32>(0)).map_err(unreadable)?;
            Ok((position(row.get(1))?, period))
        };
        let given: [&(dyn ToSql + Sync); 4] = [&plan, &of, &wanted, &periods];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let standing = u8::try_from(row.get::<_, i16>(6)).map_err(unreadable)?;
            let kept = Kept {
                opening: legs(&row, 2, 3),
                arrived: legs(&row, 4, 5),
                standing: Some(Standing::from_bits(standing)),
                posted: posted(&row, 7)?,
            };
            pasts.insert(place(&row)?, kept);
        }
        let query =
            "SELECT array_position($4::text[], corrects) - 1, position, sum(paid), sum(breakage),
                    sum(capped)
             FROM upline.period_correction
             WHERE plan_id = $1 AND component = $2 AND position = ANY ($3)
                   AND corrects = ANY ($4) AND period = ANY ($5) GROUP BY 1, 2";
        let given: [&(dyn ToSql + Sync); 5] = [&plan, &of, &wanted, &periods, &closed];
        for row in client.query(query, &given).await.map_err(classify)? {
            let past = pasts.entry(place(&row)?).or_default();
            past.posted = past.posted.plus(posted(&row, 2)?);
        }
        Ok(pasts)
    }

    /// Who was active in a closed period.
    pub async fn active_members(
        &self,
        key: &CloseKey,
        mut take: impl FnMut(&str),
    ) -> Result<(), ServiceError> {
        let query = "SELECT distributor_id FROM upline.period_member
                     WHERE plan_id = $1 AND period = $2 AND active";
        let client = self.client().await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 2] = [&plan, &period];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(row.get(0));
        }
        Ok(())
    }

    /// What distributors got of a component for each closed period: by the closes of `closed`, and by what
    /// these corrected.
    pub async fn component_money(
        &self,
        plan: &str,
        component: &ComponentId,
        distributors: &[&DistributorId],
        closed: &[&str],
    ) -> Result<BTreeMap<(PeriodId, DistributorId), Money>, ServiceError> {
        let query = "SELECT of, substr(account, 13), sum(amount)
             FROM (SELECT coalesce(corrects, period) AS of,
                          CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                          CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
                   FROM upline.period_entry
                   WHERE plan_id = $1 AND component = $2 AND period = ANY ($3)) t
             WHERE account = ANY ($4) GROUP BY 1, 2";
        let accounts: Vec<String> =
            distributors.iter().map(|id| format!("distributor:{id}")).collect();
        let client = self.client().await?;
        let given: [&(dyn ToSql + Sync); 4] = [&plan, &component.as_str(), &closed, &accounts];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let got = |row: &Row| {
            let period = PeriodId::parse(row.get(0)).map_err(unreadable)?;
            let id = DistributorId::parse(row.get(1)).map_err(unreadable)?;
            Ok(((period, id), Money::from_decimal(row.get(2)).map_err(unreadable)?))
        };
        rows.iter().map(got).collect()
    }

    /// All entries, up to `upto`, of the orders placed in between of which something came back after entry
    /// `after`; those of one order and distributor side by side, in the order of their numbers.
    pub async fn returned_entries(
        &self,
        placed: (Timestamp, Timestamp),
        (after, upto): (u64, u64),
    ) -> Result<Vec<ReturnedEntry>, ServiceError> {
        let query = "WITH back AS (
                         SELECT DISTINCT order_key, distributor_id, order_ts FROM upline.volume_entry
                         WHERE (pv < 0 OR qv < 0 OR cv < 0) AND order_ts >= $1 AND order_ts < $2
                               AND seq > $3 AND seq <= $4)
                     SELECT e.order_key, e.distributor_id, e.order_ts, e.seq, e.pv, e.qv, e.cv
                     FROM back JOIN upline.volume_entry e USING (order_key, distributor_id, order_ts)
                     WHERE e.seq <= $4 ORDER BY 1, 2, 3, 4";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let (after, upto) = (to_i64(after), to_i64(upto));
        let given: [&(dyn ToSql + Sync); 4] = [&placed.0, &placed.1, &after, &upto];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let entry = |row: &Row| ReturnedEntry {
            order: row.get(0),
            distributor: row.get(1),
            placed_at: row.get(2),
            seq: to_u64(row.get(3)),
            amount: volumes(row, 4),
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// The volume of each order that a close counts, by order and distributor: what came back before the close
    /// is off it. In no particular order, one at a time.
    pub async fn counted_orders(
        &self,
        basis: &Basis,
        mut take: impl FnMut(&str, &str, LineVolumes),
    ) -> Result<(), ServiceError> {
        let query =
            "SELECT order_key, distributor_id, sum(pv)::bigint, sum(qv)::bigint, sum(cv)::bigint
                     FROM upline.volume_entry
                     WHERE seq <= $1 AND (order_ts >= $2 AND order_ts < $3
                                          OR order_ts >= $4 AND order_ts < $2 AND seq > $5)
                     GROUP BY order_key, distributor_id";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let before = basis.before.map_or(u64::MAX, |before| before.upto);
        let (upto, before) = (to_i64(basis.counted.upto), to_i64(before));
        let (start, end) = (basis.period.start, basis.period.end);
        let since = basis.counted.since;
        let given: [&(dyn ToSql + Sync); 5] = [&upto, &start, &end, &since, &before];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(row.get(0), row.get(1), volumes(&row, 2));
        }
        Ok(())
    }
}

/// A transaction that reads the whole journal: longer than a statement of a stage may take.
pub(super) async fn patient(client: &mut Object) -> Result<Transaction<'_>, ServiceError> {
    let tx = client.build_transaction().read_only(true).start().await.map_err(classify)?;
    tx.batch_execute("SET LOCAL statement_timeout = '30min'").await.map_err(classify)?;
    Ok(tx)
}

/// Writes what is kept of positions.
pub(super) async fn copy_placed(
    tx: &Transaction<'_>,
    key: &CloseKey,
    records: &PlacedRecords,
) -> Result<(), ServiceError> {
    if !records.positions.is_empty() {
        copy_positions(tx, key, &records.positions).await?;
    }
    if !records.levels.is_empty() {
        copy_levels(tx, key, &records.levels).await?;
    }
    if !records.corrections.is_empty() {
        copy_corrections(tx, key, &records.corrections).await?;
    }
    Ok(())
}

async fn copy_positions(
    tx: &Transaction<'_>,
    key: &CloseKey,
    records: &[PositionRecord],
) -> Result<(), ServiceError> {
    let into = "COPY upline.period_position (plan_id, period, component, position, standing,
                left_opening, left_arrived, left_paired, left_expired, left_flushed, left_carried,
                right_opening, right_arrived, right_paired, right_expired, right_flushed,
                right_carried, pool, paid, breakage, capped, reason) FROM STDIN BINARY";
    let sink: CopyInSink<Bytes> = tx.copy_in(into).await.map_err(classify)?;
    let mut sink = pin!(sink);
    let mut rows = Rows::new()?;
    for of_component in records.chunk_by(|a, b| a.component == b.component) {
        let Some(first) = of_component.first() else { continue };
        let head = Rows::head(22, &[&key.plan, key.period.as_str(), first.component.as_str()])?;
        for record in of_component {
            rows.put(&head);
            rows.int4(to_i32(record.position));
            rows.int2(record.standing.bits().into());
            for side in Side::BOTH {
                record.leg(side).map(Volume::parts).into_iter().for_each(|parts| rows.int8(parts));
            }
            for amount in [record.pool, record.paid, record.breakage, record.capped] {
                rows.numeric(amount.written())?;
            }
            rows.text(record.unpaid.map(binary::Unpaid::as_str))?;
            if let Some(full) = rows.full() {
                sink.send(full).await.map_err(classify)?;
            }
        }
    }
    sink.send(rows.end()).await.map_err(classify)?;
    sink.finish().await.map(drop).map_err(classify)
}

async fn copy_levels(
    tx: &Transaction<'_>,
    key: &CloseKey,
    records: &[LevelRecord],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 9] = [
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::NUMERIC,
        Type::NUMERIC,
        Type::TEXT,
    ];
    let into =
        "COPY upline.period_level (plan_id, period, component, level, position, volume, paid,
                breakage, reason) FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for record in records {
        let row: [&(dyn ToSql + Sync); 9] = [
            &&*key.plan,
            &key.period.as_str(),
            &record.component.as_str(),
            &i16::from(record.level),
            &record.position.map_or(-1, to_i32),
            &record.volume.parts(),
            &record.paid.written(),
            &record.breakage.written(),
            &record.unclaimed.map(Unclaimed::as_str),
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}

async fn copy_corrections(
    tx: &Transaction<'_>,
    key: &CloseKey,
    records: &[CorrectionRecord],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 11] = [
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT4,
        Type::NUMERIC,
        Type::NUMERIC,
        Type::NUMERIC,
        Type::TEXT,
        Type::TEXT,
        Type::NUMERIC,
    ];
    let into =
        "COPY upline.period_correction (plan_id, period, component, corrects, position, paid,
                breakage, capped, reason, cap, spared) FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for record in records {
        let cap = record.spared.as_ref().map(|(cap, _)| cap.as_str());
        let spared = (record.to_owner() - record.paid).written();
        let row: [&(dyn ToSql + Sync); 11] = [
            &&*key.plan,
            &key.period.as_str(),
            &record.component.as_str(),
            &record.corrects.as_str(),
            &to_i32(record.position),
            &record.paid.written(),
            &record.breakage.written(),
            &record.capped.written(),
            &record.refused.map(binary::Unpaid::as_str),
            &cap,
            &spared,
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}
