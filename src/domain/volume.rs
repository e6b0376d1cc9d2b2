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

use super::money::{Currency, Money, Rate, Rounding};

/// Why a text or number is not a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// It has more than four decimal places, or its magnitude is above 10^13.
    #[error("the volume {0} is out of range: at most 10000000000000, at most 4 decimal places")]
    OutOfRange(Decimal),
    /// The money for a point is below 0, above 10^6 or finer than six decimal places.
    #[error("the conversion {0} is not between 0 and 1000000 with at most 6 decimal places")]
    Conversion(Decimal),
}

/// How much money a point is: 0.50 makes 200 points 100.00 before the rate of a component. In a plan
/// file it is a decimal number as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Conversion(Decimal);

impl Conversion {
    /// A point is one unit of the currency.
    pub const ONE: Self = Self(Decimal::ONE);

    /// Parses a decimal number from 0 to 10^6 with at most six decimal places.
    pub fn parse(text: &str) -> Result<Self, VolumeError> {
        let text = text.trim();
        let value = Decimal::from_str_exact(text)
            .map_err(|_syntax| VolumeError::NotANumber(text.chars().take(32).collect()))?
            .normalize();
        let fits = value >= Decimal::ZERO && value <= Decimal::from(1_000_000);
        if fits && value.scale() <= 6 {
            Ok(Self(value))
        } else {
            Err(VolumeError::Conversion(value))
        }
    }

    /// The money for one point.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }
}

impl TryFrom<String> for Conversion {
    type Error = VolumeError;
    fn try_from(text: String) -> Result<Self, VolumeError> {
        Self::parse(&text)
    }
}

impl From<Conversion> for String {
    fn from(conversion: Conversion) -> Self {
        conversion.0.to_string()
    }
}

/// Points, in ten-thousandths. In text it is a decimal number.
///
/// Arithmetic saturates: a single volume that comes in is at most 10^13 points ([`Volume::parse`]), the
/// sum of all at most 9.2 * 10^14; what adds up columns refuses more ([`Volume::fits`]). What was
/// computed and written reads back, so reading alone has no other limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Volume(i64);

impl Volume {
    /// No volume.
    pub const ZERO: Self = Self(0);

    /// Decimal places.
    pub const PLACES: u32 = 4;

