//! Reading a plan file. An error names the component, the line and the field, and what would be right.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, ValueDeserializer},
};

use super::{
    Component, Plan, PlanRef,
    by_rank::{Fault, Problem, UNRANKED},
    case::Case,
    close::{Cap, CloseComponent},
    period::Calendar,
    rank::{Activity, Ladder, LadderRules, Rank, RankLevel},
    schema::AnyComponent,
    volume::Volumes,
};
use crate::domain::{
    digest::Digest,
    id::{ComponentId, RankId},
    money::{Currency, Rounding},
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
        match &*self.field {
            "" => f.write_str("in all of it"),
            field => write!(f, "`{field}`"),
        }
    }
}

/// A plan file. The documentation of the fields stands in its schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFile {
    /// The plan's id; pipeline files refer to it.
    id: Box<str>,
    /// A whole number; every change raises it.
    version: u32,
    /// What people call it.
    #[serde(default)]
    title: Box<str>,
    /// From when it holds, by the time of the order.
    effective_from: Timestamp,
    /// How each line is rounded to the minor unit. Nothing is rounded a second time.
    rounding: Rounding,
    /// What the close pays in; amounts in the file are in it. A plan that is closed needs it.
    currency: Option<Currency>,
    /// What counts as volume. A plan that is closed needs it.
    volumes: Option<Volumes>,
    /// Who counts as active in a period. A plan that is closed needs it.
    activity: Option<Activity>,
    /// The rules that hold for all ranks. A plan that is closed and has ranks needs it.
    ladder: Option<LadderRules>,
    /// When periods start and end. A plan that is closed needs it.
    period: Option<Calendar>,
    /// The cases that the plan is tested with.
    #[serde(default)]
    #[schemars(with = "Vec<Case>")]
    case: Vec<serde_json::Value>,
    /// The ranks, lowest first.
    // Read one by one before, as are caps and components; named here for the messages.
    #[serde(default, rename = "rank")]
    #[schemars(with = "Vec<RankFile>")]
    _ranks: Vec<()>,
    /// Limits on earnings, each applied right after one of the components.
    #[serde(default, rename = "cap")]
    #[schemars(with = "Vec<Cap>")]
    _caps: Vec<()>,
    /// The components in their order of evaluation.
    #[serde(rename = "component")]
    #[schemars(with = "Vec<AnyComponent>")]
    _components: Vec<()>,
}

/// An entry `[[rank]]`: a plan that is never closed needs names alone.
#[derive(JsonSchema)]
#[serde(untagged)]
enum RankFile {
    Named(NamedRank),
    Required(Rank),
}

/// A rank by its name alone, in a plan that is never closed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedRank {
    /// Its name.
    id: RankId,
}

impl RankFile {
    fn id(&self) -> &RankId {
        match self {
            Self::Named(rank) => &rank.id,
            Self::Required(rank) => &rank.id,
        }
    }
}

/// The words for the kinds.
const KINDS: &str = "direct, unilevel, differential, infinity, generation, fast_start, binary, \
                     matrix, unilevel_volume, bracket, breakaway, matching, rank_bonus, pool";

/// Reads a plan file, or says what is wrong first.
pub(super) fn plan(text: &str) -> Result<Plan, PlanError> {
    all(text).map_err(|(first, _others)| first)
}

/// Reads a plan file, or says what is wrong: as much of it as one error does not hide of another.
pub(super) fn all(text: &str) -> Result<Plan, (PlanError, Vec<PlanError>)> {
    let syntax = |mut error: toml::de::Error| {
        error.set_input(Some(text));
        PlanError::Syntax(Box::new(error))
    };
    let mut root = DeTable::parse(text).map_err(|error| (syntax(error), Vec::new()))?;
    let [ranks, components, caps] =
        ["rank", "component", "cap"].map(|key| entries(root.get_mut(), key));
    let file = PlanFile::deserialize(Deserializer::from(root)).map_err(syntax);
    let mut reader = Reader { text, syntax: &syntax, errors: Vec::new() };
    let ranks = reader.ranks(ranks);
    let ladder = reader.ladder(&ranks);
    let components = reader.components(components, &ladder);
    let caps = reader.caps(caps, &components);
    let file = match file {
        Ok(file) => file,
        Err(error) => return Err((error, reader.errors)),
    };
    let plan = file.with(text, (ladder, ranks), components, caps);
    if reader.errors.is_empty() {
        reader.errors.extend(whole(&plan, text));
    }
    let mut errors = reader.errors.into_iter();
    match errors.next() {
        Some(first) => Err((first, errors.collect())),
        None => Ok(plan),
    }
}

