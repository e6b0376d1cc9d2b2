//! Placement trees in Postgres: reading them, and placing what a file says.

use std::{error::Error, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::{
    CopyOutStream, GenericClient,
    binary_copy::{BinaryCopyInWriter, BinaryCopyOutRow, BinaryCopyOutStream},
    types::{ToSql, Type},
};

use super::{
    Postgres, classify,
    import::{Imported, Refused},
    to_u64, unreadable,
};
use crate::{
    domain::{
        digest::Digest,
        genealogy::{Genealogy, Member},
        id::{DistributorId, PositionId, TreeId},
        placement::{
            Entered, Owner, Placed, PlacementError, PlacementVersion, Position, Register, Seats,
            Shape, Spot, Wish,
        },
    },
    stream::ServiceError,
};

/// Held while positions are numbered: the same lock as the trigger's.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('upline.placement', 0))";

/// Events read in one statement.
const PART: u64 = 250_000;

/// A position as a CSV file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementRow {
    /// The row in the file, for messages.
    pub row: u64,
    /// What the company calls the position.
    pub position: PositionId,
    /// Whose it is.
    pub distributor: DistributorId,
    /// The position above.
    pub parent: Option<PositionId>,
    /// The place below it, in words of the tree's shape.
    pub side: Option<String>,
    /// When; without it, as the row before.
    pub placed_at: Option<Timestamp>,
}

/// A tree is of another shape than the plan says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "placement tree {tree} is a {kind} {width} wide in the books, and a {shape} in the plan: name another \
     tree in the plan"
)]
pub struct ShapeConflict {
    /// The tree.
    pub tree: TreeId,
    /// What it is in the books.
    pub kind: String,
    /// How many sit directly below somebody there.
    pub width: i16,
    /// What the plan says.
    pub shape: Shape,
}

/// A position belongs to somebody whom the genealogy does not have. They are enrolled before they are placed,
/// so the genealogy was read before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "position {position} of tree {tree} belongs to {owner}, who is not in the genealogy up to event {seq}: they \
     were enrolled meanwhile, begin again"
)]
struct UnknownOwner {
    tree: TreeId,
    position: PositionId,
    owner: DistributorId,
    /// The last event of the genealogy that was read.
    seq: u64,
}

/// Checks a tree against its shape; says whether it is there.
async fn check_shape(
    client: &impl GenericClient,
    tree: &TreeId,
    shape: Shape,
) -> Result<bool, ServiceError> {
    let query = "SELECT kind, width FROM upline.placement_tree WHERE tree = $1";
    let row = client.query_opt(query, &[&tree.as_str()]).await.map_err(classify)?;
    let Some(row) = row else { return Ok(false) };
    let (kind, width): (String, i16) = (row.get(0), row.get(1));
    if kind == shape.kind() && width == i16::from(shape.width()) {
        return Ok(true);
    }
    Err(unreadable(ShapeConflict { tree: tree.clone(), kind, width, shape }))
}

/// The columns of an event, in the order of the copy.
const EVENT: [Type; 9] = [
    Type::INT8,
    Type::INT4,
    Type::TEXT,
    Type::TEXT,
    Type::INT4,
    Type::INT2,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::BYTEA,
];

fn event(row: &BinaryCopyOutRow) -> Result<Placed, Box<dyn Error + Send + Sync>> {
    let position = |number: i32| u32::try_from(number).map(Position);
    let below = match (row.try_get::<Option<i32>>(4)?, row.try_get::<Option<i16>>(5)?) {
        (Some(parent), Some(place)) => Some((position(parent)?, u8::try_from(place)?)),
        _ => None,
    };
    Ok(Placed {
        seq: to_u64(row.try_get(0)?),
        position: position(row.try_get(1)?)?,
        spot: Spot {
            name: PositionId::parse(row.try_get(2)?)?,
            owner: DistributorId::parse(row.try_get(3)?)?,
            below,
            placed_at: row.try_get(6)?,
        },
        recorded_at: row.try_get(7)?,
        hash: Digest::try_from(row.try_get::<&[u8]>(8)?)?,
    })
}

