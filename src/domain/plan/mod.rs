//! Compensation plans as data.
//!
//! A plan is a file: who earns, on which commission class, at which rate. It is immutable once an
//! order has used it; a change is a new version with a later `effective_from`. The hash of a plan is
//! the SHA-256 of its file, so an outsider checks it with any tool.

pub mod close;
pub mod pairs;
pub mod period;
pub mod rank;
pub mod volume;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    id::{CommissionClass, ComponentId},
    money::{Rate, Rounding},
};

/// Why a plan file is not a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file is not TOML or not of the right shape; the message names the line and the field.
    #[error("the plan cannot be read")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Two components have one id.
    #[error("two components are called {0}")]
    Repeated(ComponentId),
    /// A component pays nobody.
    #[error("component {0} has no rates, give it at least one class under `rates`")]
    NoRates(ComponentId),
    /// A class has more levels than the engine walks.
    #[error("component {component}, class {class}: {found} levels, at most {max} are allowed")]
    TooDeep {
        /// The component.
        component: ComponentId,
        /// The commission class.
        class: CommissionClass,
        /// The levels in the file.
        found: usize,
        /// The levels allowed.
        max: usize,
    },
}

/// The deepest level that a plan may pay.
pub const MAX_LEVELS: usize = 100;

/// The identity of a plan version, as it stands on every run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanRef {
    /// The plan's id.
    pub id: Box<str>,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the plan file.
    pub hash: Digest,
}

/// One version of a compensation plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Id, version and hash.
    pub reference: PlanRef,
    /// What people call it.
    pub title: Box<str>,
    /// From when it holds, by the order's time.
    pub effective_from: Timestamp,
    /// How a commission line is rounded to the minor unit.
    pub rounding: Rounding,
    /// The components in their order of evaluation.
    pub components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    id: Box<str>,
    version: u32,
    #[serde(default)]
    title: Box<str>,
    effective_from: Timestamp,
    rounding: Rounding,
    #[serde(rename = "component")]
    components: Vec<Component>,
}

/// One way to earn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Component {
    /// The referrer's own commission on a customer's order.
    Direct(Direct),
    /// A rate for each level of the upline.
    Unilevel(Unilevel),
}

impl Component {
    /// The id that the plan file gives it.
    pub fn id(&self) -> &ComponentId {
        match self {
            Self::Direct(direct) => &direct.id,
            Self::Unilevel(unilevel) => &unilevel.id,
        }
    }
}

/// Direct (retail) commission: the referrer of an order earns a share of its net amount.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direct {
    /// The id of the component.
    pub id: ComponentId,
    /// The rate for each class; a class that is not named earns nothing here.
    pub rates: BTreeMap<CommissionClass, Rate>,
    /// What happens if the referrer was not active at the order's time.
    pub inactive_referrer: InactiveReferrer,
}

/// What happens to direct commission of a referrer who was not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InactiveReferrer {
    /// The company keeps it.
    Breakage,
    /// The nearest active distributor above gets it.
    RollUp,
}

/// Unilevel commission: each level of the upline earns a rate of the net amount.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unilevel {
    /// The id of the component.
    pub id: ComponentId,
    /// The rates for each class from level 1 on; a class that is not named earns nothing here.
    pub rates: BTreeMap<CommissionClass, Vec<Rate>>,
    /// What becomes of the level of a distributor who is not active.
    pub compression: Compression,
    /// Who stands at level 1.
    #[serde(default)]
    pub first_level: FirstLevel,
}

/// What becomes of the level of a distributor who was not active at the order's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// The distributor keeps the level and its money is breakage.
    None,
    /// The level is not used up: the next active distributor above takes it.
    RollUp,
}

/// Who stands at level 1 of a unilevel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstLevel {
    /// The sponsor of the referrer, or of the buyer when a distributor buys.
    #[default]
    Sponsor,
    /// The referrer; when a distributor buys, still the buyer's sponsor.
    Referrer,
}

impl Plan {
    /// Whether a component of the plan has a rate for this class.
    pub fn pays_for(&self, class: &CommissionClass) -> bool {
        self.components.iter().any(|component| match component {
            Component::Direct(direct) => direct.rates.contains_key(class),
            Component::Unilevel(unilevel) => unilevel.rates.contains_key(class),
        })
    }

    /// Reads a plan file.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let file: PlanFile =
            toml::from_str(text).map_err(|error| PlanError::Syntax(Box::new(error)))?;
        check(&file.components)?;
        Ok(Self {
            reference: PlanRef {
                id: file.id,
                version: file.version,
                hash: Digest::of(text.as_bytes()),
            },
            title: file.title,
            effective_from: file.effective_from,
            rounding: file.rounding,
            components: file.components,
        })
    }
}

