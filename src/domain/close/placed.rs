//! Binary and matrix as components of a close: what everybody earns in them, and what is kept of every
//! position.
//!
//! What is kept of a position in a binary is its whole close: what was carried, what arrived, what became
//! of it, what it earned and who was looked at. The next close opens with what this one carried, so that it
//! needs no journal of closed periods; and a return finds there what it has to correct. Of a position with
//! nothing in its legs nothing is kept.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Beneficiary, CloseEntry, CloseKey, Unearned, Unpaid,
    binary::{self, Input, Leg, LegVolumes, Legs, Rules, Standing},
    matrix::{self, Climb, MatrixError, Unclaimed},
};
use crate::domain::{
    digest::Digest,
    id::{ComponentId, DistributorId},
    money::{Currency, Money},
    placement::{Owner, Position, Side},
    plan::period::PeriodId,
    volume::Volume,
};

/// The close of a position in a binary, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionRecord {
    /// The component, shared by all records of it: there are millions.
    pub component: Arc<ComponentId>,
    /// The position.
    pub position: Position,
    /// What was carried before.
    pub opening: Legs,
    /// What arrived in the period.
    pub arrived: Legs,
    /// What became of the left leg.
    pub left: Leg,
    /// What became of the right leg.
    pub right: Leg,
    /// What spoke for the position.
    pub standing: Standing,
    /// What its pairs earn by the plan: paid + breakage + capped.
    pub pool: Money,
    /// What the owner gets.
    pub paid: Money,
    /// What the company keeps because the position may not earn.
    pub breakage: Money,
    /// What the component's caps take.
    pub capped: Money,
    /// Why the owner gets nothing.
    pub unpaid: Option<binary::Unpaid>,
}

/// A level of a position in a matrix, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelRecord {
    /// The component.
    pub component: ComponentId,
    /// Who stands there; nobody beyond the top.
    pub position: Option<Position>,
    /// The level, from 1.
    pub level: u8,
    /// The volume below that pays.
    pub volume: Volume,
    /// What the owner gets.
    pub paid: Money,
    /// What the company keeps.
    pub breakage: Money,
    /// Why.
    pub unclaimed: Option<Unclaimed>,
}

/// What a return changes for a position in a closed period: the difference to what was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectionRecord {
    /// The component.
    pub component: ComponentId,
    /// The closed period.
    pub corrects: PeriodId,
    /// The position.
    pub position: Position,
    /// Whose it is.
    pub owner: Owner,
    /// To the owner.
    pub paid: Money,
    /// To breakage.
    pub breakage: Money,
    /// To what the component's caps cut off.
    pub capped: Money,
    /// Why there is breakage: the position might not earn in that period.
    pub refused: Option<binary::Unpaid>,
    /// What of `paid` is not the owner's: a cap of the plan had taken it, or would have. Its sign is the
    /// other one, so the owner gets `paid + spared` and the cap `-spared`.
    pub spared: Option<(ComponentId, Money)>,
}

impl CorrectionRecord {
    /// What the owner gets, or gives back where it is below zero.
    pub fn to_owner(&self) -> Money {
        self.paid + self.spared()
    }

    fn spared(&self) -> Money {
        self.spared.as_ref().map(|(_, amount)| *amount).unwrap_or_default()
    }
}

/// Shares what corrections of one owner and closed period change between the owner and the cap of the plan
/// that had taken `cut` of what the owner earned there: it gives back before the owner does, and has what is
/// added. So nobody gives back what they never got.
pub fn spare(records: &mut [&mut CorrectionRecord], cap: &ComponentId, cut: Money) {
    let change: Money = records.iter().map(|record| record.paid).sum();
    let spared = if change.is_negative() { cut.min(-change) } else { -change };
    if let Some(first) = records.first_mut().filter(|_| cut.is_positive() && !spared.is_zero()) {
        first.spared = Some((cap.clone(), spared));
    }
}

/// What is kept of the positions of a close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacedRecords {
    /// Of binaries, by component and position.
    pub positions: Vec<PositionRecord>,
    /// Of matrices, by component, level and position.
    pub levels: Vec<LevelRecord>,
    /// Of closed periods, by component, period and position.
    pub corrections: Vec<CorrectionRecord>,
}

