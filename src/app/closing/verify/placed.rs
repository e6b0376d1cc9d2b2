//! The rows of positions of a closed period, held one by one against what was computed again.

use std::{collections::BTreeMap, iter::Peekable, slice::Iter};

use rust_decimal::Decimal;

use super::{super::Prepared, ClosingError, Found, Part};
use crate::{
    domain::{
        close::{
            CloseKey,
            binary::Unpaid,
            matrix::Unclaimed,
            placed::{CorrectionRecord, LevelRecord, PositionRecord},
        },
        id::ComponentId,
        money::Money,
        placement::Side,
        volume::Volume,
    },
    store::postgres::{Postgres, StoredCorrection, StoredLevel, StoredPosition},
};

/// The columns of a leg.
const VOLUMES: [&str; 12] = [
    "left_opening",
    "left_arrived",
    "left_paired",
    "left_expired",
    "left_flushed",
    "left_carried",
    "right_opening",
    "right_arrived",
    "right_paired",
    "right_expired",
    "right_flushed",
    "right_carried",
];

/// Compares all of them.
pub(super) async fn placed(
    store: &Postgres,
    key: &CloseKey,
    prepared: &Prepared,
    found: &mut Found,
) -> Result<(), ClosingError> {
    let records = prepared.placed();
    let components = &prepared.on_trees;
    for component in components {
        let of = |record: &&PositionRecord| *record.component == *component;
        let begin = records.positions.iter().position(|record| of(&record)).unwrap_or_default();
        let rest = records.positions.get(begin..).unwrap_or_default();
        let mine = rest.split(|record| !of(&record)).next().unwrap_or_default();
        positions(store, (key, component), mine, found).await?;
        let of = |record: &&LevelRecord| record.component == *component;
        let begin = records.levels.iter().position(|record| of(&record)).unwrap_or_default();
        let rest = records.levels.get(begin..).unwrap_or_default();
        let mine = rest.split(|record| !of(&record)).next().unwrap_or_default();
        levels(store, (key, component), mine, found).await?;
    }
    let known: Vec<&str> = components.iter().map(ComponentId::as_str).collect();
    for (component, rows) in store.stored_beside(key, &known).await? {
        found.too_many((Part::Position, &component), format!("{rows} rows"));
    }
    corrections(store, key, &records.corrections, found).await
}

/// Computed records in the order of their keys, beside rows that come in the same order.
struct Beside<'a, R, K> {
    left: Peekable<Iter<'a, R>>,
    key: fn(&R) -> K,
}

impl<'a, R, K: Ord> Beside<'a, R, K> {
    fn new(records: &'a [R], key: fn(&R) -> K) -> Self {
        Self { left: records.iter().peekable(), key }
    }

    /// The record of this key; those before it have no row.
    fn at(&mut self, wanted: &K, mut missing: impl FnMut(&R)) -> Option<&'a R> {
        let key = self.key;
        while let Some(record) = self.left.next_if(|record| key(record) < *wanted) {
            missing(record);
        }
        self.left.next_if(|record| key(record) == *wanted)
    }
}

/// Differences of the fields of one row.
struct Row<'a> {
    found: &'a mut Found,
    part: Part,
    which: String,
}

