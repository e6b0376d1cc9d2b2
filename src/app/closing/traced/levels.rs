//! The levels of a matrix below the positions of one distributor.

use std::collections::BTreeMap;

use super::{
    super::told::{MatrixLevelTold, MatrixPositionTold},
    Case, MatrixTold,
};
use crate::domain::{
    close::matrix::Unclaimed,
    placement::Position,
    plan::pairs::{Matrix, MatrixLine},
};

impl Case<'_> {
    pub(super) fn matrix(&self, plan: &Matrix, parents: &[u32]) -> MatrixTold {
        let levels = self.prepared.placed.levels.iter();
        let levels: Vec<_> = levels.filter(|record| record.component == plan.id).collect();
        let told = |position: &Position| {
            let placed = depths(parents, *position, plan.height);
            let of = levels.iter().filter(|record| record.position == Some(*position));
            let level = |number: u8| {
                let index = usize::from(number).checked_sub(1)?;
                let rate = *plan.rates.get(index)?;
                let found = of.clone().find(|record| record.level == number);
                let volume = found.map(|record| record.volume).unwrap_or_default();
                let money = volume.as_decimal().checked_mul(plan.conversion.as_decimal());
                let exact = money.and_then(|money| money.checked_mul(rate.as_decimal()));
                Some(MatrixLevelTold {
                    level: number,
                    positions: placed.get(index).copied().unwrap_or_default(),
                    volume,
                    rate,
                    exact: exact.map(|exact| exact.normalize()),
                    paid: found.map(|record| record.paid).unwrap_or_default(),
                    forfeited: found.map(|record| record.breakage).unwrap_or_default(),
                    because: found.and_then(|record| record.unclaimed).map(Unclaimed::as_str),
                })
            };
            let levels = (1..=plan.height).filter_map(level).collect();
            let position = self.names.get(position)?.clone();
            Some(MatrixPositionTold { position, levels })
        };
        MatrixTold {
            tree: plan.tree.clone(),
            conversion: plan.conversion,
            by_order: plan.line == MatrixLine::Order,
            positions: self.owned.iter().filter_map(told).collect(),
        }
    }
}

/// How many positions are placed on each of the levels below one; parents have lower numbers.
fn depths(parents: &[u32], top: Position, height: u8) -> Vec<u64> {
    let mut counts = vec![0_u64; usize::from(height)];
    let mut depth: BTreeMap<u32, usize> = BTreeMap::from([(top.0, 0)]);
    for (position, parent) in (0_u32..).zip(parents) {
        let Some(above) = depth.get(parent).copied() else { continue };
        let Some(count) = counts.get_mut(above) else { continue };
        *count = count.saturating_add(1);
        depth.insert(position, above.saturating_add(1));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_by_their_depth() {
        // 0 over 1 and 2; 1 over 3; 3 over 4; 2 over 5.
        let parents = [u32::MAX, 0, 0, 1, 3, 2];
        assert_eq!(depths(&parents, Position(0), 2), [2, 2]);
        assert_eq!(depths(&parents, Position(1), 3), [1, 1, 0]);
        assert_eq!(depths(&parents, Position(4), 3), [0, 0, 0]);
    }
}