fn money(amount: Money) -> String {
    amount.written().to_string()
}

/// The fields of a record after its key.
fn leaf(kind: &str, key: &CloseKey, component: &ComponentId, fields: &[String]) -> Digest {
    let key = key.to_string();
    let head = [kind.as_bytes(), key.as_bytes(), component.as_str().as_bytes()];
    Digest::of_fields(head.into_iter().chain(fields.iter().map(String::as_bytes)))
}

impl PositionRecord {
    /// The volumes of a leg in their order: carried before, arrived, paired, expired, flushed, carried.
    pub fn leg(&self, side: Side) -> [Volume; 6] {
        let leg = match side {
            Side::Left => self.left,
            Side::Right => self.right,
        };
        let (opening, arrived) = (self.opening.of(side), self.arrived.of(side));
        [opening, arrived, leg.paired, leg.expired, leg.flushed, leg.carried]
    }

    /// What waits for the next period.
    pub fn carried(&self) -> Legs {
        Legs { left: self.left.carried, right: self.right.carried }
    }

    /// The leaf of the record in its block's Merkle tree: everything that it says. `key` is the text of the
    /// close's key. There are millions of them, so numbers go in as bytes.
    pub fn leaf(&self, key: &str) -> Digest {
        let mut numbers = Vec::with_capacity(4 + 1 + 12 * 8 + 4 * 20);
        numbers.extend(self.position.0.to_be_bytes());
        numbers.push(self.standing.bits());
        for side in Side::BOTH {
            for volume in self.leg(side) {
                numbers.extend(volume.parts().to_be_bytes());
            }
        }
        for amount in [self.pool, self.paid, self.breakage, self.capped].map(Money::written) {
            numbers.extend(amount.mantissa().to_be_bytes());
            numbers.extend(amount.scale().to_be_bytes());
        }
        let reason = self.unpaid.map_or("", binary::Unpaid::as_str);
        let kind = b"close-position".as_slice();
        let component = self.component.as_str().as_bytes();
        Digest::of_fields([kind, key.as_bytes(), component, &numbers, reason.as_bytes()])
    }
}

impl LevelRecord {
    /// The leaf of the record in its block's Merkle tree: everything that it says.
    pub fn leaf(&self, key: &CloseKey) -> Digest {
        let fields = [
            self.position.map(|position| position.to_string()).unwrap_or_default(),
            self.level.to_string(),
            self.volume.parts().to_string(),
            money(self.paid),
            money(self.breakage),
            self.unclaimed.map_or("", Unclaimed::as_str).to_owned(),
        ];
        leaf("close-level", key, &self.component, &fields)
    }
}

impl CorrectionRecord {
    /// The leaf of the record in its block's Merkle tree: everything that it says.
    pub fn leaf(&self, key: &CloseKey) -> Digest {
        let fields = [
            self.corrects.as_str().to_owned(),
            self.position.to_string(),
            money(self.paid),
            money(self.breakage),
            money(self.capped),
            self.refused.map_or("", binary::Unpaid::as_str).to_owned(),
            self.spared.as_ref().map_or("", |(cap, _)| cap.as_str()).to_owned(),
            money(self.spared()),
        ];
        leaf("close-correction", key, &self.component, &fields)
    }
}

impl PlacedRecords {
    /// Adds those of a component.
    pub fn extend(&mut self, other: Self) {
        self.positions.extend(other.positions);
        self.levels.extend(other.levels);
        self.corrections.extend(other.corrections);
    }

    /// What corrections of closed periods come to for all owners; none where there is no correction.
    pub fn corrected(&self) -> Option<Money> {
        let sum = self.corrections.iter().map(CorrectionRecord::to_owner).sum();
        Some(sum).filter(|_| !self.corrections.is_empty())
    }

    /// The leaves of all records.
    pub fn leaves(&self, key: &CloseKey) -> impl Iterator<Item = Digest> {
        let text = key.to_string();
        let positions = self.positions.iter().map(move |record| record.leaf(&text));
        let levels = self.levels.iter().map(|record| record.leaf(key));
        positions.chain(levels).chain(self.corrections.iter().map(|record| record.leaf(key)))
    }

