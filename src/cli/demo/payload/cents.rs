//! Money of the sample shops: whole cents, so that nothing can be inexact.

use std::{fmt, iter::Sum};

use rust_decimal::Decimal;

/// An amount in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cents(i64);

impl Cents {
    /// Nothing.
    pub(crate) const ZERO: Self = Self(0);

    /// This many cents.
    pub(crate) const fn new(cents: i64) -> Self {
        Self(cents)
    }

    /// The sum.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount for several units.
    #[must_use]
    pub(crate) fn times(self, units: u64) -> Self {
        Self(self.0.saturating_mul(i64::try_from(units).unwrap_or(i64::MAX)))
    }

    /// The amount with the other sign.
    #[must_use]
    pub(crate) fn negated(self) -> Self {
        Self(self.0.saturating_neg())
    }

    /// `part` of `whole` of an amount that is not negative, to the nearest cent.
    #[must_use]
    pub(crate) fn share(self, part: i64, whole: i64) -> Self {
        let product = self.0.saturating_mul(part).saturating_add(whole.checked_div(2).unwrap_or(0));
        Self(product.checked_div(whole).unwrap_or_default())
    }

    /// The tax of this many basis points that comes on top.
    #[must_use]
    pub(crate) fn tax_on_top(self, basis_points: i64) -> Self {
        self.share(basis_points, 10_000)
    }

    /// The tax of this many basis points that the amount holds.
    #[must_use]
    pub(crate) fn tax_within(self, basis_points: i64) -> Self {
        self.share(basis_points, basis_points.saturating_add(10_000))
    }

    /// Splits the amount over weights: whole cents, the last weight above zero takes the rest.
    pub(crate) fn split(self, weights: &[Self]) -> Vec<Self> {
        let mut weight_left: i64 = weights.iter().fold(0, |sum, w| sum.saturating_add(w.0));
        let mut left = self;
        let mut shares = Vec::with_capacity(weights.len());
        for weight in weights {
            let share = left.share(weight.0, weight_left);
            shares.push(share);
            left = left.minus(share);
            weight_left = weight_left.saturating_sub(weight.0);
        }
        shares
    }

    /// Whether it is nothing.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is more than nothing.
    pub(crate) fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The amount as a decimal number.
    pub(crate) fn decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }

    /// The amount as a JSON number, without zeros at its end.
    pub(crate) fn number(self) -> String {
        self.decimal().normalize().to_string()
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decimal())
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_printed_with_two_places_and_split_without_loss() {
        assert_eq!(Cents::new(1980).to_string(), "19.80");
        assert_eq!(Cents::new(-5).to_string(), "-0.05");
        assert_eq!(Cents::new(2000).number(), "20");
        let weights = [Cents::new(199), Cents::new(199), Cents::ZERO, Cents::new(199)];
        let shares = Cents::new(1000).split(&weights);
        assert_eq!(shares.iter().copied().sum::<Cents>(), Cents::new(1000));
        assert_eq!(shares[2], Cents::ZERO);
    }

    #[test]
    fn tax_is_rounded_to_the_nearest_cent() {
        assert_eq!(Cents::new(3998).tax_within(1900), Cents::new(638));
        assert_eq!(Cents::new(10_000).tax_on_top(825), Cents::new(825));
    }
}
