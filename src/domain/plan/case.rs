//! Golden cases: the section `[[case]]` of a plan file. A small company, what it orders or brings in
//! volume, and what everybody is to get, so that a plan is proven before it pays a cent.
//!
//! Cases are no part of the rules, and reading a plan passes over them. They may also stand in a file
//! of their own that names the plan's (`plan = "sample.toml"`): a plan that orders have used must not
//! change by a byte, its cases may.

use std::{collections::BTreeMap, fmt};

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use toml::{
    Spanned,
    de::{DeTable, ValueDeserializer},
};

use crate::domain::{
    close::Hold,
    genealogy::DistributorStatus,
    id::{CommissionClass, ComponentId, DistributorId, RankId},
    money::{Currency, Money},
    placement::Side,
    volume::Volume,
};

/// The most entries of any list of a case, and the most cases of a file.
pub const MAX_ENTRIES: usize = 1000;

/// Names that stand for no member where somebody gets money.
pub const ACCOUNTS: [&str; 3] = [BREAKAGE, CAPPED, CARRIED];
/// The company keeps it, because nobody qualified.
pub const BREAKAGE: &str = "breakage";
/// The company keeps it, because of a cap.
pub const CAPPED: &str = "capped";
/// It goes into the next period.
pub const CARRIED: &str = "carried";

/// Why the cases of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaseFileError {
    /// The file is not TOML or a case not of its shape; the message names the line and the field.
    #[error("the cases cannot be read")]
    Syntax(#[source] Box<toml::de::Error>),
    /// More than is allowed.
    #[error("line {line}: {found} {what}, at most {MAX_ENTRIES} are allowed")]
    TooMany {
        /// The line.
        line: usize,
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// Two cases have one name, by which neither can be called.
    #[error("line {line}: there is a case {name:?} before, give each a name of its own")]
    Repeated {
        /// The line of the second.
        line: usize,
        /// The name.
        name: Box<str>,
    },
}

/// The cases of a file, with the lines that they stand on.
#[derive(Debug, Clone, Default)]
pub struct Cases {
    cases: Vec<Spanned<Case>>,
    /// Where each line ends.
    ends: Vec<usize>,
}

/// What a file of cases says beside them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    plan: Box<str>,
}

/// A golden case.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it proves, in a sentence.
    pub name: Box<str>,
    /// Where the figures come from: a published plan, or `[C]` for a constructed example.
    pub source: Box<str>,
    /// The components that it is about: lines of others need not be named. Without it, all are.
    #[serde(default)]
    #[schemars(with = "Vec<ComponentId>")]
    pub only: Vec<Spanned<ComponentId>>,
    /// What the orders are in: the currency of the plan if it is not said, and EUR if neither says one.
    pub currency: Option<Currency>,
    /// The company, in the order in which they were placed in a binary or a matrix.
    #[schemars(with = "Vec<MemberRow>")]
    pub members: Vec<Spanned<MemberRow>>,
    /// Orders, each for itself.
    #[serde(default, rename = "order")]
    #[schemars(with = "Vec<OrderRow>")]
    pub orders: Vec<Spanned<OrderRow>>,
    /// Periods, one after the other: carry, ranks and pools go on from one to the next.
    #[serde(default, rename = "period")]
    #[schemars(with = "Vec<PeriodRow>")]
    pub periods: Vec<Spanned<PeriodRow>>,
}

/// A member of a case's company.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRow {
    /// A name.
    pub id: DistributorId,
    /// Who enrolled them; nobody at the top.
    pub sponsor: Option<DistributorId>,
    /// The rank that they are paid as on orders. A period works out the ranks itself.
    pub rank: Option<RankId>,
    /// The highest rank reached before the first period.
    pub achieved: Option<RankId>,
    /// Whether they may earn; active if it is not said.
    #[serde(default = "active")]
    pub status: DistributorStatus,
    /// When they enrolled; long ago if it is not said.
    pub enrolled: Option<Instant>,
    /// Whom they are placed under in a binary or a matrix: the sponsor if it is not said. If the place
    /// is taken, they spill by the rules of the plan.
    pub under: Option<DistributorId>,
    /// In which leg of a binary.
    pub side: Option<Side>,
    /// This is no further member but a further position of that one in a binary.
    pub owner: Option<DistributorId>,
    /// The volume of the lifetime before the first period.
    #[serde(default)]
    pub accumulated: Points,
}

fn active() -> DistributorStatus {
    DistributorStatus::Active
}