impl Row<'_> {
    fn field(&mut self, field: &'static str, stored: Option<String>, computed: Option<String>) {
        self.found.add((self.part, &self.which), field, stored, computed);
    }

    fn volumes(&mut self, names: &[&'static str], stored: &[i64], computed: &[i64]) {
        let text = |parts: &i64| Some(Volume::from_parts(*parts).to_string());
        for ((name, stored), computed) in names.iter().zip(stored).zip(computed) {
            self.field(name, text(stored), text(computed));
        }
    }

    fn money(
        &mut self,
        names: &[&'static str],
        stored: &[Option<Decimal>],
        computed: &[Option<Decimal>],
    ) {
        let text = |amount: &Option<Decimal>| {
            Some(amount.map_or_else(|| "no amount".to_owned(), |amount| amount.to_string()))
        };
        for ((name, stored), computed) in names.iter().zip(stored).zip(computed) {
            if stored != computed {
                self.field(name, text(stored), text(computed));
            }
        }
    }
}

fn written<const N: usize>(amounts: [Money; N]) -> [Option<Decimal>; N] {
    amounts.map(|amount| Some(amount.written()))
}

fn number(position: u32) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

fn position_row(record: &PositionRecord) -> StoredPosition {
    let [left, right] = Side::BOTH.map(|side| record.leg(side).map(Volume::parts));
    let mut volumes = [0; 12];
    volumes.iter_mut().zip(left.into_iter().chain(right)).for_each(|(to, from)| *to = from);
    StoredPosition {
        position: number(record.position.0),
        standing: record.standing.bits().into(),
        volumes,
        money: written([record.pool, record.paid, record.breakage, record.capped]),
        reason: record.unpaid.map(|why| Unpaid::as_str(why).to_owned()),
    }
}

fn of_position(row: &StoredPosition) -> String {
    let amount = row.money.get(1).copied().flatten().unwrap_or_default();
    format!("paid {amount}, standing {}", row.standing)
}

async fn positions(
    store: &Postgres,
    (key, component): (&CloseKey, &ComponentId),
    records: &[PositionRecord],
    found: &mut Found,
) -> Result<(), ClosingError> {
    let which = |position: i32| format!("{component} {position}");
    let mut beside = Beside::new(records, |record: &PositionRecord| number(record.position.0));
    let missing = |found: &mut Found, record: &PositionRecord| {
        let row = position_row(record);
        found.missing((Part::Position, &which(row.position)), of_position(&row));
    };
    let take = |stored: StoredPosition| {
        let record = beside.at(&stored.position, |record| missing(found, record));
        let which = which(stored.position);
        let Some(computed) = record.map(position_row) else {
            return found.too_many((Part::Position, &which), of_position(&stored));
        };
        if stored == computed {
            return;
        }
        let mut row = Row { found, part: Part::Position, which };
        let standing = |row: &StoredPosition| Some(row.standing.to_string());
        row.field("standing", standing(&stored), standing(&computed));
        row.volumes(&VOLUMES, &stored.volumes, &computed.volumes);
        row.money(&["pool", "paid", "breakage", "capped"], &stored.money, &computed.money);
        row.field("reason", stored.reason, computed.reason);
    };
    store.stored_positions(key, component, take).await?;
    beside.left.for_each(|record| missing(found, record));
    Ok(())
}

fn level_row(record: &LevelRecord) -> StoredLevel {
    StoredLevel {
        level: record.level.into(),
        position: record.position.map_or(-1, |position| number(position.0)),
        volume: record.volume.parts(),
        money: written([record.paid, record.breakage]),
        reason: record.unclaimed.map(|why| Unclaimed::as_str(why).to_owned()),
    }
}

fn of_level(row: &StoredLevel) -> String {
    let amount = row.money.first().copied().flatten().unwrap_or_default();
    format!("{} points, paid {amount}", Volume::from_parts(row.volume))
}

async fn levels(
    store: &Postgres,
    (key, component): (&CloseKey, &ComponentId),
    records: &[LevelRecord],
    found: &mut Found,
) -> Result<(), ClosingError> {
    let which = |row: &StoredLevel| format!("{component} level {} {}", row.level, row.position);
    let mut beside = Beside::new(records, |record: &LevelRecord| {
        let row = level_row(record);
        (row.level, row.position)
    });
    let missing = |found: &mut Found, record: &LevelRecord| {
        let row = level_row(record);
        found.missing((Part::Level, &which(&row)), of_level(&row));
    };
    let take = |stored: StoredLevel| {
        let at = (stored.level, stored.position);
        let record = beside.at(&at, |record| missing(found, record));
        let which = which(&stored);
        let Some(computed) = record.map(level_row) else {
            return found.too_many((Part::Level, &which), of_level(&stored));
        };
        if stored == computed {
            return;
        }
        let mut row = Row { found, part: Part::Level, which };
        row.volumes(&["volume"], &[stored.volume], &[computed.volume]);
        row.money(&["paid", "breakage"], &stored.money, &computed.money);
        row.field("reason", stored.reason, computed.reason);
    };
    store.stored_levels(key, component, take).await?;
    beside.left.for_each(|record| missing(found, record));
    Ok(())
}

fn correction_row(record: &CorrectionRecord) -> StoredCorrection {
    let spared = record.to_owner() - record.paid;
    StoredCorrection {
        component: record.component.to_string(),
        corrects: record.corrects.as_str().to_owned(),
        position: number(record.position.0),
        money: written([record.paid, record.breakage, record.capped, spared]),
        reason: record.refused.map(|why| Unpaid::as_str(why).to_owned()),
        cap: record.spared.as_ref().map(|(cap, _)| cap.to_string()),
    }
}

fn of_correction(row: &StoredCorrection) -> String {
    format!("paid {}", row.money.first().copied().flatten().unwrap_or_default())
}

/// They are held in memory as it is, and their periods have no order that a table knows.
async fn corrections(
    store: &Postgres,
    key: &CloseKey,
    records: &[CorrectionRecord],
    found: &mut Found,
) -> Result<(), ClosingError> {
    let place = |row: &StoredCorrection| {
        let StoredCorrection { component, corrects, position, .. } = row;
        format!("{component} {corrects} {position}")
    };
    let rows = records.iter().map(correction_row);
    let mut left: BTreeMap<String, StoredCorrection> = rows.map(|row| (place(&row), row)).collect();
    let take = |stored: StoredCorrection| {
        let which = place(&stored);
        let Some(computed) = left.remove(&which) else {
            return found.too_many((Part::Correction, &which), of_correction(&stored));
        };
        let mut row = Row { found, part: Part::Correction, which };
        let names = ["paid", "breakage", "capped", "spared"];
        row.money(&names, &stored.money, &computed.money);
        row.field("reason", stored.reason, computed.reason);
        row.field("cap", stored.cap, computed.cap);
    };
    store.stored_corrections(key, take).await?;
    for (which, computed) in left {
        found.missing((Part::Correction, &which), of_correction(&computed));
    }
    Ok(())
}