    /// The largest volume that may come in, in ten-thousandths of a point.
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
        let volume = Self::exact(value).filter(|volume| within(volume.0));
        volume.ok_or(VolumeError::OutOfRange(value))
    }

    fn exact(value: Decimal) -> Option<Self> {
        let parts = value.checked_mul(Decimal::from(10_000)).filter(Decimal::is_integer)?;
        parts.to_i64().map(Self)
    }

    /// So many whole points.
    #[expect(clippy::as_conversions, reason = "widens; `i64::from` is not const")]
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

    /// The money that a rate of the volume is: points times conversion times rate, exact, rounded
    /// once to the minor unit. The only way from volume to money.
    pub fn earning(
        self,
        conversion: Conversion,
        rate: Rate,
        rounding: Rounding,
        currency: Currency,
    ) -> Money {
        let (conversion, rate) = (conversion.0, rate.as_decimal());
        let exact = i128::from(self.0)
            .saturating_mul(conversion.mantissa())
            .saturating_mul(rate.mantissa());
        let places = Self::PLACES.saturating_add(conversion.scale()).saturating_add(rate.scale());
        let minor = currency.minor_digits();
        let units = match places.checked_sub(minor) {
            Some(extra) => rounding.divide(exact, 10i128.saturating_pow(extra)),
            None => exact.saturating_mul(10i128.saturating_pow(minor.saturating_sub(places))),
        };
        Money::of_units(units, currency)
    }

    /// A share of the volume, cut to whole ten-thousandths towards zero: what a leg cap leaves of a
    /// requirement.
    #[must_use]
    pub fn portion(self, rate: Rate) -> Self {
        Self::cut(self.as_decimal().saturating_mul(rate.as_decimal()))
    }

    /// So many units of an article with this volume each, cut towards zero, so that a return of the
    /// same quantity is exactly the opposite.
    #[must_use]
    pub fn times(self, quantity: Decimal) -> Self {
        Self::cut(self.as_decimal().saturating_mul(quantity))
    }

    /// The points for a net amount where a plan takes volume from money: one unit of the currency at
    /// 100 % is one point. Cut towards zero.
    pub fn of_money(net: Money, rate: Rate) -> Self {
        Self::cut(net.as_decimal().saturating_mul(rate.as_decimal()))
    }

    /// The part of the volume that `part` is of `whole`, cut towards zero; nothing of nothing, and
    /// never more than the volume. What is left of the volume of units when money is taken back that
    /// names no units.
    #[must_use]
    pub fn proportion(self, part: Money, whole: Money) -> Self {
        if part >= whole && whole.is_positive() {
            return self;
        }
        let product = i128::from(self.0).saturating_mul(millionths(part.at_least_zero()));
        let parts = product.checked_div(millionths(whole)).unwrap_or_default();
        Self(i64::try_from(parts).unwrap_or_default())
    }

    /// Cut towards zero to ten-thousandths, and to the largest volume that can be written.
    fn cut(points: Decimal) -> Self {
        let parts = points.saturating_mul(Decimal::from(10_000)).trunc();
        let limit = if points.is_sign_negative() { Self::MAX.saturating_neg() } else { Self::MAX };
        Self(parts.to_i64().filter(|parts| within(*parts)).unwrap_or(limit))
    }

    /// Whether every sum of a part of these volumes is exact: their magnitudes together are in range.
    pub fn fits(volumes: impl IntoIterator<Item = Self>) -> bool {
        let magnitude = |volume: Self| u128::from(volume.0.unsigned_abs());
        let sum = volumes.into_iter().map(magnitude).fold(0u128, u128::saturating_add);
        i64::try_from(sum).is_ok()
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

fn within(parts: i64) -> bool {
    parts.unsigned_abs() <= Volume::MAX.unsigned_abs()
}

/// Money as a whole number: amounts have at most six decimal places.
fn millionths(money: Money) -> i128 {
    let mut value = money.as_decimal();
    value.rescale(6);
    value.mantissa()
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
        let value = Decimal::from_str_exact(text.trim())
            .map_err(|_syntax| VolumeError::NotANumber(text.chars().take(32).collect()))?;
        Self::exact(value).ok_or(VolumeError::OutOfRange(value))
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
    fn points_become_money_through_conversion_and_rate() {
        let eur = Currency::parse("EUR").unwrap();
        let earning = |points: &str, conversion: &str, rate: &str, rounding| {
            let conversion = Conversion::parse(conversion).unwrap();
            let rate = Rate::parse(rate).unwrap();
            Volume::parse(points).unwrap().earning(conversion, rate, rounding, eur).to_string()
        };
        // 200 x 0.50 x 10 % = 10.00.
        assert_eq!(earning("200", "0.50", "10 %", Rounding::HalfEven), "10.00");
        assert_eq!(earning("10.50", "1", "1 %", Rounding::HalfEven), "0.10");
        assert_eq!(earning("10.50", "1", "1 %", Rounding::HalfUp), "0.11");
        assert_eq!(earning("-10.50", "1", "1 %", Rounding::HalfUp), "-0.11");
        assert_eq!(earning("10000000000000", "1000000", "1000 %", Rounding::Up).len(), 24);
        assert!(matches!(Conversion::parse("-1"), Err(VolumeError::Conversion(_))));
    }

    #[test]
    fn a_part_is_cut_towards_zero_so_that_a_return_negates_it() {
        let rate = Rate::parse("33.3333 %").unwrap();
        assert_eq!(Volume::points(1).portion(rate).to_string(), "0.3333");
        assert_eq!(Volume::points(-1).portion(rate).to_string(), "-0.3333");
        assert_eq!(Volume::points(7).times(Decimal::from(-3)), Volume::points(-21));
        let net = Money::parse("19.99").unwrap();
        assert_eq!(Volume::of_money(net, Rate::parse("50 %").unwrap()).to_string(), "9.995");
    }

    #[test]
    fn a_share_of_money_is_the_same_share_of_volume() {
        let money = |text: &str| Money::parse(text).unwrap();
        let three = Volume::points(3);
        assert_eq!(three.proportion(money("0.01"), money("0.03")), Volume::points(1));
        assert_eq!(three.proportion(money("1"), money("7")).to_string(), "0.4285");
        assert_eq!(three.proportion(money("7"), money("7")), three);
        assert_eq!(three.proportion(money("8"), money("7")), three);
        for (part, whole) in [("0", "7"), ("-1", "7"), ("1", "0"), ("0", "0")] {
            assert_eq!(
                three.proportion(money(part), money(whole)),
                Volume::ZERO,
                "{part} of {whole}"
            );
        }
        let most = Volume::from_parts(Volume::MAX);
        let amount = money("9999999999999.999999");
        assert_eq!(most.proportion(amount, amount + amount).parts(), Volume::MAX / 2);
        let beyond = most.times(Decimal::from(1_000));
        assert_eq!((beyond, Volume::parse(&beyond.to_string()).unwrap()), (most, beyond));
    }

    #[test]
    fn what_is_written_reads_back() {
        let most = Volume::MAX;
        for parts in [0, 1, -1, 10_000, 405_000, most, -most] {
            let volume = Volume::from_parts(parts);
            assert_eq!(Volume::parse(&volume.to_string()).unwrap(), volume);
        }
        // Sums may be larger than what may come in.
        for parts in [most + 1, i64::MAX, i64::MIN] {
            let volume = Volume::from_parts(parts);
            let written = serde_json::to_string(&volume).unwrap();
            assert_eq!(serde_json::from_str::<Volume>(&written).unwrap(), volume);
            assert!(matches!(Volume::parse(&volume.to_string()), Err(VolumeError::OutOfRange(_))));
        }
    }

    #[test]
    fn volumes_whose_sum_would_be_wrong_do_not_fit() {
        let most = Volume::from_parts(i64::MAX);
        assert!(Volume::fits([most]) && Volume::fits([]));
        assert!(!Volume::fits([most, Volume::from_parts(1)]));
        assert!(!Volume::fits([most, Volume::from_parts(-1)]), "a part of them can be the sum");
    }

    proptest::proptest! {
        /// The whole-number division against the rounding of decimals, which money has elsewhere.
        #[test]
        fn an_earning_rounds_as_money_does(
            parts in -1_000_000_000i64..1_000_000_000,
            conversion in 0u32..3_000_000,
            rate in 0u32..1_000_000,
            mode in 0usize..5,
            code in 0usize..3,
        ) {
            let currency = Currency::parse(["EUR", "JPY", "KWD"][code]).unwrap();
            let conversion = Conversion::parse(&Decimal::new(conversion.into(), 6).to_string()).unwrap();
            let rate = Rate::parse(&Decimal::new(rate.into(), 6).to_string()).unwrap();
            let volume = Volume::from_parts(parts);
            let rounding = Rounding::ALL[mode];
            let money = Currency::parse("CLF").unwrap().minor_unit().times(Decimal::from(parts));
            let money = money.times(conversion.as_decimal()).scaled(rate, rounding, currency);
            proptest::prop_assert_eq!(volume.earning(conversion, rate, rounding, currency), money);
        }
    }
}