/// A tree that is read.
trait Read {
    fn version(&self) -> PlacementVersion;
    fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError>;
}

impl Read for Register {
    fn version(&self) -> PlacementVersion {
        self.version()
    }

    fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError> {
        self.apply(event, owner)
    }
}

impl Read for Seats {
    fn version(&self) -> PlacementVersion {
        self.version()
    }

    fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError> {
        self.apply(event, owner)
    }
}

/// Reads a tree up to an event, into an empty one, and checks its chain.
async fn read<T: Read>(
    copy_out: impl AsyncFn(String) -> Result<CopyOutStream, tokio_postgres::Error>,
    (tree, mut into): (&TreeId, T),
    upto: u64,
    genealogy: &Genealogy,
) -> Result<T, ServiceError> {
    while into.version().seq < upto {
        let first = into.version().seq;
        let end = first.saturating_add(PART).min(upto);
        // The name of a tree is letters, digits, - and _; the numbers are ours: a copy takes no parameters.
        let copy = format!(
            "COPY (SELECT seq, position, position_id, distributor_id, parent, place, placed_at, recorded_at,
                          hash
                   FROM upline.placement_event WHERE tree = '{tree}' AND seq > {first} AND seq <= {end}
                   ORDER BY seq) TO STDOUT (FORMAT binary)"
        );
        let stream = copy_out(copy).await.map_err(classify)?;
        let mut rows = pin!(BinaryCopyOutStream::new(stream, &EVENT));
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let event = event(&row).map_err(unreadable)?;
            let owner = genealogy.find(&event.spot.owner).map(Member::number);
            let unknown = || {
                let (position, owner) = (event.spot.name.clone(), event.spot.owner.clone());
                let (tree, seq) = (tree.clone(), genealogy.version().seq);
                unreadable(UnknownOwner { tree, position, owner, seq })
            };
            into.apply(&event, Owner(owner.ok_or_else(unknown)?)).map_err(unreadable)?;
        }
        if into.version().seq < end {
            let found = into.version().seq;
            return Err(unreadable(format!("tree {tree} ends at event {found}, not at {upto}")));
        }
    }
    Ok(into)
}

impl Postgres {
    /// The version of a tree at an instant, by what is recorded now.
    pub async fn placement_version(
        &self,
        tree: &TreeId,
        at: Timestamp,
    ) -> Result<PlacementVersion, ServiceError> {
        // Times do not run backwards, so this is a prefix.
        let query =
            "SELECT seq, hash FROM upline.placement_event WHERE tree = $1 AND placed_at <= $2
                     ORDER BY seq DESC LIMIT 1";
        let client = self.client().await?;
        let row = client.query_opt(query, &[&tree.as_str(), &at]).await.map_err(classify)?;
        let Some(row) = row else { return Ok(PlacementVersion { seq: 0, hash: Digest::ZERO }) };
        let hash = Digest::try_from(row.get::<_, &[u8]>(1)).map_err(unreadable)?;
        Ok(PlacementVersion { seq: to_u64(row.get(0)), hash })
    }

    /// Reads a tree as of a version and checks its chain. A tree that nobody has placed anything in is
    /// empty.
    pub async fn placements(
        &self,
        tree: &TreeId,
        shape: Shape,
        version: PlacementVersion,
        genealogy: &Genealogy,
    ) -> Result<Seats, ServiceError> {
        let client = self.client().await?;
        check_shape(&**client, tree, shape).await?;
        let copy_out = async |copy: String| client.copy_out(&copy).await;
        let empty = Seats::new(shape).map_err(unreadable)?;
        let seats = read(copy_out, (tree, empty), version.seq, genealogy).await?;
        if seats.version() != version {
            return Err(unreadable(format!(
                "tree {tree} was altered before event {}",
                version.seq
            )));
        }
        Ok(seats)
    }

