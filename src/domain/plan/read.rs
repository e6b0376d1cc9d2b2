//! Reading a plan file. An error names the component, the line and the field, and what would be right.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, ValueDeserializer},
};

use super::{
    Component, Plan, PlanRef,
    by_rank::{Fault, Problem, UNRANKED},
    rank::{Ladder, RankLevel},
};
use crate::domain::{
    digest::Digest,
    id::{ComponentId, RankId},
    money::Rounding,
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
    #[error("{0}: there are no rates, give it at least one class with a rate above 0 %")]
    NoRates(Place),
    /// A field does not go with the rest of the plan.
    #[error("{place}: {problem}")]
    Field {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: Problem,
    },
}

/// A place in a plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1 on; of the field, or of what it is missing in.
    pub line: usize,
    /// The component, if it has an id already.
    pub component: Option<ComponentId>,
    /// The path of the field.
    pub field: Box<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, ", self.line)?;
        if let Some(component) = &self.component {
            write!(f, "component {component}, ")?;
        }
        write!(f, "`{}`", self.field)
    }
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
    #[serde(default)]
    rank: Vec<RankFile>,
    /// Read one by one before; named here for the messages.
    #[serde(rename = "component")]
    _components: Vec<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RankFile {
    id: RankId,
}

/// The words for the kinds.
const KINDS: &str = "direct, unilevel, differential, infinity, generation, fast_start";

pub(super) fn plan(text: &str) -> Result<Plan, PlanError> {
    let syntax = |mut error: toml::de::Error| {
        error.set_input(Some(text));
        PlanError::Syntax(Box::new(error))
    };
    let mut root = DeTable::parse(text).map_err(syntax)?;
    let values = match root.get_mut().get_mut("component").map(Spanned::get_mut) {
        Some(DeValue::Array(array)) => std::mem::replace(array, DeArray::new()),
        Some(_) | None => DeArray::new(),
    };
    let file = PlanFile::deserialize(Deserializer::from(root)).map_err(syntax)?;
    let ladder = ladder(file.rank).map_err(|(index, problem)| PlanError::Field {
        place: place(text, &["rank", &index.to_string(), "id"], None),
        problem,
    })?;
    let mut components: Vec<Component> = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let index = index.to_string();
        let mut component = component(value, text, &index, &syntax)?;
        let id = component.id().clone();
        if components.iter().any(|other| *other.id() == id) {
            return Err(PlanError::Repeated(id));
        }
        let found = component.resolve(&ladder);
        found.map_err(|fault| located(text, &index, Some(id), fault))?;
        components.push(component);
    }
    check_excludes(&components, text)?;
    Ok(Plan {
        reference: PlanRef {
            id: file.id,
            version: file.version,
            hash: Digest::of(text.as_bytes()),
        },
        title: file.title,
        effective_from: file.effective_from,
        rounding: file.rounding,
        ranks: ladder,
        components,
    })
}

/// The ranks as a ladder, or which of them is wrong.
fn ladder(files: Vec<RankFile>) -> Result<Ladder, (usize, Problem)> {
    let ranks: Vec<RankId> = files.into_iter().map(|file| file.id).collect();
    let mut before = ranks.iter();
    for (index, rank) in ranks.iter().enumerate().rev() {
        before.next_back();
        if rank.as_str() == UNRANKED || before.as_slice().contains(rank) {
            return Err((index, Problem::RankName(rank.as_str().into())));
        }
    }
    match u8::try_from(ranks.len()) {
        Ok(_) => Ok(Ladder::new(ranks)),
        Err(_too_many) => Err((RankLevel(u8::MAX).0.into(), Problem::TooManyRanks(ranks.len()))),
    }
}

