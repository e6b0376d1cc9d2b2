//! Exchange rates: from the currency of an order to the currency that its commission is paid in.
//!
//! Invariant: a rate is never guessed. A pair without a row in force at the order's time has no
//! rate, and the order waits for one.
//!
//! The rows are append-only and effective-dated; a version is the sequence number of the last row.
//! An order keeps the rate that it was locked with ([`LockedRate`]): rows that come later change
//! nothing about it.
//!
//! Deliberately absent: rates over a third currency. Whoever wants one imports it, with its source.

use std::{collections::HashMap, fmt};

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::money::{Currency, Money};

/// Why a text is not an exchange rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number such as 1.0842")]
    NotANumber(String),
    /// It is zero, negative or above 10^9.
    #[error("the exchange rate {0} is not above 0 and at most 1000000000")]
    OutOfRange(Decimal),
    /// It has more than twelve decimal places.
    #[error("the exchange rate {0} has more than 12 decimal places")]
    TooFine(Decimal),
}

/// How many units of the one currency one unit of the other is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExchangeRate(Decimal);

impl ExchangeRate {
    /// A currency into itself.
    pub const ONE: Self = Self(Decimal::ONE);
    /// The largest rate: the weakest currencies are some hundred thousand to one.
    const MAX: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
    /// Significant digits of the inverse of a rate. An amount has at most nineteen digits, and an
    /// order of ten million is converted to a hundredth of a minor unit with half of these.
    const INVERSE_DIGITS: u32 = 18;

    /// Parses a decimal number above 0, at most 10^9, with at most twelve decimal places.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let value = Decimal::from_str_exact(text)
            .map_err(|_syntax| RateError::NotANumber(text.chars().take(32).collect()))?;
        Self::from_decimal(value)
    }

    /// Takes a decimal number as an imported rate, within the bounds of [`ExchangeRate::parse`].
    pub fn from_decimal(value: Decimal) -> Result<Self, RateError> {
        let value = value.normalize();
        if value <= Decimal::ZERO || value > Self::MAX {
            return Err(RateError::OutOfRange(value));
        }
        if value.scale() > 12 { Err(RateError::TooFine(value)) } else { Ok(Self(value)) }
    }

    /// The decimal number.
    pub fn as_decimal(self) -> Decimal {
        self.0
    }

    /// One divided by the rate, to eighteen significant digits, a tie to the even one.
    #[must_use]
    pub fn inverse(self) -> Self {
        let exact = Decimal::ONE.checked_div(self.0).unwrap_or(Decimal::ONE);
        let half_even = RoundingStrategy::MidpointNearestEven;
        let rounded = exact.round_sf_with_strategy(Self::INVERSE_DIGITS, half_even);
        Self(rounded.unwrap_or(exact).normalize())
    }
}

impl TryFrom<String> for ExchangeRate {
    type Error = RateError;
    /// A rate from a snapshot may be an inverse, which is finer than an imported one.
    fn try_from(text: String) -> Result<Self, RateError> {
        let value = Decimal::from_str_exact(&text)
            .map_err(|_syntax| RateError::NotANumber(text.chars().take(32).collect()))?;
        let fits = value > Decimal::ZERO && value <= Self::MAX;
        if fits { Ok(Self(value.normalize())) } else { Err(RateError::OutOfRange(value)) }
    }
}

