//! What a company brings along from an earlier system: ranks that were reached there, and volume that waits in
//! the legs of a binary. All of a file is one statement, or nothing of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
};

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{Postgres, classify, import::Imported, ranks, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        close::{Basis, CarryLine, CarryVersion, binary::Legs},
        commission::RankSource,
        digest::Digest,
        id::{ComponentId, DistributorId, Operator, PositionId, RankId, Reason, TreeId},
        placement::Position,
        volume::Volume,
    },
    stream::ServiceError,
};

/// A million rows take longer than a statement of a stage may.
const PATIENCE: &str = "SET LOCAL statement_timeout = '30min'";

/// Who brings something along, and why, or where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Bringer<'a> {
    /// Who.
    pub by: &'a Operator,
    /// Why.
    pub why: &'a Reason,
}

/// A rank that somebody reached in an earlier system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtRank {
    /// The id of the plan.
    pub plan: Box<str>,
    /// Who.
    pub distributor: DistributorId,
    /// The rank that they are paid as; none below the first.
    pub rank: Option<RankId>,
    /// The highest ever.
    pub highest: Option<RankId>,
    /// The ranks whose bonus was paid: names with commas between them.
    pub bonuses: Option<String>,
    /// From when on.
    pub as_of: Timestamp,
}

/// Volume that waits in the legs of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtCarry {
    /// What the company calls the position.
    pub position: PositionId,
    /// How much waits.
    pub legs: Legs,
}

/// A binary of a plan, for what its positions bring along.
#[derive(Debug, Clone, Copy)]
pub struct OfBinary<'a> {
    /// The id of the plan.
    pub plan: &'a str,
    /// The binary.
    pub component: &'a ComponentId,
    /// Its tree.
    pub tree: &'a TreeId,
}

/// What a position of a binary brought along, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CarryTold {
    /// The binary.
    pub component: String,
    /// What the company calls the position.
    pub position: String,
    /// What waited on the left.
    pub left: Volume,
    /// What waited on the right.
    pub right: Volume,
    /// Who brought it along.
    pub by: String,
    /// Why, or where it comes from.
    pub why: String,
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// What is known of imported ranks: rank, highest, bonuses, and from when on.
type KnownRank = (Option<String>, Option<String>, Option<String>, Timestamp);

const OF_RANKS: &str = "SELECT DISTINCT ON (distributor_id) distributor_id, rank, highest, bonuses,
            effective_at
     FROM upline.rank_fact WHERE source = 'imported' AND plan_id = $1 AND seq <= $2
     ORDER BY distributor_id, effective_at DESC, seq DESC";

