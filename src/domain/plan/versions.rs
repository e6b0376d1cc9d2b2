//! The versions of a plan beside each other.
//!
//! An order is paid by the version in force when it was placed, so versions follow each other in time as
//! in number: of two of which the higher holds from an earlier instant or the same, it would be chance
//! which one pays. And no version reaches back into what is closed.

use jiff::Timestamp;

use super::{Plan, period::Period};

/// Version and start of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edition {
    /// The version.
    pub version: u32,
    /// From when it holds, by the time of the order.
    pub from: Timestamp,
}

/// Why a version cannot stand beside the others of its plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Two texts are one version.
    #[error("version {0} is stated twice: give one of the two another `version`, or drop it")]
    Repeated(u32),
    /// The higher version does not begin later.
    #[error(
        "version {} holds from {} on, which is not after version {}, in force from {} on: versions rise \
         with `effective_from`, so give version {} a later one", higher.version, higher.from,
        lower.version, lower.from, higher.version
    )]
    NotLater {
        /// The lower version.
        lower: Edition,
        /// The higher version, which begins no later.
        higher: Edition,
    },
    /// It would hold in what is closed.
    #[error(
        "version {} would hold from {} on, but period {period}, closed by version {by}, ends at {end}: \
         late orders of a closed period would be paid by it, so let version {} begin at {end} or later",
        edition.version, edition.from, edition.version
    )]
    Closed {
        /// The version.
        edition: Edition,
        /// The last period that is closed.
        period: Box<str>,
        /// The version that closed it.
        by: u32,
        /// When it ended.
        end: Timestamp,
    },
}

impl VersionError {
    /// The version that is to be changed.
    pub fn version(&self) -> u32 {
        match self {
            Self::Repeated(version) => *version,
            Self::NotLater { higher, .. } => higher.version,
            Self::Closed { edition, .. } => edition.version,
        }
    }
}

/// Checks that versions of one plan rise together with their starts.
pub fn in_order(editions: impl IntoIterator<Item = Edition>) -> Result<(), VersionError> {
    let mut editions: Vec<Edition> = editions.into_iter().collect();
    editions.sort_unstable();
    for (lower, higher) in editions.iter().zip(editions.iter().skip(1)) {
        if lower.version == higher.version {
            return Err(VersionError::Repeated(lower.version));
        }
        if higher.from <= lower.from {
            return Err(VersionError::NotLater { lower: *lower, higher: *higher });
        }
    }
    Ok(())
}

/// A start in the middle of a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Midway {
    /// The version.
    pub edition: Edition,
    /// The period that it begins in.
    pub period: Period,
    /// When the next one starts, the first that the version closes.
    pub next: Timestamp,
}

impl std::fmt::Display for Midway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { edition: Edition { version, from }, period, next } = self;
        write!(
            f,
            "version {version} begins within period {}: orders are paid by it from {from} on, closes \
             are computed by it only from the period that starts at {next}",
            period.id
        )
    }
}

impl Plan {
    /// Its version and start.
    pub fn edition(&self) -> Edition {
        Edition { version: self.reference.version, from: self.effective_from }
    }

    /// Whether the plan, which closes periods, begins in the middle of one. A period is closed by the
    /// version in force at its start.
    pub fn midway(&self) -> Option<Midway> {
        let calendar = self.period.as_ref().filter(|_| self.is_closed())?;
        let period = calendar.at(self.effective_from).ok()?;
        let next = period.end;
        let edition = self.edition();
        (period.start < self.effective_from).then_some(Midway { edition, period, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::tests::whole::WHOLE;

    fn edition(version: u32, from: &str) -> Edition {
        Edition { version, from: format!("{from}T00:00:00Z").parse().unwrap() }
    }

    #[test]
    fn versions_rise_with_their_starts() {
        let first = edition(1, "2026-01-01");
        let check = |others: &[Edition]| in_order(others.iter().copied().chain([first]));
        assert_eq!(check(&[edition(3, "2026-03-01"), edition(2, "2026-02-01")]), Ok(()));
        let equal = edition(2, "2026-01-01");
        let error = check(&[equal]).unwrap_err();
        assert_eq!(error, VersionError::NotLater { lower: first, higher: equal });
        for both in ["version 2 holds from 2026-01-01T00:00:00Z", "version 1, in force from"] {
            assert!(error.to_string().contains(both), "{error}");
        }
        let error = check(&[edition(2, "2026-03-01"), edition(4, "2026-02-01")]).unwrap_err();
        assert_eq!(error.version(), 4);
        assert_eq!(check(&[edition(1, "2027-01-01")]), Err(VersionError::Repeated(1)));
    }

    #[test]
    fn a_version_that_begins_within_a_period_names_the_two_dates() {
        let from = |text: &str| {
            let start = WHOLE.find("effective_from = \"").unwrap() + "effective_from = \"".len();
            let end = start + WHOLE[start..].find('"').unwrap();
            let text = format!("{}{text}{}", &WHOLE[..start], &WHOLE[end..]);
            Plan::parse(&text).unwrap().midway()
        };
        let plan = Plan::parse(WHOLE).unwrap();
        let calendar = plan.period.as_ref().unwrap();
        let period = calendar.at("2026-06-17T12:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(from(&period.start.to_string()), None, "at the start");
        let midway = from("2026-06-17T12:00:00Z").unwrap();
        assert_eq!((&midway.period, midway.next), (&period, period.end));
        let told = midway.to_string();
        assert!(told.contains("2026-06-17T12:00:00Z") && told.contains(&period.end.to_string()));
    }
}
