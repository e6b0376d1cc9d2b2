//! Where periods of one calendar end and those of another begin.
//!
//! A period is of the calendar of the version that is in force when it begins, and ends as that calendar says,
//! whatever version has come meanwhile.

use jiff::{Span, Timestamp};

use super::{Calendar, Period, PeriodError, PeriodId};
use crate::domain::plan::{Plan, PlanBook};

/// Where a calendar does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the calendar does not go on where period {last} ends, at {end}: {found}. Give it a period that begins at \
     {end}{}",
    .both.map(|at| format!(
        ", or let it take effect where both calendars begin a period: effective_from = \"{at}\""
    )).unwrap_or_default()
)]
pub struct Seam {
    /// The period before.
    pub last: PeriodId,
    /// Its end.
    pub end: Timestamp,
    /// What the calendar has there.
    pub found: String,
    /// The next instant at which periods of both begin, if it is known.
    pub both: Option<Timestamp>,
}

/// Periods that are looked at to find where two calendars meet.
const SEAMS: usize = 1_000;

impl Calendar {
    /// The period that begins where another one ends, which may be of another calendar: no day is left out and
    /// none counts twice.
    pub fn from(&self, last: &Period) -> Result<Period, PeriodError> {
        let found = match self.at(last.end) {
            Ok(next) if next.start == last.end => return Ok(next),
            Ok(other) => format!("its period {} begins at {}", other.id, other.start),
            Err(_none) => "it has no period there".to_owned(),
        };
        let (id, end) = (last.id.clone(), last.end);
        Err(PeriodError::Seam(Box::new(Seam { last: id, end, found, both: None })))
    }

    /// Whether periods of this calendar can follow those of another one that it replaces at an instant: the
    /// last of the old ones is the one that begins before it. `first` is a period of the old calendar, from
    /// which on they are looked at.
    pub fn follows(&self, old: &Self, first: &Period, at: Timestamp) -> Result<(), PeriodError> {
        let mut last = first.clone();
        for _ in 0..SEAMS {
            if last.end >= at {
                break;
            }
            last = old.next(&last)?;
        }
        let Err(PeriodError::Seam(mut seam)) = self.from(&last) else {
            return Ok(());
        };
        for _ in 0..SEAMS {
            let Ok(next) = old.next(&last) else { break };
            last = next;
            if self.from(&last).is_ok() {
                seam.both = Some(last.end);
                break;
            }
        }
        Err(PeriodError::Seam(seam))
    }
}

impl PlanBook {
    /// The version of a plan whose calendar has a period of this id, and the period. A period is of the version
    /// in force when it begins, whatever calendar came later.
    pub fn period(&self, plan: &str, id: &PeriodId) -> Option<(&Plan, Period)> {
        let versions = self.iter().filter(|version| &*version.reference.id == plan);
        let mut found = versions.filter_map(|version| {
            let period = version.period.as_ref()?.period(id).ok()?;
            self.rules(version, period.start).then_some((version, period))
        });
        found.next()
    }

    /// The period that ends where one begins, by the calendar in force when it begins itself.
    pub fn period_before(&self, plan: &str, period: &Period) -> Option<(&Plan, Period)> {
        let end = period.start.checked_sub(Span::new().nanoseconds(1)).ok()?;
        let versions = self.iter().filter(|version| &*version.reference.id == plan);
        let mut found = versions.filter_map(|version| {
            let before = version.period.as_ref()?.at(end).ok()?;
            let own = self.rules(version, before.start);
            (own && before.end == period.start).then_some((version, before))
        });
        found.next()
    }

    /// Whether a version is the one in force at an instant.
    fn rules(&self, version: &Plan, at: Timestamp) -> bool {
        let in_force = self.in_force(&version.reference.id, at);
        in_force.is_some_and(|plan| plan.reference == version.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(every: &str) -> Calendar {
        toml::from_str(&format!(
            "every = {every}\ntime_zone = \"UTC\"\nday_starts = \"00:00:00\"\n\
             snapshot = \"last_instant\"\ncut_off_days = 2\ndistribution_days = 15"
        ))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_calendar_follows_another_only_where_a_period_of_it_begins() {
        let months = calendar("{ kind = \"monthly\" }");
        let weeks = calendar("{ kind = \"weekly\", starts = \"wednesday\" }");
        let january = months.period(&PeriodId::parse("2026-01").unwrap()).unwrap();
        // The month of the change is the last one: it ends on a Wednesday.
        let april = at("2026-03-17T00:00:00Z");
        weeks.follows(&months, &january, april).unwrap();
        assert_eq!(weeks.follows(&months, &january, at("2026-04-01T00:00:00Z")), Ok(()));
        let may = Seam {
            last: PeriodId::parse("2026-04").unwrap(),
            end: at("2026-05-01T00:00:00Z"),
            found: "its period 2026-04-29 begins at 2026-04-29T00:00:00Z".to_owned(),
            both: Some(at("2026-07-01T00:00:00Z")),
        };
        assert_eq!(
            weeks.follows(&months, &january, at("2026-04-01T00:00:01Z")),
            Err(PeriodError::Seam(Box::new(may)))
        );
        assert_eq!(months.follows(&months, &january, april), Ok(()), "the same one goes on");
    }

    #[test]
    fn a_period_is_of_the_version_in_force_when_it_begins() {
        let plan = |version: u32, from: &str, every: &str| {
            let text = crate::domain::plan::tests::whole::WHOLE;
            let mut plan = Plan::parse(text).unwrap();
            plan.reference.version = version;
            plan.effective_from = at(from);
            plan.period = Some(calendar(every));
            plan
        };
        let mut book = PlanBook::default();
        let id = plan(1, "2020-01-01T00:00:00Z", "{ kind = \"monthly\" }").reference.id;
        book.add(plan(1, "2020-01-01T00:00:00Z", "{ kind = \"monthly\" }"));
        let weeks = "{ kind = \"weekly\", starts = \"wednesday\" }";
        book.add(plan(2, "2026-03-17T00:00:00Z", weeks));
        let version = |period: &str| {
            let found = book.period(&id, &PeriodId::parse(period).unwrap());
            found.map(|(plan, period)| (plan.reference.version, period.start.to_string()))
        };
        assert_eq!(version("2026-03"), Some((1, "2026-03-01T00:00:00Z".to_owned())));
        assert_eq!(version("2026-04"), None, "there are weeks by then");
        assert_eq!(version("2026-04-01"), Some((2, "2026-04-01T00:00:00Z".to_owned())));
        assert_eq!(version("2026-03-04"), None, "there were months");
        let (_, first) = book.period(&id, &PeriodId::parse("2026-04-01").unwrap()).unwrap();
        let (_, before) = book.period_before(&id, &first).unwrap();
        assert_eq!(before.id.as_str(), "2026-03");
    }
}
