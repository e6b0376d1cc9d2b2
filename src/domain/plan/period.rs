//! The section `[period]`: when periods start and end, which instant a close looks at, when it may
//! run and when it pays. Calendar arithmetic alone: no clock.
//!
//! The time zone is `UTC` or a rule of POSIX (`CET-1CEST,M3.5.0,M10.5.0/3`). Names such as
//! `Europe/Berlin` are deliberately absent: what they mean changes with the data of the machine, and
//! the borders of a closed period must not.

mod seam;

use std::collections::BTreeSet;

use jiff::{
    Span, Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::seam::Seam;

/// Why there is no such period or calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// The time zone cannot be read.
    #[error("{0:?} is no time zone: write UTC or a POSIX rule such as CET-1CEST,M3.5.0,M10.5.0/3")]
    Zone(String),
    /// It is not the id of a period of this calendar.
    #[error("{found:?} is no period: {hint}")]
    Unknown {
        /// What was found.
        found: String,
        /// What an id looks like.
        hint: &'static str,
    },
    /// A custom period ends before it starts, or does not follow the one before.
    #[error(
        "period {0} must start on the day after the one before and end on or after its first day"
    )]
    Gap(PeriodId),
    /// Two custom periods have one id.
    #[error("two periods are called {0}")]
    Repeated(PeriodId),
    /// The instant or date is outside every period, or further than the calendar reaches.
    #[error("{0} is in no period of the plan")]
    Outside(String),
    /// It is a period of a calendar that another version of the plan had replaced when it begins.
    #[error(
        "{0} is no period of the plan: when it would begin, another version has another calendar"
    )]
    Replaced(PeriodId),
    /// A calendar does not go on where a period of the one before it ends.
    #[error(transparent)]
    Seam(Box<Seam>),
}

/// A period: the month `2026-02`, the week `2026-02-02` by its first day, or a name of the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeriodId(Box<str>);

impl PeriodId {
    /// Parses 1 to 32 letters, digits, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, PeriodError> {
        let text = text.trim();
        let fits = !text.is_empty() && text.len() <= 32;
        if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Ok(Self(text.into()));
        }
        let hint = "an id is 1 to 32 letters, digits, - and _";
        Err(PeriodError::Unknown { found: text.chars().take(40).collect(), hint })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PeriodId {
    type Error = PeriodError;
    fn try_from(text: String) -> Result<Self, PeriodError> {
        Self::parse(&text)
    }
}

impl From<PeriodId> for String {
    fn from(id: PeriodId) -> Self {
        id.0.into()
    }
}

impl std::fmt::Display for PeriodId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The time zone of a plan: `UTC` or a POSIX rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    rule: Box<str>,
    zone: TimeZone,
}

impl Zone {
    /// Parses `UTC` or a POSIX rule.
    pub fn parse(rule: &str) -> Result<Self, PeriodError> {
        let rule = rule.trim();
        let zone = if rule == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::posix(rule) };
        let refused = |_syntax| PeriodError::Zone(rule.chars().take(64).collect());
        Ok(Self { rule: rule.into(), zone: zone.map_err(refused)? })
    }
}

impl TryFrom<String> for Zone {
    type Error = PeriodError;
    fn try_from(rule: String) -> Result<Self, PeriodError> {
        Self::parse(&rule)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.rule.into()
    }
}

/// The section `[period]`.
///
/// ```
/// let calendar: upline::domain::plan::period::Calendar = toml::from_str(r#"
///     every = { kind = "weekly", starts = "friday" }
///     time_zone = "EST5EDT,M3.2.0,M11.1.0"
///     day_starts = "03:00:00"
///     snapshot = "last_instant"
///     cut_off_days = 3
///     distribution_days = 10
/// "#).unwrap();
/// let period = calendar.at("2026-02-06T07:59:59Z".parse().unwrap()).unwrap();
/// assert_eq!(period.id.as_str(), "2026-01-30");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// How long periods are.
    pub every: Every,
    /// Whose days they are.
    pub time_zone: Zone,
    /// When a day starts. A time that the clocks skip is the instant after the gap, one that comes
    /// twice the first of the two.
    pub day_starts: Time,
    /// Which instant the tree and the statuses are read at.
    pub snapshot: Snapshot,
    /// Days after the end in which late payments and refunds still count; then the close may run.
    pub cut_off_days: u16,
    /// Days from the first day after the period to the day of payment.
    pub distribution_days: u16,
}

/// How long periods are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Every {
    /// Seven days.
    Weekly {
        /// The day of the week that they start on.
        starts: Day,
    },
    /// Calendar months.
    Monthly,
    /// Periods with names (13 months of four weeks, campaigns), each following the one before.
    Custom {
        /// The periods, earliest first.
        periods: Vec<Named>,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// A period with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its id.
    pub id: PeriodId,
    /// Its first day.
    pub first: Date,
    /// Its last day.
    pub last: Date,
}

/// Which instant a close reads the tree and the statuses at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Snapshot {
    /// The last instant of the period.
    LastInstant,
    /// The cut-off.
    CutOff,
}

