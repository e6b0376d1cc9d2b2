//! Money, rates and the one place that rounds.
//!
//! Invariant: money is a decimal number, never a float. Adding and subtracting never round; only
//! [`Money::scaled`] does, and it names its mode, and the conversion into another currency; [`Money::split`] shares an amount by largest
//! remainder, so that the shares add up to it.
//!
//! An amount read from outside is bounded by [`Money::parse`], so that sums over the largest order
//! stay far inside what a decimal can hold and arithmetic is total.
//!
//! Deliberately absent: a currency inside each amount. An order has one commission currency and
//! carries it once; nothing adds amounts of two orders.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Why a text or number is not an amount of money, a rate or a currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// Its magnitude is above 10^13.
    #[error("{0} is out of range, amounts are at most 10000000000000")]
    OutOfRange(Decimal),
    /// It has more than six decimal places.
    #[error("{0} has more than 6 decimal places")]
    TooFine(Decimal),
    /// It is not three letters.
    #[error("{0:?} is not a currency code of three letters (ISO 4217)")]
    Currency(String),
    /// The rate is below 0 % or above 1000 %.
    #[error("the rate {0} is not between 0 and 10 (0 % and 1000 %)")]
    Rate(Decimal),
}

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Parses a code in any case.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let refuse = || MoneyError::Currency(code.chars().take(16).collect());
        let bytes: [u8; 3] = code.trim().as_bytes().try_into().map_err(|_length| refuse())?;
        if !bytes.iter().all(u8::is_ascii_alphabetic) {
            return Err(refuse());
        }
        Ok(Self(bytes.map(|b| b.to_ascii_uppercase())))
    }

    /// The code in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// Decimal places of the minor unit (ISO 4217, list one): 2 for most, 0 for JPY or UGX, 3 for
    /// BHD.
    pub fn minor_digits(&self) -> u32 {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF"
            | "UGX" | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }

    /// The smallest amount that can be paid.
    pub fn minor_unit(&self) -> Money {
        Money(Decimal::new(1, self.minor_digits()))
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a plan rounds a commission line to the minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; a tie goes to the even digit (banker's rounding).
    HalfEven,
    /// To the nearest; a tie goes away from zero (commercial rounding).
    HalfUp,
    /// To the nearest; a tie goes towards zero.
    HalfDown,
    /// Towards zero: the distributor never gets a fraction that was not earned.
    Down,
    /// Away from zero.
    Up,
}

impl Rounding {
    /// Every mode.
    pub const ALL: [Self; 5] = [Self::HalfEven, Self::HalfUp, Self::HalfDown, Self::Down, Self::Up];

    /// A whole number divided by a positive one.
    pub(super) fn divide(self, number: i128, by: i128) -> i128 {
        let quotient = number.checked_div(by).unwrap_or_default();
        let rest = number.checked_rem(by).unwrap_or_default();
        let half = rest.unsigned_abs().cmp(&by.unsigned_abs().saturating_sub(rest.unsigned_abs()));
        let odd = quotient & 1 != 0;
        let away = match self {
            Self::HalfEven => half.is_gt() || (half.is_eq() && odd),
            Self::HalfUp => half.is_ge(),
            Self::HalfDown => half.is_gt(),
            Self::Down => false,
            Self::Up => rest != 0,
        };
        if away { quotient.saturating_add(number.signum()) } else { quotient }
    }

    fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::HalfDown => RoundingStrategy::MidpointTowardZero,
            Self::Down => RoundingStrategy::ToZero,
            Self::Up => RoundingStrategy::AwayFromZero,
        }
    }
}

