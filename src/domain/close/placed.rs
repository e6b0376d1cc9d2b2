//! Binary and matrix as components of a close: what everybody earns in them, and what is kept of every
//! position.
//!
//! What is kept of a position in a binary is its whole close: what was carried, what arrived, what became
//! of it, what it earned and who was looked at. The next close opens with what this one carried, so that it
//! needs no journal of closed periods; and a return finds there what it has to correct. A position that
//! once had volume in a leg has a record in every close from then on.

use std::collections::BTreeMap;

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
    /// The component.
    pub component: ComponentId,
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

    /// The leaf of the record in its block's Merkle tree: everything that it says.
    pub fn leaf(&self, key: &CloseKey) -> Digest {
        let mut fields = vec![self.position.to_string(), self.standing.bits().to_string()];
        for side in Side::BOTH {
            fields.extend(self.leg(side).map(|volume| volume.parts().to_string()));
        }
        fields.extend([self.pool, self.paid, self.breakage, self.capped].map(money));
        fields.push(self.unpaid.map_or("", binary::Unpaid::as_str).to_owned());
        leaf("close-position", key, &self.component, &fields)
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
        let positions = self.positions.iter().map(|record| record.leaf(key));
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

/// Closes a binary. `carry` is what each position carried before, for those that ever had volume; `members`
/// how many there are, owners being their numbers.
pub fn binary(
    rules: &Rules,
    input: &Input<'_>,
    carry: &BTreeMap<Position, Legs>,
    members: usize,
) -> Result<Placed, binary::CloseError> {
    let mut after = vec![Legs::ZERO; input.tree.len()];
    for (position, legs) in carry {
        if let Some(known) = after.get_mut(position.index()) {
            *known = *legs;
        }
    }
    let closed = binary::close(rules, input, &mut after)?;
    let recent = input.recent.map(|recent| LegVolumes::of(input.tree, recent));
    let mut placed = Placed::new(members);
    let mut lines = closed.lines.iter().peekable();
    let legs = (0_u32..).map(Position).zip(closed.arrived.iter()).zip(input.standing);
    for ((position, arrived), standing) in legs {
        let known = carry.get(&position);
        if known.is_none() && arrived == Legs::ZERO {
            continue;
        }
        let opening = known.copied().unwrap_or_default();
        let living = recent.as_ref().map_or(Legs::ZERO, |recent| recent.legs(position));
        let settled = rules.settle(opening, arrived, living, *standing);
        let mut record = PositionRecord {
            component: rules.plan.id.clone(),
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

/// What brings volume into a matrix.
#[derive(Debug, Clone)]
pub enum MatrixVolumes {
    /// Each order, by the position that brought it: a line is one of them on a level.
    Orders(Vec<(Position, Volume)>),
    /// What each position brought in the period: a line is all of it on a level.
    Period(Vec<Volume>),
}

/// Closes a matrix. `owners` has the member number of each position's owner.
pub fn matrix(
    component: &ComponentId,
    climb: &Climb<'_>,
    volumes: &MatrixVolumes,
    owners: &[Owner],
    members: usize,
) -> Result<Placed, MatrixError> {
    let mut lines: Vec<matrix::Line> = match volumes {
        MatrixVolumes::Orders(orders) => {
            let of_order =
                |(position, volume): &(Position, Volume)| climb.order(*position, *volume);
            orders.iter().flat_map(of_order).collect()
        }
        MatrixVolumes::Period(volume) => climb.period(volume)?,
    };
    // Who is nobody comes first.
    lines.sort_by_key(|line| (line.level, line.position));
    let mut placed = Placed::new(members);
    let same = |a: &matrix::Line, b: &matrix::Line| (a.level, a.position) == (b.level, b.position);
    for of_level in lines.chunk_by(same) {
        let Some(first) = of_level.first() else { continue };
        let mut record = LevelRecord {
            component: component.clone(),
            position: first.position,
            level: first.level,
            volume: Volume::ZERO,
            paid: Money::ZERO,
            breakage: Money::ZERO,
            unclaimed: first.unclaimed,
        };
        for line in of_level {
            record.volume += line.volume;
            record.paid += line.paid;
            record.breakage += line.breakage;
        }
        let owner = first.position.and_then(|position| owners.get(position.index()).copied());
        placed.earn(owner, record.paid);
        let why = match first.unclaimed {
            Some(Unclaimed::NoUpline) => Unpaid::EndOfUpline,
            Some(Unclaimed::Locked) => Unpaid::LevelLocked,
            Some(Unclaimed::Inactive) | None => Unpaid::NotActive,
        };
        placed.keep(why, record.breakage);
        placed.records.levels.push(record);
    }
    Ok(placed)
}

#[cfg(test)]
mod tests;
