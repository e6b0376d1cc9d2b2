//! Volume: the points that ranks and bonuses are computed from. Not money.
//!
//! Invariant: volume is a whole number of ten-thousandths of a point, so sums over ten million
//! distributors are exact, fast and the same in every order. It becomes money only through the
//! conversion and the rate of a component.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

/// Why a text or number is not a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// It has more than four decimal places, or its magnitude is above 10^13.
    #[error("the volume {0} is out of range: at most 10000000000000, at most 4 decimal places")]
    OutOfRange(Decimal),
}

/// Points, in ten-thousandths. In text it is a decimal number.
///
/// Arithmetic saturates: a single volume is at most 10^13 points ([`Volume::parse`]), the sum of all
/// at most 9.2 * 10^14.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume(i64);

impl Volume {
    /// No volume.
    pub const ZERO: Self = Self(0);

    /// Decimal places.
    pub const PLACES: u32 = 4;

    const MAX: i64 = 100_000_000_000_000_000;

    /// Parses a decimal number without blanks or separators.
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let text = text.trim();
        let value = Decimal::from_str_exact(text)
            .map_err(|_syntax| VolumeError::NotANumber(text.chars().take(32).collect()))?;
        Self::from_decimal(value)
    }

    /// Takes a decimal number as a volume, if it is one exactly.
    pub fn from_decimal(value: Decimal) -> Result<Self, VolumeError> {
        let parts = value.checked_mul(Decimal::from(10_000)).filter(|parts| parts.is_integer());
        let parts = parts.and_then(|parts| parts.to_i64()).filter(|p| p.abs() <= Self::MAX);
        parts.map(Self).ok_or(VolumeError::OutOfRange(value))
    }

    /// So many whole points.
    pub const fn points(points: i32) -> Self {
        Self((points as i64).saturating_mul(10_000))
    }

    /// So many ten-thousandths of a point.
    pub const fn from_parts(parts: i64) -> Self {
        Self(parts)
    }

    /// The volume in ten-thousandths of a point.
    pub const fn parts(self) -> i64 {
        self.0
    }

    /// The decimal number.
    pub fn as_decimal(self) -> Decimal {
        Decimal::new(self.0, Self::PLACES)
    }

    /// Whether it is more than nothing.
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The volume, or nothing if it is negative.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }
}

impl Add for Volume {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Volume {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Volume {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Volume {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Volume {
    fn sum<I: Iterator<Item = Self>>(volumes: I) -> Self {
        volumes.fold(Self::ZERO, Add::add)
    }
}

impl TryFrom<String> for Volume {
    type Error = VolumeError;
    fn try_from(text: String) -> Result<Self, VolumeError> {
        Self::parse(&text)
    }
}

impl From<Volume> for String {
    fn from(volume: Volume) -> Self {
        volume.to_string()
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_decimal().normalize().to_string())
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_exact_or_refused() {
        assert_eq!(Volume::parse("40.50").unwrap().parts(), 405_000);
        assert_eq!(Volume::parse("-0.0001").unwrap().to_string(), "-0.0001");
        assert!(matches!(Volume::parse("0.00001"), Err(VolumeError::OutOfRange(_))));
        assert!(matches!(Volume::parse("10000000000001"), Err(VolumeError::OutOfRange(_))));
        assert!(matches!(Volume::parse("many"), Err(VolumeError::NotANumber(_))));
    }

    #[test]
    fn what_is_written_reads_back() {
        for parts in [0, 1, -1, 10_000, 405_000, Volume::MAX, -Volume::MAX] {
            let volume = Volume::from_parts(parts);
            assert_eq!(Volume::parse(&volume.to_string()).unwrap(), volume);
        }
    }
}