/// Reads a component by its `kind`. Read from the text's own values, an error knows its line.
fn component(
    mut value: Spanned<DeValue<'_>>,
    text: &str,
    index: &str,
    syntax: &impl Fn(toml::de::Error) -> PlanError,
) -> Result<Component, PlanError> {
    let kind = match value.get_mut() {
        DeValue::Table(table) => table.remove("kind").map(Spanned::into_inner),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => None,
    };
    let read = match kind.as_ref().and_then(DeValue::as_str) {
        Some("direct") => of_kind(value).map(Component::Direct),
        Some("unilevel") => of_kind(value).map(Component::Unilevel),
        Some("differential") => of_kind(value).map(Component::Differential),
        Some("infinity") => of_kind(value).map(Component::Infinity),
        Some("generation") => of_kind(value).map(Component::Generation),
        Some("fast_start") => of_kind(value).map(Component::FastStart),
        found => {
            let problem = match found {
                Some(kind) => format!("there is no kind {kind:?}, known are {KINDS}"),
                None => format!("a component says what it is by one of {KINDS}"),
            };
            let fault = Fault::at(["kind"], Problem::Kind(problem.into()));
            return Err(located(text, index, None, fault));
        }
    };
    read.map_err(syntax)
}

fn of_kind<T: DeserializeOwned>(value: Spanned<DeValue<'_>>) -> Result<T, toml::de::Error> {
    T::deserialize(ValueDeserializer::from(value))
}

impl Component {
    /// Finds the ranks that it names, and checks what no single field shows.
    fn resolve(&mut self, ladder: &Ladder) -> Result<(), Fault> {
        match self {
            Self::Direct(direct) => direct.resolve(ladder),
            Self::Unilevel(unilevel) => unilevel.resolve(ladder),
            Self::Differential(differential) => differential.resolve(ladder),
            Self::Infinity(infinity) => infinity.resolve(ladder),
            Self::Generation(generation) => generation.resolve(ladder),
            Self::FastStart(fast_start) => fast_start.resolve(),
        }
    }
}

/// Orders can be left out of unilevels of this plan only.
fn check_excludes(components: &[Component], text: &str) -> Result<(), PlanError> {
    for (index, component) in components.iter().enumerate() {
        let Component::FastStart(fast_start) = component else { continue };
        let Some(excludes) = &fast_start.excludes else { continue };
        let unilevel = |id: &ComponentId| {
            components.iter().any(|other| matches!(other, Component::Unilevel(u) if u.id == *id))
        };
        let problem = match excludes.components.iter().find(|id| !unilevel(id)) {
            Some(other) => Problem::NotAUnilevel(other.clone()),
            None if excludes.components.is_empty() => Problem::NothingExcluded,
            None => continue,
        };
        let fault = Fault::at(["excludes", "components"], problem);
        return Err(located(text, &index.to_string(), Some(fast_start.id.clone()), fault));
    }
    Ok(())
}

/// The error for a fault of a component.
fn located(text: &str, index: &str, id: Option<ComponentId>, fault: Fault) -> PlanError {
    let mut path = vec!["component", index];
    path.extend(fault.path.iter().map(AsRef::as_ref));
    let place = place(text, &path, id);
    if fault.problem == Problem::NoRates {
        return PlanError::NoRates(place);
    }
    PlanError::Field { place, problem: fault.problem }
}

/// Finds the line of a field: of the last key on its path that is there.
fn place(text: &str, path: &[&str], component: Option<ComponentId>) -> Place {
    let root = DeTable::parse(text).ok();
    let mut start = 0;
    let mut table = root.as_ref().map(Spanned::get_ref);
    let mut array: Option<&DeArray<'_>> = None;
    for key in path {
        let entry = table.and_then(|table| table.get_key_value(*key));
        let (at, value) = match (entry, array) {
            (Some((name, value)), _) => (name.span().start, value),
            (None, Some(items)) => match key.parse().ok().and_then(|item: usize| items.get(item)) {
                Some(item) => (item.span().start, item),
                None => break,
            },
            (None, None) => break,
        };
        start = at;
        (table, array) = (value.get_ref().as_table(), value.get_ref().as_array());
    }
    let line = text.get(..start).unwrap_or_default().matches('\n').count().saturating_add(1);
    let field = path.iter().skip(2).copied().collect::<Vec<_>>().join(".");
    Place { line, component, field: field.into() }
}
