//! The forced matrix.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PairsError;
use crate::domain::{
    id::{ComponentId, RankId, TreeId},
    money::Rate,
    placement::{Shape, Spill},
    plan::volume::Measure,
    volume::Conversion,
};

/// Forced matrix: volume pays the positions above it, level by level.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The id of the component.
    pub id: ComponentId,
    /// The placement tree that it pays on. Several components may name one, if it is of one width and
    /// spills in one way.
    pub tree: TreeId,
    /// Which volume of the owners of positions pays.
    pub volume: Measure,
    /// How many sit directly below somebody.
    pub width: u8,
    /// How many levels pay. Who is placed deeper than that below somebody is out of their matrix, and
    /// in that of those nearer.
    pub height: u8,
    /// Money per point.
    pub conversion: Conversion,
    /// The rate of each level, as many as the height.
    pub rates: Vec<Rate>,
    /// Where somebody goes whose sponsor has no free place.
    pub spillover: Spill,
    /// What becomes of the level of somebody who may not earn.
    pub compression: MatrixCompression,
    /// How many levels somebody who is active earns.
    pub unlocks: Unlocks,
    /// What one line is, and so what is rounded once.
    pub line: MatrixLine,
}

/// What becomes of the level of somebody in a matrix who may not earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatrixCompression {
    /// They keep the level and its money is breakage.
    None,
    /// Who has no level unlocked uses none up: the next above takes it. Who has some keeps the place, and
    /// levels beyond theirs are breakage.
    RollUp,
}

/// How many levels of a matrix somebody earns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Unlocks {
    /// All who are active earn all levels.
    Activity {},
    /// Who is active earns as many as their rank has here; a rank that is not named, none.
    Rank {
        /// The levels of each rank.
        levels: BTreeMap<RankId, u8>,
    },
}

impl Unlocks {
    /// The levels of somebody, 0 for who may not earn.
    pub fn reach(&self, active: bool, rank: Option<&RankId>, height: u8) -> u8 {
        match self {
            _ if !active => 0,
            Self::Activity {} => height,
            Self::Rank { levels } => {
                let levels = rank.and_then(|rank| levels.get(rank)).copied();
                levels.unwrap_or_default().min(height)
            }
        }
    }
}

/// What one line of a matrix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatrixLine {
    /// An order on a level of somebody.
    Order,
    /// All volume of the period on a level of somebody.
    Period,
}

impl Matrix {
    /// The shape of its tree.
    pub fn shape(&self) -> Shape {
        Shape::Matrix { width: self.width, height: self.height, spill: self.spillover }
    }

    /// Checks what the shape of the file does not.
    pub fn check(&self) -> Result<(), PairsError> {
        let component = self.id.clone();
        let (width, height) = (self.width, self.height);
        if !(2..=32).contains(&width) || !(1..=32).contains(&height) {
            return Err(PairsError::Shape { component, width, height });
        }
        if self.conversion.as_decimal().is_zero() {
            return Err(PairsError::NotPositive { component, field: "conversion" });
        }
        if self.rates.len() != usize::from(height) {
            return Err(PairsError::Rates { component, found: self.rates.len(), height });
        }
        Ok(())
    }
}