/// One period, resolved to instants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its id.
    pub id: PeriodId,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// As of which instant the tree and the statuses are read.
    pub snapshot: Timestamp,
    /// From when on the close may run: after the close what is new counts in the period that is open then, and
    /// what comes back is corrected with it.
    pub cut_off: Timestamp,
    /// The day of payment.
    pub distribution: Date,
}

impl Period {
    /// Whether an order placed at this instant belongs to the period.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

/// The first day of a period and the first day after it.
type Days = (Date, Date);

impl Calendar {
    /// Checks what the shape of the file cannot say: custom periods follow each other
    /// and have ids of their own.
    pub fn check(&self) -> Result<(), PeriodError> {
        let Every::Custom { periods } = &self.every else { return Ok(()) };
        let mut expected = None;
        let mut known = BTreeSet::new();
        for period in periods {
            if !known.insert(&period.id) {
                return Err(PeriodError::Repeated(period.id.clone()));
            }
            if period.last < period.first || expected.is_some_and(|day| day != period.first) {
                return Err(PeriodError::Gap(period.id.clone()));
            }
            expected = Some(add(period.last, 1)?);
        }
        Ok(())
    }

    /// The period with this id.
    pub fn period(&self, id: &PeriodId) -> Result<Period, PeriodError> {
        let hint = match self.every {
            Every::Weekly { .. } => "a week is called by its first day, such as 2026-02-02",
            Every::Monthly => "a month is called by its year and number, such as 2026-02",
            Every::Custom { .. } => "the plan names its periods under `[period]`, `every`",
        };
        let unknown = || PeriodError::Unknown { found: id.as_str().to_owned(), hint };
        let first = match &self.every {
            Every::Weekly { .. } => id.as_str().parse().ok(),
            Every::Monthly => format!("{id}-01").parse().ok(),
            Every::Custom { periods } => {
                periods.iter().find(|period| period.id == *id).map(|period| period.first)
            }
        };
        let days = self.days(first.ok_or_else(unknown)?)?;
        let period = self.resolve(days)?;
        if period.id == *id { Ok(period) } else { Err(unknown()) }
    }

    /// The period of an order placed at this instant.
    pub fn at(&self, at: Timestamp) -> Result<Period, PeriodError> {
        // The day by the clock on the wall is right but for the hours around a change of it.
        let civil = self.time_zone.zone.to_datetime(at);
        let day =
            if civil.time() < self.day_starts { add(civil.date(), -1)? } else { civil.date() };
        for near in [0, -1, 1] {
            let Ok(period) = add(day, near).and_then(|day| self.resolve(self.days(day)?)) else {
                continue;
            };
            if period.contains(at) {
                return Ok(period);
            }
        }
        Err(PeriodError::Outside(at.to_string()))
    }

    /// The period after this one.
    pub fn next(&self, period: &Period) -> Result<Period, PeriodError> {
        self.at(period.end)
    }

    /// The period before this one.
    pub fn previous(&self, period: &Period) -> Result<Period, PeriodError> {
        let before = period.start.checked_sub(Span::new().nanoseconds(1));
        self.at(before.map_err(|_range| PeriodError::Outside(period.start.to_string()))?)
    }

    /// The days of the period that a day lies in.
    fn days(&self, day: Date) -> Result<Days, PeriodError> {
        match &self.every {
            Every::Weekly { starts } => {
                let since = day.weekday().since(starts.weekday());
                let first = add(day, i64::from(since).saturating_neg())?;
                Ok((first, add(first, 7)?))
            }
            Every::Monthly => Ok((day.first_of_month(), add(day.last_of_month(), 1)?)),
            Every::Custom { periods } => {
                let found = periods.iter().find(|p| p.first <= day && day <= p.last);
                let found = found.ok_or_else(|| PeriodError::Outside(day.to_string()))?;
                Ok((found.first, add(found.last, 1)?))
            }
        }
    }

    fn resolve(&self, (first, after): Days) -> Result<Period, PeriodError> {
        let start = self.instant(first)?;
        let end = self.instant(after)?;
        let cut_off = self.instant(add(after, i64::from(self.cut_off_days))?)?;
        let snapshot = match self.snapshot {
            Snapshot::LastInstant => end.checked_sub(Span::new().nanoseconds(1)),
            Snapshot::CutOff => Ok(cut_off),
        };
        let snapshot = snapshot.map_err(|_range| PeriodError::Outside(end.to_string()))?;
        let distribution = add(after, i64::from(self.distribution_days))?;
        Ok(Period { id: self.id(first)?, start, end, snapshot, cut_off, distribution })
    }

    fn id(&self, first: Date) -> Result<PeriodId, PeriodError> {
        match &self.every {
            Every::Weekly { .. } => PeriodId::parse(&first.to_string()),
            Every::Monthly => PeriodId::parse(first.to_string().get(..7).unwrap_or_default()),
            Every::Custom { periods } => {
                let found = periods.iter().find(|period| period.first == first);
                found.map(|p| p.id.clone()).ok_or_else(|| PeriodError::Outside(first.to_string()))
            }
        }
    }