    /// The entries of the corrections: of each component and closed period the members by number, then
    /// breakage by reason, then what its own and the plan's caps took. `name` knows all.
    pub fn entries(
        &self,
        key: &CloseKey,
        currency: Currency,
        name: impl Fn(u32) -> Option<DistributorId>,
    ) -> Vec<CloseEntry> {
        let mut entries = Vec::new();
        let same = |a: &CorrectionRecord, b: &CorrectionRecord| {
            (&a.component, &a.corrects) == (&b.component, &b.corrects)
        };
        for of_period in self.corrections.chunk_by(same) {
            let Some(CorrectionRecord { component, corrects, .. }) = of_period.first() else {
                continue;
            };
            let mut paid: BTreeMap<Owner, Money> = BTreeMap::new();
            let mut broken: BTreeMap<Unpaid, Money> = BTreeMap::new();
            let mut spared: BTreeMap<ComponentId, Money> = BTreeMap::new();
            for correction in of_period {
                *paid.entry(correction.owner).or_default() += correction.to_owner();
                if let Some((cap, amount)) = &correction.spared {
                    *spared.entry(cap.clone()).or_default() += -*amount;
                }
                *broken.entry(reason(correction.refused)).or_default() += correction.breakage;
            }
            let members = paid.into_iter().filter_map(|(owner, amount)| {
                Some((Beneficiary::Distributor(name(owner.0)?), amount))
            });
            let broken = broken.into_iter().map(|(why, sum)| (Beneficiary::Breakage(why), sum));
            let capped = of_period.iter().map(|correction| correction.capped).sum();
            let capped = (Beneficiary::Capped(component.clone()), capped);
            let spared = spared.into_iter().map(|(cap, sum)| (Beneficiary::Capped(cap), sum));
            let parts = members.chain(broken).chain([capped]).chain(spared);
            entries.extend(parts.filter(|(_, amount)| !amount.is_zero()).map(|part| {
                CloseEntry::new(key, currency, component, part, Some(corrects.clone()))
            }));
        }
        entries
    }
}

/// The reason under which what nobody gets of a binary is posted.
fn reason(refused: Option<binary::Unpaid>) -> Unpaid {
    match refused {
        Some(binary::Unpaid::NoneEnrolledLeft) => Unpaid::NoneEnrolledLeft,
        Some(binary::Unpaid::NoneEnrolledRight) => Unpaid::NoneEnrolledRight,
        Some(
            binary::Unpaid::Inactive
            | binary::Unpaid::NoVolume
            | binary::Unpaid::OneLegEmpty
            | binary::Unpaid::BelowOnePair
            | binary::Unpaid::BelowOneUnit
            | binary::Unpaid::Cap
            | binary::Unpaid::OwnerCap,
        )
        | None => Unpaid::NotActive,
    }
}

/// What a component that rests on placement comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// What each member earned, by member number.
    pub earned: Vec<Money>,
    /// What nobody gets.
    pub unearned: Unearned,
    /// What is kept.
    pub records: PlacedRecords,
}

impl Placed {
    fn new(members: usize) -> Self {
        Self { earned: vec![Money::ZERO; members], ..Self::default() }
    }

    fn earn(&mut self, owner: Option<Owner>, amount: Money) {
        let index = owner.map(|owner| Position(owner.0).index());
        if let Some(earned) = index.and_then(|index| self.earned.get_mut(index)) {
            *earned += amount;
        }
    }

    fn keep(&mut self, why: Unpaid, amount: Money) {
        if !amount.is_zero() {
            *self.unearned.breakage.entry(why).or_default() += amount;
        }
    }

    /// Counts what returns change in closed periods: matching and caps see it.
    pub fn correct(&mut self, corrections: Vec<CorrectionRecord>) {
        for correction in &corrections {
            let amount = correction.to_owner();
            self.earn(Some(correction.owner), amount);
            self.unearned.corrected.push((correction.owner.0, amount));
        }
        self.records.corrections.extend(corrections);
    }
}

