mod attributed;
mod decided;
mod ranks;
mod volume;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    catalog::{Scope, SkuEntry, tests::entry as sku},
    commission::{RankBook, WonBy, run},
    customer::{LinkKind, Unattributed, UnknownReferrer, tests::link},
    digest::Digest,
    fx::tests::{currency, entry as rate},
    genealogy::{
        Change,
        tests::{append, at, chain},
    },
    id::{LineId, Operator, Reason, RefundId},
    order::{
        Chargeback, ChargebackStage, Decision, Detail, Footing, Line, LooseMoney, Referral, Refund,
        RefundLine, Verdict, Version,
    },
    plan::Plan,
};

const PLAN: &str = r#"
    id = "p"
    version = 1
    effective_from = "1970-01-01T00:00:00Z"
    rounding = "half_even"

    [[component]]
    kind = "direct"
    id = "direct"
    inactive_referrer = "breakage"
    rates = { kit = "10 %" }
"#;

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn company() -> Company {
    let mut company = Company { genealogy: chain(&["top", "d1", "d2"]), ..Company::default() };
    company.catalog.add(Scope::Any, Sku::parse("KIT").unwrap(), sku(1, "kit", 0));
    company.plans.add(Plan::parse(PLAN).unwrap());
    company
}

fn dollars() -> Terms {
    Terms { payout: Some(currency("USD")), ..Terms::of_plan("p") }
}

/// A paid order in euros, placed at second 1000, of one line, referred by d2.
fn snapshot(net: &str) -> Snapshot {
    let line = Line {
        id: LineId::parse("1").unwrap(),
        sku: Some(Sku::parse("KIT").unwrap()),
        variant: None,
        quantity: Decimal::ONE,
        net: money(net),
        gross: money(net),
        refunded: Money::ZERO,
        kind: LineKind::Merchandise,
    };
    Snapshot {
        version: Version { at: at(1000), progress: 0, digest: Digest::ZERO },
        placed_at: at(1000),
        status: Status::Paid,
        platform_status: "paid".into(),
        number: None,
        currency: currency("EUR"),
        lines: vec![line],
        folded: Vec::new(),
        total: money(net),
        footing: Footing {
            rows: Money::ZERO,
            header: Money::ZERO,
            tolerance: Money::ZERO,
            parents: None,
        },
        buyer: Some("c1".into()),
        member: None,
        refund_policy: crate::domain::order::RefundPolicy::default(),
        referrals: vec![Referral { source: "note_attribute:ref".into(), value: "d2".into() }],
        refunds: None,
    }
}

fn state(snapshot: Snapshot) -> OrderState {
    OrderState { snapshot: Some(Box::new(snapshot)), ..OrderState::default() }
}

fn key() -> OrderKey {
    OrderKey::parse("shopify/acme/1").unwrap()
}

fn ready(
    state: &OrderState,
    locks: Option<&Locks>,
    company: &Company,
    terms: &Terms,
) -> MappedOrder {
    match map(&key(), 1, state, locks, company, terms, &[]) {
        Mapping::Ready(order) => *order,
        other @ (Mapping::Parked(_) | Mapping::NoOrderYet) => panic!("{other:?}"),
    }
}

#[test]
fn without_a_payout_currency_nothing_says_a_word_about_rates() {
    let order = ready(&state(snapshot("99")), None, &company(), &Terms::of_plan("p"));
    let text = serde_json::to_string(&order).unwrap();
    assert!(!text.contains("rate") && !text.contains("payout"), "{text}");
    assert_eq!(order.payout_currency(), currency("EUR"));
}

#[test]
fn a_plan_with_a_currency_pays_in_it_whatever_the_store_says() {
    let mut company = company();
    let text = PLAN.replacen("rounding", "currency = \"USD\"\nrounding", 1);
    company.plans.add(Plan::parse(&text).unwrap());
    let paid = state(snapshot("99"));
    for terms in [Terms::of_plan("p"), Terms { payout: Some(currency("CHF")), ..dollars() }] {
        let waits = BTreeSet::from([WaitsFor::Rate(currency("EUR"), currency("USD"))]);
        assert_eq!(map(&key(), 1, &paid, None, &company, &terms, &[]), Mapping::Parked(waits));
    }
    company.rates.add(currency("EUR"), currency("USD"), rate(1, "1.1", 1000));
    let order = ready(&paid, None, &company, &Terms::of_plan("p"));
    assert_eq!(order.payout_currency(), currency("USD"));
    assert_eq!(order.lines[0].payout_base, Some(money("108.90")));
}

#[test]
fn an_order_without_a_rate_waits_and_one_that_earns_nothing_does_not() {
    let mut company = company();
    let waits = BTreeSet::from([WaitsFor::Rate(currency("EUR"), currency("USD"))]);
    let paid = state(snapshot("99"));
    assert_eq!(
        map(&key(), 1, &paid, None, &company, &dollars(), &[]),
        Mapping::Parked(waits.clone())
    );
    company.rates.add(currency("EUR"), currency("USD"), rate(1, "1.1", 1001));
    assert_eq!(map(&key(), 1, &paid, None, &company, &dollars(), &[]), Mapping::Parked(waits));
    let cancelled = state(Snapshot { status: Status::Cancelled, ..snapshot("99") });
    assert_eq!(ready(&cancelled, None, &company, &dollars()).locks.rate, None);
    company.rates.add(currency("EUR"), currency("USD"), rate(2, "1.1", 1000));
    let order = ready(&paid, None, &company, &dollars());
    assert_eq!(order.lines[0].base, money("99"));
    assert_eq!(order.lines[0].payout_base, Some(money("108.90")));
    assert_eq!(order.payout_currency(), currency("USD"));
}