/// Takes the entries of a list of tables out, to be read one by one.
fn entries<'a>(root: &mut DeTable<'a>, key: &str) -> DeArray<'a> {
    match root.get_mut(key).map(Spanned::get_mut) {
        Some(DeValue::Array(array)) => std::mem::replace(array, DeArray::new()),
        Some(_) | None => DeArray::new(),
    }
}

impl PlanFile {
    fn with(
        self,
        text: &str,
        (ranks, files): (Ladder, Vec<RankFile>),
        components: Vec<Component>,
        caps: Vec<Cap>,
    ) -> Plan {
        let required = files.into_iter().filter_map(|file| match file {
            RankFile::Named(_) => None,
            RankFile::Required(rank) => Some(rank),
        });
        Plan {
            reference: PlanRef {
                id: self.id,
                version: self.version,
                hash: Digest::of(text.as_bytes()),
            },
            title: self.title,
            effective_from: self.effective_from,
            rounding: self.rounding,
            ranks,
            requirements: required.collect(),
            currency: self.currency,
            volumes: self.volumes,
            activity: self.activity,
            ladder: self.ladder,
            period: self.period,
            components,
            caps,
            cases: self.case,
        }
    }
}

/// Reads the lists of a plan file entry by entry, and keeps every error.
struct Reader<'a> {
    text: &'a str,
    syntax: &'a dyn Fn(toml::de::Error) -> PlanError,
    errors: Vec<PlanError>,
}

impl Reader<'_> {
    fn ranks(&mut self, values: DeArray<'_>) -> Vec<RankFile> {
        let mut ranks = Vec::new();
        for value in values {
            let named = value
                .get_ref()
                .as_table()
                .is_some_and(|table| table.len() == 1 && table.contains_key("id"));
            let read = if named {
                of_kind(value).map(RankFile::Named)
            } else {
                of_kind(value).map(RankFile::Required)
            };
            match read {
                Ok(rank) => ranks.push(rank),
                Err(error) => self.errors.push((self.syntax)(error)),
            }
        }
        ranks
    }

    /// The ranks as a ladder; one that is wrong is left out.
    fn ladder(&mut self, files: &[RankFile]) -> Ladder {
        let mut ranks: Vec<RankId> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let id = file.id();
            let problem = if id.as_str() == UNRANKED || ranks.contains(id) {
                Problem::RankName(id.as_str().into())
            } else if ranks.len() >= usize::from(u8::MAX) {
                Problem::TooManyRanks(files.len())
            } else {
                ranks.push(id.clone());
                continue;
            };
            let place = place(self.text, &["rank", &index.to_string(), "id"], None);
            self.errors.push(PlanError::Field { place, problem });
        }
        Ladder::new(ranks)
    }

    fn components(&mut self, values: DeArray<'_>, ladder: &Ladder) -> Vec<Component> {
        let mut components: Vec<Component> = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let index = index.to_string();
            let mut component = match component(value, self.text, &index, self.syntax) {
                Ok(component) => component,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            let id = component.id().clone();
            if components.iter().any(|other| *other.id() == id) {
                self.errors.push(PlanError::Repeated(id));
                continue;
            }
            if let Err(fault) = component.resolve(ladder) {
                self.errors.push(located(self.text, &index, Some(id), fault));
            }
            components.push(component);
        }
        if let Err(error) = check_excludes(&components, self.text) {
            self.errors.push(error);
        }
        components
    }

    fn caps(&mut self, values: DeArray<'_>, components: &[Component]) -> Vec<Cap> {
        let mut caps: Vec<Cap> = Vec::new();
        for value in values {
            match of_kind::<Cap>(value) {
                Ok(cap) if components.iter().any(|other| *other.id() == cap.id) => {
                    self.errors.push(PlanError::Repeated(cap.id));
                }
                Ok(cap) => caps.push(cap),
                Err(error) => self.errors.push((self.syntax)(error)),
            }
        }
        caps
    }
}

