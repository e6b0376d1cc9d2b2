//! Messages about orders, as a seed describes them.

use proptest::prelude::*;
use rust_decimal::Decimal;
use upline::domain::{
    digest::Digest,
    id::{CommissionClass, DistributorId, LineId, Operator, OrderKey, Reason, RefundId, Sku},
    money::{Currency, Money},
    order::{
        Chargeback, ChargebackPolicy, ChargebackStage, Decision, Detail, Fact, Footing, Line,
        LineKind, LooseMoney, OrderEvent, Origin, Referral, Refund, RefundLine, RefundPolicy,
        Sells, Snapshot, Status, Verdict, Version,
    },
};

use super::{at, money};

/// One message about an order, as a seed describes it.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// Version, status, net cents of the lines, referrer, which refunds it lists.
    Snapshot(i64, Status, Vec<i64>, u8, Option<Vec<u8>>),
    /// Number, time, line and cents taken back, cents without a line.
    Refund(u8, i64, u8, i64, i64),
    /// Receipt time.
    Deleted(i64),
    /// Receipt time.
    Restored(i64),
    /// Number, stage, cents; the second one is in dollars and waits for a decision.
    Chargeback(u8, ChargebackStage, i64),
    /// Time, what it is about, which one, which choice.
    Decision(i64, u8, u8, u8),
}

/// A decision about a line, a chargeback or the referrer.
fn decision(second: i64, about: u8, number: u8, choice: u8) -> Decision {
    let (text, sku) = (number.to_string(), Sku::parse("a").unwrap());
    let class = |class| Sells::Class(CommissionClass::parse(class).unwrap());
    let verdict = match about {
        0 => {
            let sells = [class("a"), class("b"), Sells::Article(sku), Sells::NoCommission];
            let sells = sells[usize::from(choice) % 4].clone();
            Verdict::Line { line: LineId::parse(&text).unwrap(), sells }
        }
        1 => Verdict::Chargeback {
            chargeback: RefundId::parse(&text).unwrap(),
            takes: money(i64::from(choice) * 1_000),
            currency: Currency::parse("EUR").unwrap(),
        },
        _ => {
            let named = (choice < 5).then(|| DistributorId::parse(&format!("d{choice}")).unwrap());
            Verdict::Referrer { distributor: named }
        }
    };
    let why = Reason::parse(&format!("reason {choice}")).unwrap();
    Decision { at: at(second), by: Operator::parse("ops-7").unwrap(), why, verdict }
}

pub(super) fn refund(number: u8, second: i64, line: u8, cents: i64, loose: i64) -> Refund {
    let lines = (cents > 0).then(|| RefundLine {
        line: LineId::parse(&line.to_string()).unwrap(),
        quantity: Decimal::ONE,
        net: money(cents),
        gross: money(cents + cents / 10),
    });
    let loose = (loose > 0).then(|| LooseMoney { gross: money(loose), against: None });
    Refund {
        id: RefundId::parse(&number.to_string()).unwrap(),
        at: Some(at(second)),
        detail: Detail::Full,
        lines: lines.into_iter().collect(),
        loose: loose.into_iter().collect(),
    }
}

