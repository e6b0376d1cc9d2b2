//! The placement trees that a plan pays on.

use std::collections::BTreeMap;

use super::{
    Component, Plan, Problem,
    closing::Faulty,
    pairs::{Binary, PairsError},
};
use crate::domain::{
    id::{ComponentId, TreeId},
    placement::Shape,
};

impl Component {
    /// The placement tree that it pays on, and the shape that this must have.
    pub fn tree(&self) -> Option<(&TreeId, Shape)> {
        match self {
            Self::Binary(binary) => Some((&binary.tree, Shape::Binary)),
            Self::Matrix(matrix) => Some((&matrix.tree, matrix.shape())),
            Self::Direct(_)
            | Self::Unilevel(_)
            | Self::Differential(_)
            | Self::Infinity(_)
            | Self::Generation(_)
            | Self::FastStart(_)
            | Self::Close(_) => None,
        }
    }
}

impl Plan {
    /// The placement trees that its components pay on, each with its shape.
    pub fn trees(&self) -> BTreeMap<&TreeId, Shape> {
        // The components of a tree agree on its shape, or the plan is not read.
        self.components.iter().filter_map(Component::tree).collect()
    }

    /// The binaries, in the order of the plan.
    pub fn binaries(&self) -> impl Iterator<Item = &Binary> {
        self.components.iter().filter_map(|component| {
            let Component::Binary(binary) = component else { return None };
            Some(binary)
        })
    }

    /// The first component whose tree is of another shape in a component before it, by its path.
    pub(super) fn tree_fault(&self) -> Option<Faulty> {
        let mut seen: BTreeMap<&TreeId, (&ComponentId, Shape)> = BTreeMap::new();
        for (index, component) in self.components.iter().enumerate() {
            let Some((tree, found)) = component.tree() else { continue };
            let (first, other) = *seen.entry(tree).or_insert_with(|| (component.id(), found));
            if !found.grows_as(other) {
                let id = component.id().clone();
                let (tree, first) = (tree.clone(), first.clone());
                let problem = PairsError::Tree { component: id.clone(), tree, found, first, other };
                let path = ["component".into(), index.to_string().into(), "tree".into()];
                return Some((path.into(), Some(id), Problem::Pairs(problem)));
            }
        }
        None
    }
}