/// What is wrong with a plan whose parts are right one by one.
fn whole(plan: &Plan, text: &str) -> Option<PlanError> {
    if let Some(problem) = plan.period.as_ref().and_then(|period| period.check().err()) {
        let place = place(text, &["period", "every"], None);
        return Some(PlanError::Field { place, problem: Problem::Period(problem) });
    }
    let required = |rank: &RankId| plan.requirements.iter().any(|known| known.id == *rank);
    let ranks = (1..=u8::MAX).map_while(|level| plan.ranks.rank(RankLevel(level)));
    let named = ranks.enumerate().find(|(_, rank)| plan.is_closed() && !required(rank));
    if let Some((index, rank)) = named {
        let place = place(text, &["rank", &index.to_string(), "active"], None);
        let problem = Problem::NoRequirements(rank.clone());
        return Some(PlanError::Field { place, problem });
    }
    if let Some(needed) = plan.lacks() {
        let component = plan.components.iter().position(|part| !part.of_orders());
        let id = component.and_then(|index| plan.components.get(index)).map(Component::id);
        let index = component.unwrap_or_default().to_string();
        let asks: &[&str] = match component {
            Some(_) => &["component", &index],
            None if !plan.caps.is_empty() => &["cap", "0"],
            None if plan.ladder.is_some() => &["ladder"],
            None => &["rank", "0"],
        };
        let mut place = place(text, asks, id.cloned());
        place.field = needed.key().into();
        return Some(PlanError::Field { place, problem: Problem::Missing(needed) });
    }
    let fault = plan.base_fault().or_else(|| plan.tree_fault());
    let (path, component, problem) =
        fault.or_else(|| plan.binary_fault()).or_else(|| plan.close_fault())?;
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    Some(PlanError::Field { place: place(text, &path, component), problem })
}

/// Reads a component by its `kind`. Read from the text's own values, an error knows its line.
fn component(
    mut value: Spanned<DeValue<'_>>,
    text: &str,
    index: &str,
    syntax: &dyn Fn(toml::de::Error) -> PlanError,
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
        Some("binary") => of_kind(value).map(Component::Binary),
        Some("matrix") => of_kind(value).map(Component::Matrix),
        Some("unilevel_volume") => closed(of_kind(value).map(CloseComponent::UnilevelVolume)),
        Some("bracket") => closed(of_kind(value).map(CloseComponent::Bracket)),
        Some("breakaway") => closed(of_kind(value).map(CloseComponent::Breakaway)),
        Some("matching") => closed(of_kind(value).map(CloseComponent::Matching)),
        Some("rank_bonus") => closed(of_kind(value).map(CloseComponent::RankBonus)),
        Some("pool") => closed(of_kind(value).map(CloseComponent::Pool)),
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

/// A component of the close as one of the plan.
fn closed(read: Result<CloseComponent, toml::de::Error>) -> Result<Component, toml::de::Error> {
    read.map(Component::Close)
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
            Self::Binary(binary) => binary.resolve(),
            Self::Matrix(matrix) => matrix.resolve(ladder),
            // Checked with the rest of the close, which they name parts of.
            Self::Close(_) => Ok(()),
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
pub(super) fn place(text: &str, path: &[&str], component: Option<ComponentId>) -> Place {
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
    // The number of an entry says nothing beside its line.
    let entry = path.get(1).is_some_and(|key| key.parse::<usize>().is_ok());
    let field = path.iter().skip(if entry { 2 } else { 0 }).copied().collect::<Vec<_>>().join(".");
    Place { line, component, field: field.into() }
}