fn snapshot(
    version: i64,
    status: Status,
    nets: &[i64],
    referrer: u8,
    listed: Option<&[u8]>,
) -> Snapshot {
    let lines = nets.iter().enumerate().map(|(number, cents)| Line {
        id: LineId::parse(&number.to_string()).unwrap(),
        // Some lines are nothing that anybody could map.
        sku: (cents % 5 != 1).then(|| Sku::parse(if number % 2 == 0 { "a" } else { "b" }).unwrap()),
        variant: None,
        quantity: Decimal::from(1 + cents % 3),
        net: money(*cents),
        gross: money(cents + cents / 10),
        refunded: Money::ZERO,
        kind: LineKind::Merchandise,
    });
    let text = format!("{version}{status:?}{nets:?}{referrer}{listed:?}");
    Snapshot {
        version: Version { progress: 0, at: at(version), digest: Digest::of(text.as_bytes()) },
        placed_at: at(0),
        status,
        platform_status: "told".into(),
        number: None,
        // Now and then the shop has changed the currency of the order.
        currency: Currency::parse(if nets[0] % 4 == 2 { "GBP" } else { "EUR" }).unwrap(),
        lines: lines.collect(),
        folded: vec![LineId::parse("9").unwrap()],
        total: Money::ZERO,
        footing: Footing {
            rows: Money::ZERO,
            header: Money::ZERO,
            tolerance: Money::ZERO,
            parents: None,
        },
        buyer: None,
        member: None,
        refund_policy: RefundPolicy {
            chargebacks: ChargebackPolicy::WhenOpened,
            ..RefundPolicy::default()
        },
        referrals: vec![Referral { source: "test".into(), value: format!("d{referrer}").into() }],
        refunds: listed.map(|numbers| {
            let listed = numbers.iter().map(|n| refund(*n, i64::from(*n), 0, 100, 0));
            listed.map(|r| Refund { detail: Detail::Summary, ..r }).collect()
        }),
    }
}

pub(crate) fn event(order: usize, number: usize, told: &Told) -> OrderEvent {
    let key = OrderKey::parse(&format!("shopify/acme/{order}")).unwrap();
    let (received, fact) = match told {
        Told::Snapshot(version, status, nets, referrer, listed) => {
            let snapshot = snapshot(*version, *status, nets, *referrer, listed.as_deref());
            (1_000, Fact::Snapshot(Box::new(snapshot)))
        }
        Told::Refund(number, second, line, cents, loose) => {
            (1_000, Fact::Refund(refund(*number, *second, *line, *cents, *loose)))
        }
        Told::Deleted(second) => (*second, Fact::Deleted),
        Told::Restored(second) => (*second, Fact::Restored),
        Told::Chargeback(number, stage, cents) => {
            let chargeback = Chargeback {
                stage: *stage,
                id: RefundId::parse(&number.to_string()).unwrap(),
                amount: money(*cents),
                currency: Currency::parse(if *number == 0 { "EUR" } else { "USD" }).unwrap(),
            };
            (1_000, Fact::Chargeback(chargeback))
        }
        Told::Decision(second, about, number, choice) => {
            (1_000, Fact::Decision(decision(*second, *about, *number, *choice)))
        }
    };
    let origin = Origin {
        delivery: format!("{order}:{number}").into(),
        topic: "told".into(),
        received_at: at(received),
        digest: Digest::ZERO,
    };
    OrderEvent { key, origin, fact }
}

pub(crate) fn told() -> impl Strategy<Value = Told> {
    let status = prop_oneof![
        6 => Just(Status::Paid),
        1 => Just(Status::Unpaid),
        1 => Just(Status::Cancelled),
    ];
    let stage = prop_oneof![
        Just(ChargebackStage::Inquiry),
        Just(ChargebackStage::Open),
        Just(ChargebackStage::Won),
        Just(ChargebackStage::Lost),
    ];
    let listed = prop::option::of(prop::collection::vec(0u8..3, 0..3));
    prop_oneof![
        5 => (0i64..8, status, prop::collection::vec(1i64..20_000, 1..4), 0u8..5, listed)
            .prop_map(|(v, s, n, r, l)| Told::Snapshot(v, s, n, r, l)),
        3 => (0u8..3, 0i64..8, 0u8..3, 0i64..9_000, 0i64..3_000)
            .prop_map(|(n, t, l, c, m)| Told::Refund(n, t, l, c, m)),
        1 => (0i64..8).prop_map(Told::Deleted),
        1 => (0i64..8).prop_map(Told::Restored),
        1 => (0u8..2, stage, 1i64..9_000).prop_map(|(n, s, c)| Told::Chargeback(n, s, c)),
        3 => (0i64..4, 0u8..3, 0u8..3, 0u8..6)
            .prop_map(|(t, about, n, choice)| Told::Decision(t, about, n, choice)),
    ]
}
