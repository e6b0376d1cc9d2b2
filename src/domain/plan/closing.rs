//! What a close takes from a plan: the sections, and the components in their order.

use super::{
    Component, Plan, Problem,
    by_rank::Needed,
    close::{CloseComponent, CloseParts, ClosePlanError, Given},
    rank::{LadderRules, Legs, Rank, Reach, Standing},
};
use crate::domain::{
    close::ClosePlan,
    id::{ComponentId, RankId},
};

/// Where in the file something does not hold, of which component, and what.
pub(super) type Faulty = (Vec<Box<str>>, Option<ComponentId>, Problem);

impl Plan {
    /// The plan of the close: the parts that [`crate::domain::close::evaluate`] takes, checked and
    /// resolved. `None` if there is nothing to close. A plan that was read has a close that holds.
    ///
    /// What is computed elsewhere stands in it as [`Given`], at its place in the order: every binary and
    /// matrix, and the components of orders that a matching or a cap names.
    pub fn close(&self) -> Result<Option<ClosePlan>, ClosePlanError> {
        let (Some(parts), Some(currency)) = (self.close_parts(), self.currency) else {
            return Ok(None);
        };
        ClosePlan::new(parts, self.rounding, currency).map(Some)
    }

    /// The components of orders that stand in the close as [`Given`].
    pub fn given(&self) -> Vec<ComponentId> {
        let of_orders = self.components.iter().filter(|component| component.of_orders());
        of_orders.map(Component::id).filter(|id| self.names(id)).cloned().collect()
    }

    /// Whether there is something that a close computes: a component of its own, a cap, or ranks.
    pub fn is_closed(&self) -> bool {
        !self.requirements.is_empty()
            || self.ladder.is_some()
            || !self.caps.is_empty()
            || self.components.iter().any(|component| !component.of_orders())
    }

    /// The section that the close lacks, if it lacks one.
    pub(super) fn lacks(&self) -> Option<Needed> {
        let needed = [
            (self.currency.is_none(), Needed::Currency),
            (self.volumes.is_none(), Needed::Volumes),
            (self.activity.is_none(), Needed::Activity),
            (self.ladder.is_none() && !self.ranks.is_empty(), Needed::Ladder),
            (self.period.is_none(), Needed::Period),
        ];
        let found = needed.into_iter().find(|(missing, _)| self.is_closed() && *missing);
        found.map(|(_, needed)| needed)
    }

    /// The parts of the close; `None` if there is nothing to close, or a section is missing.
    pub(super) fn close_parts(&self) -> Option<CloseParts> {
        if !self.is_closed() {
            return None;
        }
        let (volumes, activity) = (self.volumes.clone()?, self.activity.clone()?);
        // Without ranks there is nothing that the rules of the ladder could decide.
        let unranked =
            LadderRules { reach: Reach::EachStep, leg_rank: Standing::PaidAs, leader: None };
        let ladder = match &self.ladder {
            Some(rules) => rules.clone(),
            None if self.ranks.is_empty() => unranked,
            None => return None,
        };
        let components = self.components.iter().filter_map(|component| {
            if let Component::Close(close) = component {
                return Some(close.clone());
            }
            let id = component.id();
            let stands = !component.of_orders() || self.names(id);
            stands.then(|| CloseComponent::Given(Given { id: id.clone() }))
        });
        Some(CloseParts {
            volumes,
            activity,
            ladder,
            ranks: self.requirements.clone(),
            components: components.collect(),
            caps: self.caps.clone(),
        })
    }

    /// Whether a matching or a cap names this component.
    fn names(&self, id: &ComponentId) -> bool {
        let matched = self.components.iter().any(|component| {
            matches!(component, Component::Close(CloseComponent::Matching(m)) if m.on.contains(id))
        });
        matched || self.caps.iter().any(|cap| cap.after == *id || cap.counts.contains(id))
    }

    /// The first binary that pays what the currency does not have, by its path in the file.
    pub(super) fn binary_fault(&self) -> Option<Faulty> {
        let currency = self.currency?;
        (0_usize..).zip(&self.components).find_map(|(index, component)| {
            let Component::Binary(binary) = component else { return None };
            let (field, problem) = binary.check_amounts(currency).err()?;
            let path = ["component".into(), index.to_string().into(), field.into()];
            Some((path.into(), Some(binary.id.clone()), Problem::Pairs(problem)))
        })
    }