/// A share of an amount: 0.05 is 5 %. In a plan file it is text, `"5 %"` or `"0.05"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Decimal);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);
    /// All of it: 100 %.
    pub const WHOLE: Self = Self(Decimal::ONE);

    /// Parses `"5 %"`, `"5%"` or `"0.05"`; at most 1000 %, at most 8 decimal places.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), true),
            None => (text, false),
        };
        let value = Decimal::from_str_exact(number)
            .map_err(|_syntax| MoneyError::NotANumber(text.chars().take(32).collect()))?;
        let value = if percent { value.saturating_mul(Decimal::new(1, 2)) } else { value };
        if value < Decimal::ZERO || value > Decimal::TEN || value.normalize().scale() > 8 {
            return Err(MoneyError::Rate(value));
        }
        Ok(Self(value.normalize()))
    }

    /// The rate as a fraction.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// The rate and another one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).normalize())
    }

    /// What the rate is above another one; nothing if it is not.
    #[must_use]
    pub fn above(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(Decimal::ZERO).normalize())
    }
}

impl TryFrom<String> for Rate {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0.saturating_mul(Decimal::ONE_HUNDRED).normalize())
    }
}

/// An exact amount of money in the currency of its order. In text it is a decimal number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money(Decimal);

impl Money {
    /// No money.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The largest magnitude that input may have. With six decimal places this leaves nine digits
    /// of headroom for sums and, for one product with a rate, the eight places that a rate has.
    const MAX: Decimal = Decimal::from_parts(1_316_134_912, 2328, 0, false, 0);

    /// So many minor units of a currency. For [`super::volume::Volume::earning`], which has rounded.
    pub(super) fn of_units(units: i128, currency: Currency) -> Self {
        let limit = if units < 0 { Decimal::MIN } else { Decimal::MAX };
        let value = Decimal::try_from_i128_with_scale(units, currency.minor_digits());
        Self(value.unwrap_or(limit))
    }

    /// So many minor units of a currency.
    pub fn of_minor_units(units: i64, currency: Currency) -> Self {
        Self::of_units(units.into(), currency)
    }

    /// The whole minor units of a currency in the amount, at most what the number holds.
    pub fn minor_units(self, currency: Currency) -> i64 {
        let units = self.units(currency);
        i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
    }

    /// The whole minor units of a currency in the amount.
    pub(super) fn units(self, currency: Currency) -> i128 {
        let value = self.0.trunc_with_scale(currency.minor_digits());
        let missing = currency.minor_digits().saturating_sub(value.scale());
        value.mantissa().saturating_mul(10i128.saturating_pow(missing))
    }

