//! A closed period computed again from its basis and held against what stands in the tables.

mod placed;

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    ClosingError, Prepared, again, asked, key_of,
    whole::{CarriedLegs, carried_legs},
};
use crate::{
    domain::{
        close::{Basis, CloseEntry, CloseKey},
        id::RankId,
        ledger::{EventId, block_hash, merkle_root},
        plan::period::PeriodId,
        volume::Volume,
    },
    store::postgres::{
        CompanyReader, Postgres, StoredBlock, StoredClose, StoredEntry, StoredMember,
    },
};

/// Differences that are kept one by one; the others are counted.
const KEPT: usize = 100_000;

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// What the period was computed from.
    pub basis: Basis,
    /// The block that seals it.
    pub block: u64,
    /// Members with a record.
    pub members: usize,
    /// Members whose volume below zero is carried on.
    pub carries: usize,
    /// What positions of binaries carry on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<CarriedLegs>,
    /// Entries.
    pub entries: usize,
    /// Bonuses for ranks.
    pub rank_bonuses: usize,
    /// Positions of binaries with a record.
    pub positions: usize,
    /// Levels of positions of matrices with a record.
    pub levels: usize,
    /// Corrections of closed periods, by position.
    pub corrections: usize,
    /// In what the books differ from what was computed.
    pub differences: Vec<Difference>,
    /// Differences that are not listed.
    pub more: u64,
}

impl Verified {
    /// Whether the books hold what the basis gives.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Of what.
    pub of: Part,
    /// Of which one: a distributor, an entry, a bonus; empty where there is one only.
    pub which: String,
    /// Which field; `row` where one is missing or too many.
    pub field: &'static str,
    /// What stands in the books; none where it is missing.
    pub stored: Option<String>,
    /// What the basis gives; none where there should be nothing.
    pub computed: Option<String>,
}

/// A part of a closed period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The row of the period.
    Period,
    /// Its figures.
    Summary,
    /// The record of a member.
    Member,
    /// What is carried into the next period.
    Carry,
    /// An entry.
    Entry,
    /// A bonus for a rank.
    RankBonus,
    /// A position of a binary.
    Position,
    /// A level of a position of a matrix.
    Level,
    /// A correction of a closed period.
    Correction,
    /// A rank that orders are paid by.
    Rank,
    /// The block that seals it.
    Block,
}

impl Part {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Period => "period",
            Self::Summary => "summary",
            Self::Member => "member",
            Self::Carry => "carry",
            Self::Entry => "entry",
            Self::RankBonus => "rank bonus",
            Self::Position => "position",
            Self::Level => "level",
            Self::Correction => "correction",
            Self::Rank => "rank",
            Self::Block => "block",
        }
    }
}

/// Collects differences of one part.
#[derive(Default)]
struct Found {
    kept: Vec<Difference>,
    more: u64,
}