impl Postgres {
    /// Records ranks that were reached in an earlier system, as one statement. What is in the books already
    /// is not written again. Nothing is written for `dry_run`.
    pub async fn bring_ranks(
        &self,
        rows: &[BroughtRank],
        Bringer { by, why }: Bringer<'_>,
        dry_run: bool,
    ) -> Result<Imported, ServiceError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        tx.batch_execute(PATIENCE).await.map_err(classify)?;
        ranks::lock(&tx).await?;
        let plans: HashSet<&str> = rows.iter().map(|row| &*row.plan).collect();
        let mut known: HashMap<(&str, String), KnownRank> = HashMap::new();
        for plan in plans {
            for row in tx.query(OF_RANKS, &[&plan, &i64::MAX]).await.map_err(classify)? {
                let fact = (row.get(1), row.get(2), row.get(3), row.get(4));
                known.insert((plan, row.get(0)), fact);
            }
        }
        let new = |row: &&BroughtRank| {
            let text = |rank: &Option<RankId>| rank.as_ref().map(ToString::to_string);
            let says = (text(&row.rank), text(&row.highest), row.bonuses.clone(), row.as_of);
            known.get(&(&*row.plan, row.distributor.to_string())) != Some(&says)
        };
        let new: Vec<&BroughtRank> = rows.iter().filter(new).collect();
        let written = count(new.len());
        let unchanged = count(rows.len()).saturating_sub(written);
        if !dry_run {
            let lines = new.into_iter().map(|row| crate::domain::commission::RankLine {
                rank: row.rank.as_ref().map(RankId::as_str),
                highest: row.highest.as_ref().map(RankId::as_str),
                bonuses: row.bonuses.as_deref(),
                by: Some(by.as_str()),
                why: Some(why.as_str()),
                ..ranks::blank(&row.plan, row.distributor.as_str(), RankSource::Imported, row.as_of)
            });
            ranks::append(&tx, lines).await?;
            tx.commit().await.map_err(classify)?;
        }
        Ok(Imported { written, unchanged, refused: Vec::new() })
    }

    /// Reads what everybody brought along, by the facts up to a number: the highest rank ever, and the names
    /// of the ranks whose bonus was paid.
    pub async fn brought_titles(
        &self,
        plan: &str,
        upto: u64,
        mut take: impl FnMut(&str, Option<&str>, Option<&str>),
    ) -> Result<(), ServiceError> {
        let client = self.client().await?;
        let upto = to_i64(upto);
        let given: [&(dyn ToSql + Sync); 2] = [&plan, &upto];
        let mut rows = pin!(client.query_raw(OF_RANKS, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(row.get(0), row.get(2), row.get(3));
        }
        Ok(())
    }

    /// The last instant at which a rank that was brought along begins; none if there is none.
    pub async fn brought_until(&self, plan: &str) -> Result<Option<Timestamp>, ServiceError> {
        let query = "SELECT max(effective_at) FROM upline.rank_fact
                     WHERE source = 'imported' AND plan_id = $1";
        let client = self.client().await?;
        Ok(client.query_one(query, &[&plan]).await.map_err(classify)?.get(0))
    }

    /// Records what positions bring along, as one statement. What is in the books already is not written
    /// again. Nothing is written for `dry_run`.
    pub async fn bring_carries(
        &self,
        of: OfBinary<'_>,
        rows: &[BroughtCarry],
        bringer: Bringer<'_>,
        dry_run: bool,
    ) -> Result<Imported, ServiceError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        tx.batch_execute(PATIENCE).await.map_err(classify)?;
        ranks::lock(&tx).await?;
        let known = known_carries(&tx, of).await?;
        let new = |row: &&BroughtCarry| {
            let parts = (row.legs.left.parts(), row.legs.right.parts());
            known.get(row.position.as_str()) != Some(&parts)
        };
        let new: Vec<&BroughtCarry> = rows.iter().filter(new).collect();
        let written = count(new.len());
        let unchanged = count(rows.len()).saturating_sub(written);
        if !dry_run && written > 0 {
            append(&tx, of, &new, bringer).await?;
            tx.commit().await.map_err(classify)?;
        }
        Ok(Imported { written, unchanged, refused: Vec::new() })
    }

    /// Which of these positions are placed.
    pub async fn placed_among(
        &self,
        tree: &TreeId,
        positions: &[&str],
    ) -> Result<HashSet<String>, ServiceError> {
        let query = "SELECT position_id FROM upline.placement_event
                     WHERE tree = $1 AND position_id = ANY ($2)";
        let client = self.client().await?;
        let rows = client.query(query, &[&tree.as_str(), &positions]).await.map_err(classify)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The last fact about what a plan's positions bring along, and the chain up to it as it stands, which is
    /// computed again: an altered one is refused. None where the plan has no such fact.
    pub async fn carry_version(
        &self,
        plan: &str,
        upto: u64,
    ) -> Result<Option<CarryVersion>, ServiceError> {
        let last = "SELECT max(seq) FROM upline.carry_fact WHERE plan_id = $1 AND seq <= $2";
        let client = self.client().await?;
        let last = client.query_one(last, &[&plan, &to_i64(upto)]).await.map_err(classify)?;
        let Some(last) = last.get::<_, Option<i64>>(0) else { return Ok(None) };
        let query = "SELECT seq, plan_id, component, tree, position_id, left_volume, right_volume,
                            decided_by, reason, recorded_at, hash
                     FROM upline.carry_fact WHERE seq <= $1 ORDER BY seq";
        let given: [&(dyn ToSql + Sync); 1] = [&last];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        let mut version = CarryVersion::default();
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let line = CarryLine {
                seq: to_u64(row.get(0)),
                plan: row.get(1),
                component: row.get(2),
                tree: row.get(3),
                position: row.get(4),
                left: row.get(5),
                right: row.get(6),
                by: row.get(7),
                why: row.get(8),
                recorded_at: row.get(9),
            };
            let hash = Digest::try_from(row.get::<_, &[u8]>(10)).map_err(unreadable)?;
            let follows = Some(line.seq) == version.seq.checked_add(1);
            if !follows || line.chained(&version.hash) != hash {
                let seq = line.seq;
                return Err(unreadable(format!("carry fact {seq} was altered, or one before it")));
            }
            version = CarryVersion { seq: line.seq, hash };
        }
        if version.seq != to_u64(last) {
            return Err(unreadable(format!("carry facts up to {last} are not there")));
        }
        Ok(Some(version))
    }

    /// What each position of a binary opens the first close of its plan with: nothing for any other close.
    pub async fn brought_legs(
        &self,
        basis: &Basis,
        component: &ComponentId,
    ) -> Result<BTreeMap<Position, Legs>, ServiceError> {
        let Some(version) = basis.carries else { return Ok(BTreeMap::new()) };
        let query = "SELECT DISTINCT ON (e.position) e.position, f.left_volume, f.right_volume
                     FROM upline.carry_fact f JOIN upline.placement_event e USING (tree, position_id)
                     WHERE f.plan_id = $1 AND f.component = $2 AND f.seq <= $3
                     ORDER BY e.position, f.seq DESC";
        let client = self.client().await?;
        let upto = to_i64(version.seq);
        let (plan, component) = (&*basis.plan.id, component.as_str());
        let rows = client.query(query, &[&plan, &component, &upto]).await.map_err(classify)?;
        let mut brought = BTreeMap::new();
        for row in rows {
            let position = u32::try_from(row.get::<_, i32>(0)).map(Position).map_err(unreadable)?;
            let volume = |column: usize| Volume::from_parts(row.get(column));
            brought.insert(position, Legs { left: volume(1), right: volume(2) });
        }
        Ok(brought)
    }

    /// What the positions of a distributor brought along into a close.
    pub async fn brought_by(
        &self,
        basis: &Basis,
        distributor: &DistributorId,
    ) -> Result<Vec<CarryTold>, ServiceError> {
        let Some(version) = basis.carries else { return Ok(Vec::new()) };
        let query = "SELECT DISTINCT ON (f.component, e.position) f.component, f.position_id,
                            f.left_volume, f.right_volume, f.decided_by, f.reason
                     FROM upline.carry_fact f JOIN upline.placement_event e USING (tree, position_id)
                     WHERE f.plan_id = $1 AND f.seq <= $2 AND e.distributor_id = $3
                     ORDER BY f.component, e.position, f.seq DESC";
        let client = self.client().await?;
        let (plan, upto) = (&*basis.plan.id, to_i64(version.seq));
        let of = distributor.as_str();
        let rows = client.query(query, &[&plan, &upto, &of]).await.map_err(classify)?;
        let told = rows.iter().map(|row| CarryTold {
            component: row.get(0),
            position: row.get(1),
            left: Volume::from_parts(row.get(2)),
            right: Volume::from_parts(row.get(3)),
            by: row.get(4),
            why: row.get(5),
        });
        Ok(told.collect())
    }
}