    /// Places what a file says, in its order, all in one transaction. Rows that cannot be placed are told one
    /// by one, and nothing is written then: the others might go elsewhere without them. Nor for `dry_run`.
    pub async fn import_placements(
        &self,
        (tree, shape): (&TreeId, Shape),
        genealogy: &Genealogy,
        rows: &[PlacementRow],
        now: Timestamp,
        dry_run: bool,
    ) -> Result<Imported, ServiceError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        // A million rows take longer than a statement of a stage may.
        tx.batch_execute("SET LOCAL statement_timeout = '30min'").await.map_err(classify)?;
        tx.execute(LOCK, &[]).await.map_err(classify)?;
        let there = check_shape(&*tx, tree, shape).await?;
        let last = "SELECT coalesce(max(seq), 0) FROM upline.placement_event WHERE tree = $1";
        let last = tx.query_one(last, &[&tree.as_str()]).await.map_err(classify)?.get(0);
        let copy_out = async |copy: String| tx.copy_out(&copy).await;
        let empty = Register::new(shape).map_err(unreadable)?;
        let mut register = read(copy_out, (tree, empty), to_u64(last), genealogy).await?;
        let mut imported = Imported::default();
        let mut spots = Vec::new();
        for row in rows {
            match place(&mut register, shape, genealogy, row, now) {
                Ok(Entered::Placed(spot)) => spots.push(spot),
                Ok(Entered::Unchanged) => {
                    imported.unchanged = imported.unchanged.saturating_add(1);
                }
                Err(reason) => imported.refused.push(Refused { row: row.row, reason }),
            }
        }
        imported.written = u64::try_from(spots.len()).unwrap_or(u64::MAX);
        if dry_run || spots.is_empty() || !imported.refused.is_empty() {
            return Ok(imported);
        }
        if !there {
            let insert =
                "INSERT INTO upline.placement_tree (tree, kind, width) VALUES ($1, $2, $3)";
            let width = i16::from(shape.width());
            tx.execute(insert, &[&tree.as_str(), &shape.kind(), &width]).await.map_err(classify)?;
        }
        write(&tx, tree, &register, &spots).await?;
        tx.commit().await.map_err(classify)?;
        Ok(imported)
    }
}

/// Finds the place of a row.
fn place(
    register: &mut Register,
    shape: Shape,
    genealogy: &Genealogy,
    row: &PlacementRow,
    now: Timestamp,
) -> Result<Entered, String> {
    let distributor = &row.distributor;
    let member = genealogy.find(distributor).filter(|member| {
        let known = genealogy.as_of(now, genealogy.version().seq).enrolled_at(*member);
        known.is_some()
    });
    let member = member.ok_or_else(|| {
        format!("distributor {distributor} is unknown: import distributors first")
    })?;
    if let Some(at) = row.placed_at.filter(|at| *at > now) {
        return Err(format!("placed_at {at} is in the future: place it when it has happened"));
    }
    let side = row.side.as_deref().map(|text| {
        let wanted = || format!("side is {text:?}, not {}", shape.sides());
        shape.side(text).ok_or_else(wanted)
    });
    let as_of = genealogy.as_of(row.placed_at.unwrap_or(now), genealogy.version().seq);
    let wish = Wish {
        name: row.position.clone(),
        distributor: distributor.clone(),
        owner: Owner(member.number()),
        parent: row.parent.clone(),
        side: side.transpose()?,
        sponsor: as_of.sponsor(member).map(|sponsor| Owner(sponsor.number())),
        placed_at: row.placed_at,
    };
    register.enter(&wish).map_err(|error| error.to_string())
}

async fn write(
    tx: &Transaction<'_>,
    tree: &TreeId,
    register: &Register,
    spots: &[Spot],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 6] =
        [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::INT2, Type::TIMESTAMPTZ];
    let into =
        "COPY upline.placement (tree, position_id, distributor_id, parent_id, place, placed_at)
                FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for Spot { name, owner, below, placed_at } in spots {
        let parent = below.and_then(|(parent, _)| register.name(parent)).map(PositionId::as_str);
        let row: [&(dyn ToSql + Sync); 6] = [
            &tree.as_str(),
            &name.as_str(),
            &owner.as_str(),
            &parent,
            &below.map(|(_, place)| i16::from(place)),
            placed_at,
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}

/// The number of a position as Postgres stores it.
pub(super) fn to_i32(position: Position) -> i32 {
    i32::try_from(position.0).unwrap_or(i32::MAX)
}