impl From<ExchangeRate> for String {
    fn from(rate: ExchangeRate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for ExchangeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for ExchangeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The rate that an order is bound to from its first commissionable state on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedRate {
    /// The currency of the order.
    pub from: Currency,
    /// The currency that its commission is paid in.
    pub to: Currency,
    /// How many `to` one `from` is.
    pub rate: ExchangeRate,
    /// From when the row that it comes from holds.
    pub effective_from: Timestamp,
    /// The sequence number of that row; 0 for an order that is in the payout currency itself.
    pub seq: u64,
    /// The row is of the opposite pair, and the rate is [`ExchangeRate::inverse`] of what it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inverse: bool,
}

impl LockedRate {
    /// Of an order that is in the payout currency itself.
    fn identity(currency: Currency) -> Self {
        Self {
            from: currency,
            to: currency,
            rate: ExchangeRate::ONE,
            effective_from: Timestamp::UNIX_EPOCH,
            seq: 0,
            inverse: false,
        }
    }

    /// Whether order and payout are in one currency, so that nothing is converted or rounded.
    pub fn is_identity(&self) -> bool {
        self.from == self.to
    }

    /// The commission base of a line in the payout currency, rounded once, half to even, to the
    /// minor unit. The one point at which an amount changes its currency: nothing of an order is
    /// nothing of the payout, so a full refund takes all of it.
    pub fn convert(&self, base: Money) -> Money {
        base.converted(self.rate.as_decimal(), self.to)
    }
}

/// One row of the table of rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateEntry {
    /// Sequence number of the row.
    pub seq: u64,
    /// How many of the quote currency one of the base currency is.
    pub rate: ExchangeRate,
    /// From when the row holds, by the order's time.
    pub effective_from: Timestamp,
}

/// Every rate with its history.
#[derive(Debug, Clone, Default)]
pub struct RateBook {
    entries: HashMap<(Currency, Currency), Vec<RateEntry>>,
    version: u64,
}

impl RateBook {
    /// Adds a row: one `base` is so many `quote`. Rows may come in any order; the version is the
    /// highest sequence number.
    pub fn add(&mut self, base: Currency, quote: Currency, entry: RateEntry) {
        self.version = self.version.max(entry.seq);
        self.entries.entry((base, quote)).or_default().push(entry);
    }

    /// The version: the sequence number of the last row, 0 if there is none.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The rate for an order placed at `at`: of the rows of the pair that were effective by then the
    /// latest, of two for one instant the one recorded last. Only if the pair has none in force, the
    /// opposite pair's, inverted. `None`: not known.
    pub fn lock(&self, from: Currency, to: Currency, at: Timestamp) -> Option<LockedRate> {
        if from == to {
            return Some(LockedRate::identity(to));
        }
        let locked = |entry: &RateEntry, rate: ExchangeRate, inverse: bool| LockedRate {
            from,
            to,
            rate,
            effective_from: entry.effective_from,
            seq: entry.seq,
            inverse,
        };
        if let Some(entry) = self.in_force(from, to, at) {
            return Some(locked(entry, entry.rate, false));
        }
        let entry = self.in_force(to, from, at)?;
        Some(locked(entry, entry.rate.inverse(), true))
    }

