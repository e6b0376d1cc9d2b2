use proptest::prelude::*;

use super::*;

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn cents() -> impl Strategy<Value = Money> {
    (-10_000_000i64..10_000_000).prop_map(|c| Money(Decimal::new(c, 2)))
}

#[test]
fn input_is_bounded() {
    assert_eq!(money("1e2"), money("100.00"));
    assert_eq!(Money::MAX, Decimal::from(10_000_000_000_000u64));
    assert!(matches!(Money::parse("10000000000000.01"), Err(MoneyError::OutOfRange(_))));
    assert!(matches!(Money::parse("0.1234567"), Err(MoneyError::TooFine(_))));
    assert!(matches!(Money::parse("12,50"), Err(MoneyError::NotANumber(_))));
    assert!(matches!(Money::parse("NaN"), Err(MoneyError::NotANumber(_))));
}

#[test]
fn the_pool_of_10_000_over_three_keeps_its_cent() {
    let thirds = money("10000").split(&[money("1"); 3], money("0.01"));
    assert_eq!(thirds, [money("3333.34"), money("3333.33"), money("3333.33")]);
}

#[test]
fn a_discount_of_10_splits_as_the_platform_splits_it() {
    let shares = money("10").split(&[money("199"); 3], money("0.01"));
    assert_eq!(shares, [money("3.34"), money("3.33"), money("3.33")]);
}

#[test]
fn rates_are_read_as_a_person_writes_them() {
    assert_eq!(Rate::parse("20 %"), Rate::parse("0.2"));
    assert_eq!(Rate::parse("2.5%").unwrap().to_string(), "2.5 %");
    assert!(Rate::parse("-1 %").is_err());
    assert!(Rate::parse("five").is_err());
}

#[test]
fn money_is_written_with_at_least_two_places() {
    assert_eq!(money("19.8").to_string(), "19.80");
    assert_eq!(money("88.2345").to_string(), "88.2345");
    assert_eq!((-money("5")).to_string(), "-5.00");
    assert_eq!((-Money::ZERO).to_string(), "0.00");
}

proptest! {
    #[test]
    fn addition_never_rounds(a in cents(), b in cents()) {
        prop_assert_eq!(a + b - b, a);
    }

    #[test]
    fn a_share_is_within_a_minor_unit(
        base in cents(), rate in 0u32..2000, mode in 0usize..5,
    ) {
        let rate = Rate(Decimal::new(i64::from(rate), 4));
        let exact = base.as_decimal() * rate.as_decimal();
        let got = base.scaled(rate, Rounding::ALL[mode], Currency::parse("EUR").unwrap());
        prop_assert!((got.as_decimal() - exact).abs() < Decimal::new(1, 2));
        let negated = (-base).scaled(rate, Rounding::ALL[mode], Currency::parse("EUR").unwrap());
        prop_assert_eq!(negated, -got);
    }

    #[test]
    fn shares_add_up(
        total in cents(), weights in prop::collection::vec(cents(), 1..12),
    ) {
        let unit = money("0.01");
        let shares = total.split(&weights, unit);
        let weight: Money = weights.iter().map(|w| w.at_least_zero()).sum();
        if weight.is_positive() {
            prop_assert_eq!(shares.iter().copied().sum::<Money>(), total);
            for (share, w) in shares.iter().zip(&weights) {
                let exact = total.share_of(w.at_least_zero(), weight);
                prop_assert!((share.as_decimal() - exact).abs() <= unit.as_decimal());
            }
        }
    }
}

#[test]
fn an_amount_is_written_in_one_way_however_it_came_about() {
    let read = Money::parse("8.4").unwrap();
    let computed = Money::from_decimal(Decimal::new(84_000, 4)).unwrap();
    for money in [read, computed] {
        assert_eq!((money.written().to_string().as_str(), money.written().scale()), ("8.40", 2));
    }
    assert_eq!(Money::parse("0.123456").unwrap().written().scale(), 6);
}