    /// The instant at which a day of the plan starts.
    fn instant(&self, day: Date) -> Result<Timestamp, PeriodError> {
        let outside = |_range| PeriodError::Outside(day.to_string());
        self.time_zone.zone.to_timestamp(day.to_datetime(self.day_starts)).map_err(outside)
    }
}

fn add(day: Date, days: i64) -> Result<Date, PeriodError> {
    let span = Span::new().try_days(days);
    let moved = span.and_then(|span| day.checked_add(span));
    moved.map_err(|_range| PeriodError::Outside(day.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(every: &str, zone: &str) -> Calendar {
        toml::from_str(&format!(
            "every = {every}\ntime_zone = \"{zone}\"\nday_starts = \"00:00:00\"\n\
             snapshot = \"last_instant\"\ncut_off_days = 2\ndistribution_days = 15"
        ))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_runs_from_midnight_to_midnight_of_its_zone() {
        let berlin = calendar("{ kind = \"monthly\" }", "CET-1CEST,M3.5.0,M10.5.0/3");
        let march = berlin.period(&PeriodId::parse("2026-03").unwrap()).unwrap();
        assert_eq!(march.start, at("2026-02-28T23:00:00Z"));
        assert_eq!(march.end, at("2026-03-31T22:00:00Z"), "in summer time");
        assert_eq!(march.snapshot, at("2026-03-31T21:59:59.999999999Z"));
        assert_eq!(march.cut_off, at("2026-04-02T22:00:00Z"));
        assert_eq!(march.distribution.to_string(), "2026-04-16");
        assert_eq!(berlin.at(march.snapshot).unwrap(), march);
        assert_eq!(berlin.next(&march).unwrap().id.as_str(), "2026-04");
        assert_eq!(berlin.previous(&march).unwrap().id.as_str(), "2026-02");
    }

    #[test]
    fn a_week_starts_on_the_day_of_the_plan() {
        let weeks = calendar("{ kind = \"weekly\", starts = \"friday\" }", "UTC");
        assert_eq!(weeks.at(at("2026-02-05T23:59:59Z")).unwrap().id.as_str(), "2026-01-30");
        let week = weeks.at(at("2026-02-06T00:00:00Z")).unwrap();
        assert_eq!(week.id.as_str(), "2026-02-06");
        let error = weeks.period(&PeriodId::parse("2026-02-07").unwrap()).unwrap_err();
        assert!(error.to_string().contains("by its first day"), "{error}");
    }

    #[test]
    fn periods_with_names_leave_no_day_out() {
        let periods = |second: &str| {
            let text = format!(
                "{{ kind = \"custom\", periods = [{{ id = \"P1\", first = \"2026-01-01\", last = \
                 \"2026-01-28\" }}, {{ id = \"P2\", first = \"{second}\", last = \"2026-02-25\" }}] }}"
            );
            calendar(&text, "UTC")
        };
        let custom = periods("2026-01-29");
        custom.check().unwrap();
        let mut twice = custom.clone();
        let Every::Custom { periods: named } = &mut twice.every else { panic!() };
        named[1].id = named[0].id.clone();
        assert!(matches!(twice.check(), Err(PeriodError::Repeated(_))));
        let second = custom.period(&PeriodId::parse("P2").unwrap()).unwrap();
        assert_eq!(custom.previous(&second).unwrap().id.as_str(), "P1");
        assert!(matches!(custom.next(&second), Err(PeriodError::Outside(_))));
        let id = PeriodId::parse("P2").unwrap();
        assert_eq!(periods("2026-01-30").check(), Err(PeriodError::Gap(id)));
    }

    #[test]
    fn a_zone_by_name_is_refused_with_the_way_out() {
        let error = Zone::parse("Europe/Berlin").unwrap_err();
        assert!(error.to_string().contains("CET-1CEST"), "{error}");
    }

    proptest::proptest! {
        /// Periods tile the time line: every instant is in exactly one, whatever the clocks do.
        #[test]
        fn every_instant_is_in_one_period(
            second in 1_500_000_000i64..2_500_000_000,
            kind in 0usize..8,
            zone in 0usize..3,
            hour in 0i8..24,
        ) {
            let zones = ["UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0"];
            let days =
                ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
            let every = days.get(kind).map_or_else(|| "{ kind = \"monthly\" }".to_owned(), |day| {
                format!("{{ kind = \"weekly\", starts = \"{day}\" }}")
            });
            let mut calendar = calendar(&every, zones[zone]);
            calendar.day_starts = Time::new(hour, 30, 0, 0).unwrap();
            let instant = Timestamp::from_second(second).unwrap();
            let period = calendar.at(instant).unwrap();
            proptest::prop_assert!(period.contains(instant));
            proptest::prop_assert_eq!(&calendar.period(&period.id).unwrap(), &period);
            let next = calendar.next(&period).unwrap();
            proptest::prop_assert_eq!(next.start, period.end);
            proptest::prop_assert_eq!(&calendar.previous(&next).unwrap(), &period);
        }
    }
}