/// Closes a binary. `carry` is what each position carried before, in the order of placement (shorter if
/// positions are new since); `members` how many there are, owners being their numbers.
pub fn binary(
    rules: &Rules,
    input: &Input<'_>,
    carry: &[Legs],
    members: usize,
) -> Result<Placed, binary::CloseError> {
    let closed = binary::close(rules, input, &mut carry.to_vec())?;
    let recent = input.recent.map(|recent| LegVolumes::of(input.tree, recent));
    let mut placed = Placed::new(members);
    let mut lines = closed.lines.iter().peekable();
    let component = Arc::new(rules.plan.id.clone());
    let opening = carry.iter().copied().chain(std::iter::repeat(Legs::ZERO));
    let legs = (0_u32..).map(Position).zip(closed.arrived.iter()).zip(input.standing).zip(opening);
    for (((position, arrived), standing), opening) in legs {
        if opening == Legs::ZERO && arrived == Legs::ZERO {
            continue;
        }
        let living = recent.as_ref().map_or(Legs::ZERO, |recent| recent.legs(position));
        let settled = rules.settle(opening, arrived, living, *standing);
        let mut record = PositionRecord {
            component: component.clone(),
            position,
            opening,
            arrived,
            left: settled.left,
            right: settled.right,
            standing: *standing,
            pool: settled.pool,
            paid: settled.paid,
            breakage: settled.breakage,
            capped: settled.capped,
            unpaid: settled.unpaid,
        };
        // The line knows the cap of the owner too.
        if let Some(line) = lines.next_if(|line| line.position == position) {
            (record.paid, record.capped, record.unpaid) = (line.paid, line.capped, line.unpaid);
            placed.earn(input.tree.owner(position), line.paid);
            placed.keep(reason(line.unpaid), line.breakage);
            placed.unearned.capped += line.capped;
        }
        placed.records.positions.push(record);
    }
    Ok(placed)
}

/// The close of a matrix under way: lines come in, sums of each level and position stay.
///
/// A line is rounded when it comes in and no more after that. With `line = "order"` it is what a close counts
/// of one order: what came back before the close is off the order before it is rounded, what comes back after
/// it is a line of the close that counts it.
#[derive(Debug)]
pub struct MatrixClose<'a> {
    component: &'a ComponentId,
    climb: &'a Climb<'a>,
    levels: BTreeMap<(u8, Option<Position>), LevelRecord>,
}

impl<'a> MatrixClose<'a> {
    /// Nothing has come in yet.
    pub fn new(component: &'a ComponentId, climb: &'a Climb<'a>) -> Self {
        Self { component, climb, levels: BTreeMap::new() }
    }

    /// One order, with the position that brought it: a line is it on a level.
    pub fn order(&mut self, position: Position, volume: Volume) {
        if volume != Volume::ZERO {
            self.climb.order(position, volume).into_iter().for_each(|line| self.add(&line));
        }
    }

    /// What each position brought in the period: a line is all of it on a level.
    pub fn period(&mut self, volume: &[Volume]) -> Result<(), MatrixError> {
        self.climb.period(volume)?.iter().for_each(|line| self.add(line));
        Ok(())
    }

    fn add(&mut self, line: &matrix::Line) {
        let record = self.levels.entry((line.level, line.position)).or_insert_with(|| {
            let component = self.component.clone();
            let (volume, zero) = (Volume::ZERO, Money::ZERO);
            let (position, level, unclaimed) = (line.position, line.level, line.unclaimed);
            LevelRecord {
                component,
                position,
                level,
                volume,
                paid: zero,
                breakage: zero,
                unclaimed,
            }
        });
        record.volume += line.volume;
        record.paid += line.paid;
        record.breakage += line.breakage;
    }

    /// What it comes to. `owners` has the member number of each position's owner, `members` how many there
    /// are.
    pub fn finish(self, owners: &[Owner], members: usize) -> Placed {
        let mut placed = Placed::new(members);
        // By level; who is nobody comes first.
        for record in self.levels.into_values() {
            let at = record.position.map(Position::index);
            placed.earn(at.and_then(|index| owners.get(index).copied()), record.paid);
            let why = match record.unclaimed {
                Some(Unclaimed::NoUpline) => Unpaid::EndOfUpline,
                Some(Unclaimed::Locked) => Unpaid::LevelLocked,
                Some(Unclaimed::Inactive) | None => Unpaid::NotActive,
            };
            placed.keep(why, record.breakage);
            placed.records.levels.push(record);
        }
        placed
    }
}

#[cfg(test)]
mod tests;