    /// Parses a decimal number in plain or scientific notation, without blanks or separators.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        let value =
            parsed.map_err(|_syntax| MoneyError::NotANumber(text.chars().take(32).collect()))?;
        Self::from_decimal(value)
    }

    /// Takes a decimal number as an amount.
    pub fn from_decimal(value: Decimal) -> Result<Self, MoneyError> {
        if value.abs() > Self::MAX {
            return Err(MoneyError::OutOfRange(value));
        }
        let value = value.normalize();
        if value.scale() > 6 { Err(MoneyError::TooFine(value)) } else { Ok(Self(value)) }
    }

    /// The decimal number.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// The decimal number with the places that it is written with everywhere, however it came about: at
    /// least two, more only where there are any: `19.80`, `0.123456`.
    pub fn written(self) -> Decimal {
        let mut value = self.0.normalize();
        if value.scale() < 2 {
            value.rescale(2);
        }
        value
    }

    /// Whether it is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > Decimal::ZERO
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// Whether it is a whole number of minor units: what can be paid.
    pub fn is_whole_in(self, currency: Currency) -> bool {
        self.0.normalize().scale() <= currency.minor_digits()
    }

    /// The amount without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// The amount, or nothing if it is negative.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        self.max(Self::ZERO)
    }

    /// The amount times a number of units, exact: prices have at most six places, quantities too.
    #[must_use]
    pub fn times(self, quantity: Decimal) -> Self {
        Self(self.0.saturating_mul(quantity).normalize())
    }

    /// The amount times a rate, rounded to the minor unit. The only place that rounds a payout.
    #[must_use]
    pub fn scaled(self, rate: Rate, rounding: Rounding, currency: Currency) -> Self {
        let exact = self.0.saturating_mul(rate.0);
        Self(exact.round_dp_with_strategy(currency.minor_digits(), rounding.strategy()))
    }

    /// The amount in another currency: times the exchange rate, rounded half to even to the minor
    /// unit. Only [`super::fx::LockedRate::convert`] calls it, once for each line of an order.
    #[must_use]
    pub(super) fn converted(self, rate: Decimal, to: Currency) -> Self {
        let exact = self.0.saturating_mul(rate);
        Self(exact.round_dp_with_strategy(to.minor_digits(), Rounding::HalfEven.strategy()))
    }

    /// The part of the amount that `part` is of `whole`, to six decimal places. For a whole of zero
    /// it is nothing; the result never exceeds the amount.
    ///
    /// A refund of money without lines lowers the net of a line by the share that it takes of the
    /// gross: the share need not be a whole number of minor units, so it is kept finer than that,
    /// and all of the gross is exactly all of the net.
    #[must_use]
    pub fn proportion(self, part: Self, whole: Self) -> Self {
        if part == whole {
            return self;
        }
        let Some(product) = self.0.checked_mul(part.0) else { return Self::ZERO };
        match product.checked_div(whole.0) {
            Some(share) => Self(share.round_dp(6).normalize()),
            None => Self::ZERO,
        }
    }

    /// The nearest whole number of `unit`, a tie to the even one. For dividing what a platform left
    /// undivided; payouts are rounded by [`Money::scaled`] alone.
    #[must_use]
    pub fn rounded_to(self, unit: Self) -> Self {
        Self(self.0.round_dp(unit.0.scale()))
    }

    /// Splits the amount over weights by largest remainder: each share is a whole number of `unit`,
    /// the shares add up to the amount (what is finer than a unit goes to the first share with a
    /// weight), and none is more than a unit off its exact proportion. Ties go to the first.
    ///
    /// Negative weights count as zero. All weights zero: all shares are zero.
    pub fn split(self, weights: &[Self], unit: Self) -> Vec<Self> {
        let total: Self = weights.iter().map(|w| w.at_least_zero()).sum();
        if !total.is_positive() || !unit.is_positive() {
            return vec![Self::ZERO; weights.len()];
        }
        let mut shares = Vec::with_capacity(weights.len());
        let mut remainders = Vec::with_capacity(weights.len());
        for (index, weight) in weights.iter().enumerate() {
            let exact = self.share_of(weight.at_least_zero(), total);
            let units = exact.checked_div(unit.0).unwrap_or_default().trunc();
            let floor = Self(units.saturating_mul(unit.0));
            remainders.push((exact.saturating_sub(floor.0).abs(), index));
            shares.push(floor);
        }
        remainders.sort_by(|(a, i), (b, j)| b.cmp(a).then(i.cmp(j)));
        let mut left = self - shares.iter().copied().sum();
        let step = if left.is_negative() { -unit } else { unit };
        for (_, index) in remainders.iter().filter(|(r, _)| !r.is_zero()) {
            if left.abs() < unit {
                break;
            }
            if let Some(share) = shares.get_mut(*index) {
                *share += step;
                left -= step;
            }
        }
        if !left.is_zero() {
            let first = weights.iter().position(|w| w.is_positive()).unwrap_or_default();
            if let Some(share) = shares.get_mut(first) {
                *share += left;
            }
        }
        shares
    }

    /// `self * weight / total` with all the digits that there are; multiplies first if that fits.
    fn share_of(self, weight: Self, total: Self) -> Decimal {
        match self.0.checked_mul(weight.0) {
            Some(product) => product.checked_div(total.0).unwrap_or_default(),
            None => weight.0.checked_div(total.0).unwrap_or_default().saturating_mul(self.0),
        }
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        let mut value = self.0;
        if !value.is_zero() {
            value.set_sign_positive(value.is_sign_negative());
        }
        Self(value)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = Self(self.0.saturating_add(other.0));
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = Self(self.0.saturating_sub(other.0));
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |a, b| Self(a.0.saturating_add(b.0)))
    }
}

impl TryFrom<String> for Money {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

impl fmt::Display for Money {
    /// As it is written: see [`Money::written`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written().to_string())
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