/// An order of a case.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRow {
    /// The member who buys for themselves.
    #[schemars(with = "Option<DistributorId>")]
    pub buyer: Option<Spanned<DistributorId>>,
    /// The member who referred the customer that buys.
    #[schemars(with = "Option<DistributorId>")]
    pub referrer: Option<Spanned<DistributorId>>,
    /// When; on the first of January 2026 if it is not said.
    pub placed: Option<Instant>,
    /// What is bought.
    pub lines: Vec<LineRow>,
    /// Who gets what.
    #[serde(default)]
    #[schemars(with = "Vec<Expect>")]
    pub expect: Vec<Spanned<Expect>>,
    /// What components come to as a whole.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ComponentId, Sums>")]
    pub totals: BTreeMap<ComponentId, Spanned<Sums>>,
}

/// A line of an order.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineRow {
    /// The commission class.
    pub class: CommissionClass,
    /// The net amount that rates are taken of.
    pub net: Amount,
    /// The CV that the catalogue states for it, where a component pays on that.
    pub cv: Option<Points>,
}

/// A period of a case.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeriodRow {
    /// Who brought what. Several entries for one member add up; where a line of the matrix is an order,
    /// each entry is one.
    #[serde(default)]
    #[schemars(with = "Vec<VolumeRow>")]
    pub volumes: Vec<Spanned<VolumeRow>>,
    /// Ranks decided by hand.
    #[serde(default)]
    #[schemars(with = "Vec<ForcedRow>")]
    pub forced: Vec<Spanned<ForcedRow>>,
    /// What components paid that are computed for each order, where others count it.
    #[serde(default)]
    #[schemars(with = "Vec<GivenRow>")]
    pub given: Vec<Spanned<GivenRow>>,
    /// Who gets what.
    #[serde(default)]
    #[schemars(with = "Vec<Expect>")]
    pub expect: Vec<Spanned<Expect>>,
    /// Ranks and what they rest on, of those who are named.
    #[serde(default)]
    #[schemars(with = "Vec<RankExpect>")]
    pub ranks: Vec<Spanned<RankExpect>>,
    /// What a binary carries on, of those who are named.
    #[serde(default)]
    #[schemars(with = "Vec<CarryExpect>")]
    pub carry: Vec<Spanned<CarryExpect>>,
    /// What components come to as a whole.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ComponentId, Sums>")]
    pub totals: BTreeMap<ComponentId, Spanned<Sums>>,
}

/// What a member brought in a period: volumes as they are, or with `net` an order line, of which the plan's
/// `[volumes]` make them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeRow {
    /// The member, or a further position of one.
    pub who: DistributorId,
    /// PV, QV and CV alike, but for those that are stated.
    pub points: Option<Points>,
    /// Personal volume.
    pub pv: Option<Points>,
    /// Qualifying volume; of an order line what the catalogue states.
    pub qv: Option<Points>,
    /// Commissionable volume; of an order line what the catalogue states.
    pub cv: Option<Points>,
    /// The net amount of an order line.
    pub net: Option<Amount>,
    /// Whether the line is of a retail customer's order, whom the member referred.
    #[serde(default)]
    pub retail: bool,
}

/// A rank decided by hand.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForcedRow {
    /// The member.
    pub who: DistributorId,
    /// The rank.
    pub rank: RankId,
    /// How it relates to what the numbers support.
    pub hold: Hold,
}

/// What a component paid that is computed for each order.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenRow {
    /// The member.
    pub who: DistributorId,
    /// The component.
    pub component: ComponentId,
    /// What it paid them in the period.
    pub amount: Amount,
}

/// Money that somebody is to get. What is not said does not matter: without a level it is the sum over
/// the levels, without a component that over the components.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// A member, or one of [`ACCOUNTS`].
    pub who: DistributorId,
    /// The component.
    pub component: Option<ComponentId>,
    /// The level or the generation.
    pub level: Option<u32>,
    /// Of breakage, why; of what is capped, the cap; of a member who gets nothing, why.
    pub reason: Option<Box<str>>,
    /// How much.
    pub amount: Amount,
}

/// A rank that somebody is to have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankExpect {
    /// The member.
    pub who: DistributorId,
    /// The rank of the period, or `none`.
    pub paid_as: Option<RankId>,
    /// The highest ever reached, or `none`.
    pub achieved: Option<RankId>,
    /// Whether they were active.
    pub active: Option<bool>,
    /// The group volume.
    pub gv: Option<Points>,
    /// The volume of the own group.
    pub pgv: Option<Points>,
    /// What is lacking for the next rank, each by the name of the requirement.
    pub missing: Option<Vec<Box<str>>>,
}

/// What a binary is to carry on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarryExpect {
    /// The member or the position.
    pub who: DistributorId,
    /// The binary; needed only where there are several.
    pub component: Option<ComponentId>,
    /// In the left leg.
    pub left: Points,
    /// In the right leg.
    pub right: Points,
}