/// Whether there are facts about what positions bring along that a first close was not computed from. Under
/// the lock of the facts about ranks, which is theirs too.
pub(super) async fn is_outdated(tx: &Transaction<'_>, basis: &Basis) -> Result<bool, ServiceError> {
    if basis.previous.is_some() {
        return Ok(false);
    }
    let known = basis.carries.map_or(0, |carries| carries.seq);
    let newer = "SELECT EXISTS (SELECT FROM upline.carry_fact WHERE seq > $1 AND plan_id = $2)";
    let row = tx.query_one(newer, &[&to_i64(known), &&*basis.plan.id]).await.map_err(classify)?;
    Ok(row.get(0))
}

/// What is known of each position: left and right.
async fn known_carries(
    tx: &Transaction<'_>,
    of: OfBinary<'_>,
) -> Result<HashMap<String, (i64, i64)>, ServiceError> {
    let query = "SELECT DISTINCT ON (position_id) position_id, left_volume, right_volume
                 FROM upline.carry_fact WHERE plan_id = $1 AND component = $2 AND tree = $3
                 ORDER BY position_id, seq DESC";
    let (component, tree) = (of.component.as_str(), of.tree.as_str());
    let rows = tx.query(query, &[&of.plan, &component, &tree]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}

/// Numbers, chains and writes facts, under the lock.
async fn append(
    tx: &Transaction<'_>,
    of: OfBinary<'_>,
    rows: &[&BroughtCarry],
    Bringer { by, why }: Bringer<'_>,
) -> Result<(), ServiceError> {
    const TYPES: [Type; 11] = [
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::BYTEA,
    ];
    let head = "SELECT clock_timestamp(), seq, hash FROM (SELECT 1) one
                LEFT JOIN (SELECT seq, hash FROM upline.carry_fact ORDER BY seq DESC LIMIT 1) last
                ON true";
    let row = tx.query_one(head, &[]).await.map_err(classify)?;
    let recorded_at: Timestamp = row.get(0);
    let mut version = match row.get::<_, Option<i64>>(1) {
        Some(seq) => CarryVersion {
            seq: to_u64(seq),
            hash: Digest::try_from(row.get::<_, &[u8]>(2)).map_err(unreadable)?,
        },
        None => CarryVersion::default(),
    };
    let into = "COPY upline.carry_fact (seq, plan_id, component, tree, position_id, left_volume,
                right_volume, decided_by, reason, recorded_at, hash) FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut copy = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for row in rows {
        let line = CarryLine {
            seq: version.seq.saturating_add(1),
            plan: of.plan,
            component: of.component.as_str(),
            tree: of.tree.as_str(),
            position: row.position.as_str(),
            left: row.legs.left.parts(),
            right: row.legs.right.parts(),
            by: by.as_str(),
            why: why.as_str(),
            recorded_at,
        };
        version = CarryVersion { seq: line.seq, hash: line.chained(&version.hash) };
        let fields: [&(dyn ToSql + Sync); 11] = [
            &to_i64(line.seq),
            &line.plan,
            &line.component,
            &line.tree,
            &line.position,
            &line.left,
            &line.right,
            &line.by,
            &line.why,
            &line.recorded_at,
            &version.hash.as_bytes().as_slice(),
        ];
        copy.as_mut().write(&fields).await.map_err(classify)?;
    }
    copy.finish().await.map(drop).map_err(classify)
}