#[test]
fn an_order_in_the_payout_currency_is_not_converted_and_stays_so() {
    let company = company();
    let order = Snapshot { currency: currency("USD"), ..snapshot("99.123456") };
    let order = ready(&state(order), None, &company, &dollars());
    assert!(order.locks.rate.unwrap().is_identity());
    assert_eq!(order.lines[0].payout_base, None);
    // Locked before the store named a payout currency: the order's own, for ever.
    let before = ready(&state(snapshot("99")), None, &company, &Terms::of_plan("p"));
    let after = ready(&state(snapshot("50")), Some(&before.locks), &company, &dollars());
    assert_eq!(after.payout_currency(), currency("EUR"));
}

#[test]
fn a_locked_rate_stays_unless_the_order_changes_its_currency() {
    let mut company = company();
    company.rates.add(currency("EUR"), currency("USD"), rate(1, "1.1", 0));
    let locks = ready(&state(snapshot("99")), None, &company, &dollars()).locks;
    company.rates.add(currency("EUR"), currency("USD"), rate(2, "9", 0));
    let later = ready(&state(snapshot("10")), Some(&locks), &company, &Terms::of_plan("p"));
    assert_eq!(later.lines[0].payout_base, Some(money("11.00")));
    assert_eq!(later.locks, locks);
    let pounds = state(Snapshot { currency: currency("GBP"), ..snapshot("10") });
    let waits = BTreeSet::from([WaitsFor::Rate(currency("GBP"), currency("USD"))]);
    assert_eq!(
        map(&key(), 1, &pounds, Some(&locks), &company, &dollars(), &[]),
        Mapping::Parked(waits)
    );
    company.rates.add(currency("GBP"), currency("USD"), rate(3, "1.3", 0));
    let order = ready(&pounds, Some(&locks), &company, &dollars());
    assert_eq!(order.lines[0].payout_base, Some(money("13.00")));
    assert_eq!(order.locks.rate.unwrap().seq, 3);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Partial refunds lower the commission step by step; the last one takes exactly all of it.
        #[test]
        fn a_full_refund_ends_at_exactly_zero(
            cents in 1i64..10_000_000, millionths in 1i64..200_000_000,
            parts in prop::collection::vec(1i64..1_000_000, 0..4), loose in any::<bool>(),
        ) {
            let mut company = company();
            let text = Decimal::new(millionths, 6).to_string();
            company.rates.add(currency("EUR"), currency("USD"), rate(1, &text, 0));
            let cents_of = |c: i64| Money::from_decimal(Decimal::new(c, 2)).unwrap();
            let mut snapshot = snapshot("0");
            snapshot.lines[0].net = cents_of(cents);
            snapshot.lines[0].gross = cents_of(cents);
            let mut state = state(snapshot);
            let plan = company.plans.in_force("p", Timestamp::UNIX_EPOCH).unwrap().clone();
            let mut paid = ready(&state, None, &company, &dollars());
            let locks = paid.locks.clone();
            let mut last = run(paid.clone(), &company.genealogy, &RankBook::default(), &plan).unwrap().paid();
            let mut left = cents;
            let steps = parts.into_iter().chain([i64::MAX]);
            for (number, part) in steps.enumerate() {
                let part = part.min(left);
                left -= part;
                let id = RefundId::parse(&number.to_string()).unwrap();
                let line = RefundLine {
                    line: LineId::parse("1").unwrap(),
                    quantity: Decimal::ONE,
                    net: cents_of(part),
                    gross: cents_of(part),
                };
                let money = LooseMoney { gross: cents_of(part), against: None };
                let refund = Refund {
                    id: id.clone(),
                    at: None,
                    detail: Detail::Full,
                    lines: if loose { vec![] } else { vec![line] },
                    loose: if loose { vec![money] } else { vec![] },
                };
                state.refunds.insert(id, refund);
                paid = ready(&state, Some(&locks), &company, &dollars());
                let now = run(paid.clone(), &company.genealogy, &RankBook::default(), &plan).unwrap();
                prop_assert!(now.paid() <= last);
                for totals in now.totals.values() {
                    prop_assert_eq!(totals.pool, totals.paid + totals.breakage);
                }
                last = now.paid();
            }
            prop_assert_eq!(paid.lines[0].payout_base, Some(Money::ZERO));
            prop_assert!(last.is_zero());
        }
    }
}

#[test]
fn a_line_added_after_the_lock_keeps_the_class_that_it_first_earned_in() {
    let mut company = company();
    let terms = Terms::of_plan("p");
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    company.catalog.add(Scope::Any, Sku::parse("NEW").unwrap(), sku(2, "kit", 0));
    company.catalog.add(Scope::Any, Sku::parse("KIT").unwrap(), sku(3, "other", 0));
    let mut longer = snapshot("99");
    let mut added = longer.lines[0].clone();
    added.id = LineId::parse("2").unwrap();
    added.sku = Some(Sku::parse("NEW").unwrap());
    longer.lines.push(added);
    let longer = state(longer);
    let second = ready(&longer, Some(&first.locks), &company, &terms);
    company.catalog.add(Scope::Any, Sku::parse("NEW").unwrap(), sku(4, "other", 0));
    let third = ready(&longer, Some(&second.locks), &company, &terms);
    for order in [&second, &third] {
        let classes: Vec<&str> =
            order.lines.iter().map(|line| line.class.as_ref().unwrap().as_str()).collect();
        assert_eq!(classes, ["kit", "kit"]);
    }
    assert_eq!(third.locks, second.locks);
    assert_eq!(third.locks.catalog_needed(), 3);
}