/// What a component is to come to. What is not said does not matter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// What it offers.
    pub pool: Option<Amount>,
    /// What members get.
    pub paid: Option<Amount>,
    /// What the company keeps because nobody qualified.
    pub breakage: Option<Amount>,
    /// What the company keeps because of caps.
    pub capped: Option<Amount>,
    /// What goes into the next period.
    pub carried: Option<Amount>,
}

/// Points, as a whole number or as text: `200`, `"1.5"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points(pub Volume);

/// An amount of money, as a whole number or as text: `20`, `"19.80"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Money);

/// A number as text, or a whole one as it is; not one with a point, which would not be exact.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, or a decimal number in quotes")
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_any(Number)
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Volume::parse(&number(deserializer)?).map(Self).map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Money::parse(&number(deserializer)?).map(Self).map_err(Error::custom)
    }
}

/// An instant, as a day (its first instant in UTC) or with a time: `2026-01-31`,
/// `2026-01-31T08:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Instant(pub Timestamp);

impl TryFrom<String> for Instant {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        let day = || {
            let day = text.parse::<Date>().ok()?.to_datetime(Time::midnight());
            day.to_zoned(TimeZone::UTC).ok().map(|day| day.timestamp())
        };
        let found = text.parse().ok().or_else(day).map(Self);
        found.ok_or_else(|| {
            let found: String = text.chars().take(40).collect();
            format!("{found:?} is no instant: write 2026-01-31 or 2026-01-31T08:00:00Z")
        })
    }
}

impl Cases {
    /// Reads the cases of a plan file; the rest of the file is the plan's.
    pub fn parse(text: &str) -> Result<Self, CaseFileError> {
        let mut root = DeTable::parse(text).map_err(|error| syntax(error, text))?;
        Self::of(root.get_mut(), text)
    }

    /// Reads a file of cases beside a plan: the path of the plan as the file names it, and the cases.
    pub fn parse_beside(text: &str) -> Result<(Box<str>, Self), CaseFileError> {
        let mut root = DeTable::parse(text).map_err(|error| syntax(error, text))?;
        let cases = Self::of(root.get_mut(), text)?;
        let file = Beside::deserialize(toml::Deserializer::from(root));
        Ok((file.map_err(|error| syntax(error, text))?.plan, cases))
    }

    /// Whether a text is a file of cases beside a plan: it says whose they are, where a plan says what
    /// it is called.
    pub fn stand_beside(text: &str) -> bool {
        DeTable::parse(text).is_ok_and(|root| {
            root.get_ref().contains_key("plan") && !root.get_ref().contains_key("component")
        })
    }

    fn of(root: &mut DeTable<'_>, text: &str) -> Result<Self, CaseFileError> {
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut found = Self { cases: Vec::new(), ends };
        let Some(entries) = root.remove("case") else { return Ok(found) };
        let cases = Vec::deserialize(ValueDeserializer::from(entries));
        found.cases = cases.map_err(|error| syntax(error, text))?;
        found.check()?;
        Ok(found)
    }

    fn check(&self) -> Result<(), CaseFileError> {
        let limited = |line: usize, what: &'static str, found: usize| {
            let error = CaseFileError::TooMany { line, what, found };
            if found > MAX_ENTRIES { Err(error) } else { Ok(()) }
        };
        limited(1, "cases", self.cases.len())?;
        for (index, spanned) in self.cases.iter().enumerate() {
            let (line, case) = (self.line(spanned), spanned.get_ref());
            let before = self.cases.iter().take(index);
            if before.map(Spanned::get_ref).any(|other| other.name == case.name) {
                return Err(CaseFileError::Repeated { line, name: case.name.clone() });
            }
            limited(line, "members", case.members.len())?;
            limited(line, "orders", case.orders.len())?;
            limited(line, "periods", case.periods.len())?;
            for order in case.orders.iter().map(Spanned::get_ref) {
                limited(line, "lines of an order", order.lines.len())?;
                limited(line, "expectations", order.expect.len())?;
            }
            for period in case.periods.iter().map(Spanned::get_ref) {
                limited(line, "volumes", period.volumes.len())?;
                limited(line, "expectations", period.expect.len())?;
            }
        }
        Ok(())
    }

    /// The cases in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Spanned<Case>> {
        self.cases.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The line that something stands on, from 1 on.
    pub fn line<T>(&self, of: &Spanned<T>) -> usize {
        let start = of.span().start;
        self.ends.partition_point(|end| *end < start).saturating_add(1)
    }
}

fn syntax(mut error: toml::de::Error, text: &str) -> CaseFileError {
    error.set_input(Some(text));
    CaseFileError::Syntax(Box::new(error))
}
