//! Where the members of a case sit in a binary and in a matrix, and what each place brought.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{Unusable, company::Company};
use crate::domain::{
    id::DistributorId,
    placement::{BinaryTree, MatrixTree, Owner, PlacementError, Position},
    plan::{
        case::{MemberRow, VolumeRow},
        pairs::Matrix,
        volume::Measure,
    },
    volume::Volume,
};

/// A tree of places with the names that the case gives them.
pub(super) struct Places<'a, T> {
    pub(super) tree: T,
    /// The row of each position.
    pub(super) names: Vec<&'a DistributorId>,
    /// The number of the owner of each position.
    pub(super) owners: Vec<u32>,
    positions: BTreeMap<&'a DistributorId, Position>,
}

impl<'a> Places<'a, BinaryTree> {
    /// Places everybody in a binary, in the order of the case.
    pub(super) fn binary(company: &Company<'a>) -> Result<Self, Unusable> {
        let place = |tree: &mut BinaryTree, owner, row: &MemberRow, under| match (under, row.side) {
            (None, _) => Ok(tree.place_top(owner)),
            (Some(under), Some(side)) => Ok(tree.place_below(owner, under, side)),
            (Some(_), None) => Err(format!(
                "{}: a binary has two legs, say `side = \"left\"` or \"right\"",
                row.id
            )),
        };
        Self::fill(company, BinaryTree::default(), place)
    }
}

impl<'a> Places<'a, MatrixTree> {
    /// Places everybody in a matrix, in the order of the case.
    pub(super) fn matrix(company: &Company<'a>, plan: &Matrix) -> Result<Self, Unusable> {
        let tree = MatrixTree::new(plan.width, plan.height, plan.spillover);
        let tree = tree.map_err(|error| Unusable::new(1, error))?;
        let place = |tree: &mut MatrixTree, owner, _: &MemberRow, under| match under {
            None => Ok(tree.place_top(owner)),
            Some(under) => Ok(tree.place_below(owner, under)),
        };
        Self::fill(company, tree, place)
    }
}

impl<'a, T> Places<'a, T> {
    fn fill(
        company: &Company<'a>,
        tree: T,
        place: impl Fn(
            &mut T,
            Owner,
            &MemberRow,
            Option<Position>,
        ) -> Result<Result<Position, PlacementError>, String>,
    ) -> Result<Self, Unusable> {
        let mut places =
            Self { tree, names: Vec::new(), owners: Vec::new(), positions: BTreeMap::new() };
        for spanned in &company.case.members {
            let (line, row) = (company.cases.line(spanned), spanned.get_ref());
            let owner = company.find(row.owner.as_ref().unwrap_or(&row.id), line)?;
            let under = row.under.as_ref().or(row.owner.as_ref()).or(row.sponsor.as_ref());
            let under = under.map(|under| places.position(under, line)).transpose()?;
            let found = place(&mut places.tree, Owner(owner), row, under);
            let found = found.map_err(|problem| Unusable::new(line, problem))?;
            let position = found.map_err(|error| Unusable::new(line, error))?;
            if places.positions.insert(&row.id, position).is_some() {
                return Err(Unusable::new(line, format!("two members are called {}", row.id)));
            }
            places.names.push(&row.id);
            places.owners.push(owner);
        }
        Ok(places)
    }

    /// The position of somebody who has been placed.
    pub(super) fn position(&self, id: &DistributorId, line: usize) -> Result<Position, Unusable> {
        let found = self.positions.get(id).copied();
        found.ok_or_else(|| {
            Unusable::new(line, format!("{id} is not placed before: name them higher up"))
        })
    }

    /// The name of a position.
    pub(super) fn name(&self, position: Position) -> &str {
        self.names.get(position.index()).map_or("nobody", |name| name.as_str())
    }

    /// The number of the owner of a position.
    pub(super) fn owner(&self, position: Position) -> u32 {
        self.owners.get(position.index()).copied().unwrap_or(u32::MAX)
    }

    /// The volume that each position brought.
    pub(super) fn volume(
        &self,
        company: &Company<'_>,
        rows: &[Spanned<VolumeRow>],
        measure: Measure,
    ) -> Result<Vec<Volume>, Unusable> {
        let mut column = vec![Volume::ZERO; self.names.len()];
        for spanned in rows {
            let row = spanned.get_ref();
            let position = self.position(&row.who, company.cases.line(spanned))?;
            if let Some(volume) = column.get_mut(position.index()) {
                *volume += company.volumes(spanned)?.of(measure);
            }
        }
        Ok(column)
    }
}
