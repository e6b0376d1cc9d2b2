//! Sharing a sum by weight, to the last minor unit.

use std::cmp::Reverse;

use crate::domain::money::{Currency, Money};

/// Shares a sum by weight: the whole units of each exact share, and one more unit each for those with
/// the largest remainders, of equal ones the first. In whole numbers, for equal remainders must be
/// seen as equal. Nothing for weights that are all zero; sum and weights are not negative.
pub(super) fn split(sum: Money, weights: &[i128], currency: Currency) -> Vec<Money> {
    let units = sum.units(currency);
    let total = weights.iter().fold(0i128, |total, weight| total.saturating_add(*weight));
    let exact = |weight: &i128| units.saturating_mul(*weight);
    let mut shares: Vec<i128> =
        weights.iter().map(|weight| exact(weight).checked_div(total).unwrap_or_default()).collect();
    let rest = shares.iter().fold(units, |rest, share| rest.saturating_sub(*share));
    let rest = usize::try_from(rest).unwrap_or_default();
    if total > 0 && rest > 0 {
        let remainder = |weight: &i128| exact(weight).checked_rem(total).unwrap_or_default();
        let mut order: Vec<(Reverse<i128>, usize)> =
            weights.iter().enumerate().map(|(index, w)| (Reverse(remainder(w)), index)).collect();
        let rest = rest.min(order.len());
        if rest < order.len() {
            order.select_nth_unstable(rest);
        }
        for (_, index) in order.iter().take(rest) {
            if let Some(share) = shares.get_mut(*index) {
                *share = share.saturating_add(1);
            }
        }
    }
    shares.into_iter().map(|units| Money::of_units(units, currency)).collect()
}

/// Amounts as weights.
pub(super) fn weights(amounts: impl Iterator<Item = Money>, currency: Currency) -> Vec<i128> {
    amounts.map(|amount| amount.units(currency).max(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_cent_goes_to_the_first_of_equals() {
        let eur = Currency::parse("EUR").unwrap();
        let split = |sum: &str, weights: &[i128]| -> Vec<String> {
            let shares = split(Money::parse(sum).unwrap(), weights, eur);
            shares.iter().map(Money::to_string).collect()
        };
        assert_eq!(split("10000", &[1, 1, 1]), ["3333.34", "3333.33", "3333.33"]);
        // 33.33 1/3 and 3333.33 1/3: the remainders are equal, whatever stands before the point.
        assert_eq!(split("3400.00", &[1, 1, 100]), ["33.34", "33.33", "3333.33"]);
        assert_eq!(split("0.05", &[0, 3, 1]), ["0.00", "0.04", "0.01"]);
        assert_eq!(split("5", &[0, 0]), ["0.00", "0.00"]);
    }
}