    fn in_force(&self, base: Currency, quote: Currency, at: Timestamp) -> Option<&RateEntry> {
        let entries = self.entries.get(&(base, quote))?;
        let held = entries.iter().filter(|entry| entry.effective_from <= at);
        held.max_by_key(|entry| (entry.effective_from, entry.seq))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    pub(crate) fn entry(seq: u64, rate: &str, from: i64) -> RateEntry {
        let effective_from = Timestamp::from_second(from).unwrap();
        RateEntry { seq, rate: ExchangeRate::parse(rate).unwrap(), effective_from }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_rate_is_bounded_and_read_exactly() {
        assert_eq!(ExchangeRate::parse(" 1.08420 ").unwrap().to_string(), "1.0842");
        assert_eq!(ExchangeRate::MAX.to_string(), "1000000000");
        assert!(matches!(ExchangeRate::parse("0"), Err(RateError::OutOfRange(_))));
        assert!(matches!(ExchangeRate::parse("-1"), Err(RateError::OutOfRange(_))));
        assert!(matches!(ExchangeRate::parse("1000000001"), Err(RateError::OutOfRange(_))));
        assert!(matches!(ExchangeRate::parse("0.0000000000001"), Err(RateError::TooFine(_))));
        assert!(matches!(ExchangeRate::parse("1,08"), Err(RateError::NotANumber(_))));
    }

    #[test]
    fn the_row_in_force_at_the_order_time_is_locked() {
        let (eur, usd) = (currency("EUR"), currency("USD"));
        let mut book = RateBook::default();
        book.add(eur, usd, entry(1, "1.10", 100));
        book.add(eur, usd, entry(2, "1.20", 200));
        book.add(eur, usd, entry(3, "1.11", 100));
        let rate = |second| book.lock(eur, usd, at(second)).map(|l| (l.rate.to_string(), l.seq));
        assert_eq!(rate(99), None, "a rate that came later is no guess");
        assert_eq!(rate(100), Some(("1.11".to_owned(), 3)), "a correction of one instant wins");
        assert_eq!(rate(199), Some(("1.11".to_owned(), 3)));
        assert_eq!(rate(200), Some(("1.2".to_owned(), 2)));
        assert_eq!(book.version(), 3);
        let same = book.lock(usd, usd, at(0)).unwrap();
        assert!(same.is_identity());
    }

    #[test]
    fn the_opposite_pair_serves_only_where_there_is_no_direct_one() {
        let (eur, usd) = (currency("EUR"), currency("USD"));
        let mut book = RateBook::default();
        book.add(usd, eur, entry(1, "3", 0));
        let locked = book.lock(eur, usd, at(50)).unwrap();
        assert_eq!(locked.rate.to_string(), "0.333333333333333333");
        assert!(locked.inverse);
        book.add(eur, usd, entry(2, "0.34", 100));
        assert!(book.lock(eur, usd, at(99)).unwrap().inverse);
        let locked = book.lock(eur, usd, at(100)).unwrap();
        assert_eq!((locked.rate.to_string().as_str(), locked.inverse), ("0.34", false));
        let text = serde_json::to_string(&locked).unwrap();
        assert_eq!(serde_json::from_str::<LockedRate>(&text).unwrap(), locked);
        assert_eq!(
            text,
            r#"{"from":"EUR","to":"USD","rate":"0.34","effective_from":"1970-01-01T00:01:40Z","seq":2}"#
        );
    }

    #[test]
    fn a_base_is_rounded_once_half_to_even_to_the_minor_unit_of_the_payout() {
        let convert = |from: &str, to: &str, rate: &str, base: &str| {
            let mut book = RateBook::default();
            book.add(currency(from), currency(to), entry(1, rate, 0));
            let locked = book.lock(currency(from), currency(to), at(0)).unwrap();
            locked.convert(Money::parse(base).unwrap()).to_string()
        };
        assert_eq!(convert("EUR", "USD", "1.0842", "99.00"), "107.34"); // 107.3358
        assert_eq!(convert("EUR", "USD", "0.5", "0.25"), "0.12");
        assert_eq!(convert("EUR", "USD", "0.5", "0.27"), "0.14");
        assert_eq!(convert("USD", "JPY", "149.5", "1.01"), "151.00"); // 150.995
        assert_eq!(convert("JPY", "USD", "0.0067", "1"), "0.01");
        assert_eq!(convert("USD", "KWD", "0.3071", "10.00"), "3.071");
    }

    proptest! {
        /// Nothing stays nothing, more is never less, and the result is within half a minor unit.
        #[test]
        fn conversion_is_monotone_and_near(
            a in 0i64..1_000_000_000, b in 0i64..1_000_000_000, rate in 1i64..10_000_000_000,
        ) {
            let rate = ExchangeRate::from_decimal(Decimal::new(rate, 6)).unwrap();
            let locked = LockedRate { rate, to: currency("USD"), ..LockedRate::identity(currency("EUR")) };
            let money = |cents: i64| Money::from_decimal(Decimal::new(cents, 2)).unwrap();
            let (low, high) = (money(a.min(b)), money(a.max(b)));
            prop_assert!(locked.convert(low) <= locked.convert(high));
            prop_assert_eq!(locked.convert(Money::ZERO), Money::ZERO);
            let exact = high.as_decimal() * rate.as_decimal();
            let off = (locked.convert(high).as_decimal() - exact).abs();
            prop_assert!(off <= Decimal::new(5, 3));
        }

        /// The inverse of the inverse is the rate, to seventeen significant digits.
        #[test]
        fn an_inverse_turns_back(rate in 1i64..1_000_000_000_000) {
            let rate = ExchangeRate::from_decimal(Decimal::new(rate, 6)).unwrap();
            let back = rate.inverse().inverse().as_decimal();
            let off = (back - rate.as_decimal()).abs() / rate.as_decimal();
            prop_assert!(off < Decimal::new(1, 16), "{rate} comes back as {back}");
        }
    }
}