    /// The first part of the close that does not hold, by its path in the file.
    pub(super) fn close_fault(&self) -> Option<Faulty> {
        let parts = self.close_parts()?;
        let fault = |parts: &CloseParts| {
            let amounts = |currency| parts.check_amounts(currency);
            parts.check().and_then(|_| self.currency.map_or(Ok(()), amounts)).err()
        };
        let whole = fault(&parts)?;
        // Which part it is: the first that the parts up to it do not hold with.
        let mut some = CloseParts { components: Vec::new(), caps: Vec::new(), ..parts.clone() };
        if let Some(problem) = fault(&some) {
            let path = self.rank_path(&problem);
            return Some((path, None, Problem::Close(problem)));
        }
        for component in parts.components {
            let id = component.id().clone();
            some.components.push(component);
            if let Some(problem) = fault(&some) {
                let at = self.components.iter().position(|other| *other.id() == id);
                let mut path: Vec<Box<str>> = vec!["component".into()];
                path.push(at.unwrap_or_default().to_string().into());
                path.extend(field(&problem).map(Box::from));
                return Some((path, Some(id), Problem::Close(problem)));
            }
        }
        for (index, cap) in parts.caps.into_iter().enumerate() {
            let id = cap.id.clone();
            some.caps.push(cap);
            if let Some(problem) = fault(&some) {
                let mut path: Vec<Box<str>> = vec!["cap".into(), index.to_string().into()];
                let missing = matches!(problem, ClosePlanError::CapAfter { .. });
                let after = missing.then_some("after");
                path.extend(after.or_else(|| field(&problem)).map(Box::from));
                return Some((path, Some(id), Problem::Close(problem)));
            }
        }
        Some((Vec::new(), None, Problem::Close(whole)))
    }

    /// The place of a rank, or of the rules for all of them.
    fn rank_path(&self, problem: &ClosePlanError) -> Vec<Box<str>> {
        let of = |rank: &RankId, field: Option<&str>| {
            let mut ranks = self.requirements.iter();
            let index = ranks.position(|known| known.id == *rank).unwrap_or_default();
            let mut path: Vec<Box<str>> = vec!["rank".into(), index.to_string().into()];
            path.extend(field.map(Box::from));
            path
        };
        if let ClosePlanError::UnknownRank(rank) = problem {
            let names = |legs: &Legs| legs.rank.as_ref() == Some(rank);
            let asks = |known: &&Rank| known.legs.iter().any(names);
            return match self.requirements.iter().find(asks) {
                Some(known) => of(&known.id, Some("legs")),
                None => vec!["ladder".into(), "leader".into()],
            };
        }
        let (rank, field) = match problem {
            ClosePlanError::LookBack => return vec!["activity".into(), "look_back".into()],
            ClosePlanError::NoLeader(rank) => (rank, "pgv"),
            ClosePlanError::CapOfNothing(rank) => (rank, "leg_cap"),
            ClosePlanError::EmptyLegs(rank) => (rank, "legs"),
            ClosePlanError::RepeatedRank(rank) => (rank, "id"),
            ClosePlanError::UnknownRank(_)
            | ClosePlanError::TooMany { .. }
            | ClosePlanError::Repeated(_)
            | ClosePlanError::NotBefore { .. }
            | ClosePlanError::CapAfter { .. }
            | ClosePlanError::Table { .. }
            | ClosePlanError::NotABracket { .. }
            | ClosePlanError::NoGenerations(_)
            | ClosePlanError::TooFine { .. }
            | ClosePlanError::Negative { .. } => return vec!["rank".into()],
        };
        of(rank, Some(field))
    }
}

/// The field of a component or a cap that a problem is about, where the problem tells.
fn field(problem: &ClosePlanError) -> Option<&'static str> {
    if let ClosePlanError::Table { table, .. } = problem {
        return Some(table);
    }
    if let ClosePlanError::NoGenerations(_) = problem {
        return Some("deeper");
    }
    matches!(problem, ClosePlanError::NotABracket { .. }).then_some("bracket")
}