impl Found {
    fn add(
        &mut self,
        (of, which): (Part, &str),
        field: &'static str,
        stored: Option<String>,
        computed: Option<String>,
    ) {
        if stored == computed {
            return;
        }
        if self.kept.len() < KEPT {
            let which = which.to_owned();
            self.kept.push(Difference { of, which, field, stored, computed });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn missing(&mut self, of: (Part, &str), computed: String) {
        self.add(of, "row", None, Some(computed));
    }

    fn too_many(&mut self, of: (Part, &str), stored: String) {
        self.add(of, "row", Some(stored), None);
    }
}

/// Computes a closed period again and compares it with the tables.
pub async fn verify(
    store: &Postgres,
    id: &PeriodId,
    now: Timestamp,
) -> Result<Verified, ClosingError> {
    let plans = CompanyReader::new(store.clone()).plans().await?;
    let key = key_of(&plans, id, now)?;
    let not_closed = || ClosingError::NotClosed(key.period.clone());
    let Some(closed) = store.close_of(&key).await? else {
        asked(&plans, id, now)?;
        return Err(not_closed());
    };
    let stored = store.stored_close(&key).await?.ok_or_else(not_closed)?;
    let prepared = again(store, &plans, &closed.basis, None).await?;
    let mut found = Found::default();
    if closed.basis.key() != key {
        let (stored, computed) = (closed.basis.key().to_string(), key.to_string());
        found.add((Part::Period, ""), "basis", Some(stored), Some(computed));
    }
    columns(&stored, &prepared.basis, &mut found);
    summary(&stored, &prepared, &mut found);
    let members = members(store, &key, &prepared, &mut found).await?;
    let carries = carries(store, &key, &prepared, &mut found).await?;
    let entries = entries(store, &key, &prepared, &mut found).await?;
    let rank_bonuses = bonuses(store, &key, &prepared, &mut found).await?;
    ranks(store, &key, &prepared, &mut found).await?;
    placed::placed(store, &key, &prepared, &mut found).await?;
    let block = store.stored_block(stored.block).await?;
    sealed(&stored, block, &prepared, &mut found);
    let Found { mut kept, more } = found;
    kept.sort();
    let placed = prepared.placed();
    Ok(Verified {
        basis: closed.basis,
        block: stored.block,
        members,
        carries,
        legs: carried_legs(&prepared),
        entries,
        rank_bonuses,
        positions: placed.positions.len(),
        levels: placed.levels.len(),
        corrections: placed.corrections.len(),
        differences: kept,
        more,
    })
}

/// The columns that repeat the basis. Times are kept in whole microseconds.
fn columns(stored: &StoredClose, basis: &Basis, found: &mut Found) {
    let time =
        |at: Timestamp| Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at).to_string();
    let Basis { plan, period, currency, engine, .. } = basis;
    for (name, text) in &stored.columns {
        let computed = match *name {
            "plan_version" => plan.version.to_string(),
            "plan_hash" => plan.hash.to_string(),
            "starts_at" => time(period.start),
            "ends_at" => time(period.end),
            "snapshot_at" => time(period.snapshot),
            "pays_on" => period.distribution.to_string(),
            "currency" => currency.to_string(),
            _ => engine.to_string(),
        };
        found.add((Part::Period, ""), name, Some(text.clone()), Some(computed));
    }
}

/// Every figure that was written down; figures that this release has beside them are no difference.
fn summary(stored: &StoredClose, prepared: &Prepared, found: &mut Found) {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let computed = serde_json::to_value(prepared.kept()).unwrap_or_default();
    let stored = read(&stored.summary);
    let Some(fields) = stored.as_object().filter(|fields| !fields.is_empty()) else {
        return found.add((Part::Summary, ""), "row", Some(stored.to_string()), None);
    };
    for (name, value) in fields {
        figures(name, value, computed.get(name), found);
    }
}

/// Compares figures one by one: of objects by field, of lists of names with figures by name.
fn figures(path: &str, stored: &Value, computed: Option<&Value>, found: &mut Found) {
    match (stored, computed) {
        (Value::Object(fields), Some(Value::Object(others))) => {
            for (name, value) in fields {
                figures(&format!("{path}.{name}"), value, others.get(name), found);
            }
        }
        (Value::Array(rows), Some(Value::Array(others))) if rows.len() == others.len() => {
            for (row, other) in rows.iter().zip(others) {
                let name = row.get(0).and_then(Value::as_str);
                let (value, other) =
                    (row.get(1), other.get(1).filter(|_| row.get(0) == other.get(0)));
                match (name, value) {
                    (Some(name), Some(value)) => {
                        figures(&format!("{path}.{name}"), value, other, found);
                    }
                    _ => found.add(
                        (Part::Summary, path),
                        "figure",
                        Some(stored.to_string()),
                        computed.map(ToString::to_string),
                    ),
                }
            }
        }
        _ => {
            let text =
                |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.add((Part::Summary, path), "figure", Some(text(stored)), computed.map(text));
        }
    }
}

async fn members(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<usize, ClosingError> {
    let records = prepared.members();
    let mut left: HashMap<&str, _> =
        records.iter().map(|record| (record.distributor.as_str(), record)).collect();
    let take = |row: StoredMember<'_>| {
        let of = (Part::Member, row.distributor);
        let Some(record) = left.remove(row.distributor) else {
            return found.too_many(of, of_volumes(row.volumes));
        };
        let names = ["pv", "qv", "cv", "gv", "pgv"];
        let volumes = [record.pv, record.qv, record.cv, record.gv, record.pgv];
        differ(found, of, &names, &row.volumes, &volumes);
        if row.active != record.active {
            let (stored, computed) = (row.active.to_string(), record.active.to_string());
            found.add(of, "active", Some(stored), Some(computed));
        }
        let ranks = [
            ("paid_as", row.paid_as, &record.paid_as),
            ("achieved", row.achieved, &record.achieved),
        ];
        for (field, stored, computed) in ranks {
            if stored != computed.as_ref().map(RankId::as_str) {
                let computed = computed.as_ref().map(ToString::to_string);
                found.add(of, field, stored.map(str::to_owned), computed);
            }
        }
    };
    store.stored_members(key, take).await?;
    for (distributor, record) in left {
        let volumes = [record.pv, record.qv, record.cv, record.gv, record.pgv];
        found.missing((Part::Member, distributor), of_volumes(volumes));
    }
    Ok(records.len())
}

async fn carries(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<usize, ClosingError> {
    let records = prepared.carries();
    let mut left: HashMap<&str, _> =
        records.iter().map(|record| (record.distributor.as_str(), record)).collect();
    let zero = Volume::ZERO;
    let take = |row: StoredMember<'_>| {
        let of = (Part::Carry, row.distributor);
        let Some(record) = left.remove(row.distributor) else {
            return found.too_many(of, of_volumes(row.volumes));
        };
        let volumes = [record.pv, record.qv, record.cv];
        differ(found, of, &["pv", "qv", "cv"], &row.volumes, &volumes);
    };
    store.stored_carries(key, take).await?;
    for (distributor, record) in left {
        let volumes = [record.pv, record.qv, record.cv, zero, zero];
        found.missing((Part::Carry, distributor), of_volumes(volumes));
    }
    Ok(records.len())
}

fn differ(
    found: &mut Found,
    of: (Part, &str),
    names: &[&'static str],
    stored: &[Volume],
    computed: &[Volume],
) {
    for ((name, stored), computed) in names.iter().zip(stored).zip(computed) {
        if stored != computed {
            found.add(of, name, Some(stored.to_string()), Some(computed.to_string()));
        }
    }
}

fn of_volumes([pv, qv, cv, gv, pgv]: [Volume; 5]) -> String {
    format!("PV {pv}, QV {qv}, CV {cv}, GV {gv}, PGV {pgv}")
}

/// An entry as it would stand.
fn written(number: u32, entry: &CloseEntry, prepared: &Prepared) -> StoredEntry {
    let (debit, credit, amount) = entry.posted();
    StoredEntry {
        number,
        event_id: entry.event_id.to_string(),
        component: entry.component.to_string(),
        debit,
        credit,
        amount: amount.written().to_string(),
        currency: prepared.basis.currency.to_string(),
        reason: entry.to.reason().map(str::to_owned),
        corrects: entry.corrects.as_ref().map(|period| period.as_str().to_owned()),
    }
}

async fn entries(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<usize, ClosingError> {
    let all = prepared.entries();
    let mut left: HashMap<EventId, (u32, &CloseEntry)> =
        (1u32..).zip(&all).map(|(number, entry)| (entry.event_id, (number, entry))).collect();
    let take = |row: StoredEntry| {
        let entry = row.id().and_then(|id| left.remove(&id));
        let Some((number, entry)) = entry else {
            return found.too_many((Part::Entry, &row.event_id), of_entry(&row));
        };
        let computed = written(number, entry, prepared);
        if row == computed {
            return;
        }
        let which = format!("{} {} {}", computed.number, computed.component, entry.to);
        let of = (Part::Entry, which.as_str());
        let number = |entry: &StoredEntry| Some(entry.number.to_string());
        found.add(of, "number", number(&row), number(&computed));
        found.add(of, "reason", row.reason, computed.reason);
        found.add(of, "corrects", row.corrects, computed.corrects);
        let texts = [
            ("component", row.component, computed.component),
            ("debit", row.debit, computed.debit),
            ("credit", row.credit, computed.credit),
            ("amount", row.amount, computed.amount),
            ("currency", row.currency, computed.currency),
        ];
        for (field, stored, computed) in texts {
            found.add(of, field, Some(stored), Some(computed));
        }
    };
    store.stored_entries(key, take).await?;
    for (id, (number, entry)) in left {
        let computed = written(number, entry, prepared);
        found.missing((Part::Entry, &id.to_string()), of_entry(&computed));
    }
    Ok(all.len())
}

fn of_entry(entry: &StoredEntry) -> String {
    let reason = entry.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let StoredEntry { number, component, debit, credit, amount, currency, .. } = entry;
    format!("{number} {component}: debit {debit} credit {credit} {amount} {currency}{reason}")
}

async fn bonuses(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<usize, ClosingError> {
    let computed: BTreeSet<(String, String, String)> = prepared
        .rank_bonuses()
        .iter()
        .map(|b| (b.component.to_string(), b.distributor.to_string(), b.rank.to_string()))
        .collect();
    let stored: BTreeSet<_> = store.stored_bonuses(key).await?.into_iter().collect();
    let which = |(component, distributor, rank): &(String, String, String)| {
        format!("{component} {distributor} {rank}")
    };
    for bonus in computed.difference(&stored) {
        found.missing((Part::RankBonus, &which(bonus)), "paid".to_owned());
    }
    for bonus in stored.difference(&computed) {
        found.too_many((Part::RankBonus, &which(bonus)), "paid".to_owned());
    }
    Ok(computed.len())
}

/// The facts about ranks that the close recorded.
async fn ranks(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<(), ClosingError> {
    let text = |rank: Option<&str>| rank.unwrap_or("none").to_owned();
    let computed = prepared.rank_changes.iter();
    let mut left: HashMap<&str, String> = computed
        .map(|c| (c.distributor.as_str(), text(c.rank.as_ref().map(RankId::as_str))))
        .collect();
    for (distributor, rank) in store.stored_ranks(key).await? {
        let (of, stored) = ((Part::Rank, distributor.as_str()), text(rank.as_deref()));
        match left.remove(distributor.as_str()) {
            Some(computed) => found.add(of, "rank", Some(stored), Some(computed)),
            None => found.too_many(of, stored),
        }
    }
    for (distributor, computed) in left {
        found.missing((Part::Rank, distributor), computed);
    }
    Ok(())
}

/// The block: its root over the leaves that were computed again, its hash, and its place in the chain.
fn sealed(
    stored: &StoredClose,
    block: Option<StoredBlock>,
    prepared: &Prepared,
    found: &mut Found,
) {
    let number = stored.block.to_string();
    let of = (Part::Block, number.as_str());
    let Some(block) = block else {
        return found.missing(of, "a block of this number".to_owned());
    };
    let (members, carries) = (prepared.members(), prepared.carries());
    let (entries, placed) = (prepared.entries(), prepared.placed());
    let leaves = prepared.basis.leaves(&stored.basis, &members, &carries, &entries, placed);
    let hash = block_hash(stored.block, &block.previous, &block.root, 0, 0);
    let mut same = |field, stored: Option<String>, computed: String| {
        found.add(of, field, stored, Some(computed));
    };
    same("merkle_root", Some(block.root.to_string()), merkle_root(&leaves).to_string());
    same("hash", Some(block.hash.to_string()), hash.to_string());
    same("previous", Some(block.previous.to_string()), block.before.to_string());
    if let Some(after) = block.after {
        same("previous of the next block", Some(after.to_string()), block.hash.to_string());
    }
    same("posted_at", Some(block.posted_at.to_string()), stored.at.to_string());
}