fn check(components: &[Component]) -> Result<(), PlanError> {
    for (index, component) in components.iter().enumerate() {
        let id = component.id();
        if components.iter().skip(index.saturating_add(1)).any(|other| other.id() == id) {
            return Err(PlanError::Repeated(id.clone()));
        }
        let empty = match component {
            Component::Direct(direct) => direct.rates.is_empty(),
            Component::Unilevel(unilevel) => unilevel.rates.values().all(Vec::is_empty),
        };
        if empty {
            return Err(PlanError::NoRates(id.clone()));
        }
        if let Component::Unilevel(unilevel) = component {
            for (class, rates) in &unilevel.rates {
                if rates.len() > MAX_LEVELS {
                    return Err(PlanError::TooDeep {
                        component: id.clone(),
                        class: class.clone(),
                        found: rates.len(),
                        max: MAX_LEVELS,
                    });
                }
            }
        }
    }
    Ok(())
}

/// Every version of every plan that orders may be locked to.
#[derive(Debug, Clone, Default)]
pub struct PlanBook {
    plans: BTreeMap<(Box<str>, u32), Plan>,
}

impl PlanBook {
    /// Adds a version. Returns the one that it replaces if the id and version were there.
    pub fn add(&mut self, plan: Plan) -> Option<Plan> {
        self.plans.insert((plan.reference.id.clone(), plan.reference.version), plan)
    }

    /// The version that an order is locked to; `None` if it is not loaded or its hash differs.
    pub fn get(&self, reference: &PlanRef) -> Option<&Plan> {
        let plan = self.plans.get(&(reference.id.clone(), reference.version))?;
        (plan.reference.hash == reference.hash).then_some(plan)
    }

    /// The version of a plan in force for an order placed at `at`: the one with the latest
    /// `effective_from` that is not after it, between equals the highest version. An order older
    /// than the plan gets the first version.
    pub fn in_force(&self, id: &str, at: Timestamp) -> Option<&Plan> {
        let versions = || self.plans.values().filter(|plan| &*plan.reference.id == id);
        let order = |plan: &&Plan| (plan.effective_from, plan.reference.version);
        versions()
            .filter(|plan| plan.effective_from <= at)
            .max_by_key(order)
            .or_else(|| versions().min_by_key(order))
    }

    /// All versions.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PLAN: &str = r#"
        id = "test"
        version = 1
        effective_from = "2020-01-01T00:00:00Z"
        rounding = "half_even"

        [[component]]
        kind = "direct"
        id = "direct"
        inactive_referrer = "breakage"
        rates = { supplement = "20 %", beauty = "15 %" }

        [[component]]
        kind = "unilevel"
        id = "unilevel"
        compression = "roll_up"
        rates = { wellness = ["5 %", "4 %", "3 %"] }
    "#;

    #[test]
    fn a_plan_file_is_read() {
        let plan = Plan::parse(PLAN).unwrap();
        assert_eq!(plan.components.len(), 2);
        assert_eq!(plan.reference.hash, Digest::of(PLAN.as_bytes()));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let error = Plan::parse(&PLAN.replace("inactive_referrer", "inactive_refferer"));
        let PlanError::Syntax(error) = error.unwrap_err() else { panic!("not a syntax error") };
        assert!(error.to_string().contains("inactive_refferer"), "{error}");
    }

    #[test]
    fn repeated_and_empty_components_are_refused() {
        let twice = PLAN.replace("id = \"unilevel\"", "id = \"direct\"");
        assert!(matches!(Plan::parse(&twice), Err(PlanError::Repeated(_))));
        let empty = PLAN.replace("{ supplement = \"20 %\", beauty = \"15 %\" }", "{}");
        assert!(matches!(Plan::parse(&empty), Err(PlanError::NoRates(_))));
    }

    #[test]
    fn the_version_in_force_is_chosen_by_the_order_time() {
        let mut book = PlanBook::default();
        book.add(Plan::parse(PLAN).unwrap());
        let later = PLAN.replace("version = 1", "version = 2").replace("2020", "2024");
        book.add(Plan::parse(&later).unwrap());
        let version = |at: &str| {
            book.in_force("test", at.parse().unwrap()).map(|plan| plan.reference.version)
        };
        assert_eq!(version("2023-12-31T23:59:59Z"), Some(1));
        assert_eq!(version("2024-01-01T00:00:00Z"), Some(2));
        assert_eq!(version("2019-01-01T00:00:00Z"), Some(1));
        assert_eq!(book.in_force("other", Timestamp::UNIX_EPOCH), None);
    }
}
