use super::*;
use crate::domain::id::{Operator, Reason};

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// An order of one line: net 100.00, gross 110.00.
fn order(policy: RefundPolicy) -> OrderState {
    let line = Line {
        id: LineId::parse("1").unwrap(),
        sku: None,
        variant: None,
        quantity: Decimal::ONE,
        net: money("100"),
        gross: money("110"),
        refunded: Money::ZERO,
        kind: LineKind::Merchandise,
    };
    let zero = Money::ZERO;
    let snapshot = Snapshot {
        version: Version { at: Timestamp::UNIX_EPOCH, progress: 0, digest: Digest::ZERO },
        placed_at: Timestamp::UNIX_EPOCH,
        status: Status::Paid,
        platform_status: "paid".into(),
        number: None,
        currency: Currency::parse("USD").unwrap(),
        lines: vec![line],
        folded: Vec::new(),
        total: money("110"),
        footing: Footing { rows: zero, header: zero, tolerance: zero, parents: None },
        buyer: None,
        member: None,
        referrals: Vec::new(),
        refund_policy: policy,
        refunds: Some(Vec::new()),
    };
    OrderState { snapshot: Some(Box::new(snapshot)), ..OrderState::default() }
}

fn disputed(stage: ChargebackStage, currency: &str) -> OrderState {
    let chargeback = Chargeback {
        stage,
        id: RefundId::parse("7").unwrap(),
        amount: money("55"),
        currency: Currency::parse(currency).unwrap(),
    };
    let mut known = OrderState::default();
    known.add_chargeback(chargeback);
    known
}

fn earns(state: &OrderState) -> String {
    state.effective().iter().map(|line| line.net).sum::<Money>().to_string()
}

#[test]
fn a_chargeback_takes_from_the_stage_on_that_the_store_chose() {
    use ChargebackPolicy as Policy;
    use ChargebackStage::{Inquiry, Lost, Open, Refunded, Won};
    for (chargebacks, stages, left) in [
        (Policy::WhenLost, vec![Inquiry, Open], "100.00"),
        (Policy::WhenLost, vec![Open, Lost], "50.00"),
        (Policy::WhenOpened, vec![Inquiry], "100.00"),
        (Policy::WhenOpened, vec![Open], "50.00"),
        (Policy::WhenOpened, vec![Won, Open], "100.00"),
        (Policy::WhenOpened, vec![Open, Refunded], "100.00"),
        (Policy::Ignore, vec![Lost], "100.00"),
    ] {
        let policy = RefundPolicy { chargebacks, ..RefundPolicy::default() };
        let told = stages.iter().map(|stage| disputed(*stage, "USD"));
        let state = told.fold(order(policy), OrderState::join);
        assert_eq!(earns(&state), left, "{chargebacks:?} {stages:?}");
    }
}

#[test]
fn a_chargeback_in_another_currency_is_for_a_person() {
    let state = order(RefundPolicy::default()).join(disputed(ChargebackStage::Lost, "EUR"));
    assert_eq!(state.foreign_chargebacks().count(), 1);
    let state = order(RefundPolicy::default()).join(disputed(ChargebackStage::Open, "EUR"));
    assert_eq!(state.foreign_chargebacks().count(), 0);
}

fn decided(second: i64, why: &str, verdict: Verdict) -> OrderState {
    let decision = Decision {
        at: Timestamp::from_second(second).unwrap(),
        by: Operator::parse("ops-7").unwrap(),
        why: Reason::parse(why).unwrap(),
        verdict,
    };
    let subject = decision.verdict.subject();
    OrderState { decisions: [(subject, decision)].into(), ..OrderState::default() }
}

fn takes(second: i64, amount: &str, currency: &str) -> OrderState {
    let verdict = Verdict::Chargeback {
        chargeback: RefundId::parse("7").unwrap(),
        takes: money(amount),
        currency: Currency::parse(currency).unwrap(),
    };
    decided(second, "the bank's letter", verdict)
}

#[test]
fn a_foreign_chargeback_takes_what_was_decided_last() {
    let disputed = order(RefundPolicy::default()).join(disputed(ChargebackStage::Lost, "EUR"));
    assert_eq!(earns(&disputed), "100.00", "nobody knows what it takes");
    let (first, second) = (takes(1, "11", "USD"), takes(2, "33", "USD"));
    for decisions in [[&first, &second], [&second, &first]] {
        let state = decisions.into_iter().cloned().fold(disputed.clone(), OrderState::join);
        assert_eq!(earns(&state), "70.00");
        assert!(state.foreign_chargebacks().all(|(_, decided)| decided.is_some()));
    }
    // Decided while the order was in another currency: the amount means nothing any more.
    let state = disputed.clone().join(takes(3, "11", "GBP"));
    assert!(state.foreign_chargebacks().all(|(_, decided)| decided.is_none()));
    assert_eq!(earns(&disputed.join(takes(4, "0", "USD"))), "100.00");
}

#[test]
fn a_subject_reads_back_what_it_writes_and_stands_as_a_key() {
    let state = takes(1, "1", "USD").join(decided(1, "a", Verdict::Referrer { distributor: None }));
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.contains("\"chargeback:7\":{") && text.contains("\"referrer\":{"), "{text}");
    assert_eq!(serde_json::from_str::<OrderState>(&text).unwrap(), state);
    assert!(Subject::try_from("order:7".to_owned()).is_err());
}

#[test]
fn of_two_decisions_of_one_instant_all_agree_on_one() {
    let nobody = || Verdict::Referrer { distributor: None };
    let (a, b) = (decided(1, "one reason", nobody()), decided(1, "another", nobody()));
    assert_ne!(a, b);
    assert_eq!(a.clone().join(b.clone()), b.join(a));
}

#[test]
fn a_refund_of_a_line_that_is_not_there_is_money_without_lines() {
    let of = |line: &str| {
        let line = LineId::parse(line).unwrap();
        let line =
            RefundLine { line, quantity: Decimal::ONE, net: money("10"), gross: money("11") };
        let refund = Refund {
            id: RefundId::parse("1").unwrap(),
            at: Some(Timestamp::from_second(60).unwrap()),
            detail: Detail::Full,
            lines: vec![line],
            loose: Vec::new(),
        };
        OrderState { refunds: [(refund.id.clone(), refund)].into(), ..OrderState::default() }
    };
    let policy = |without_lines| RefundPolicy { without_lines, ..RefundPolicy::default() };
    assert_eq!(earns(&order(policy(WithoutLines::ProRata)).join(of("gone"))), "90.00");
    assert_eq!(earns(&order(policy(WithoutLines::Ignore)).join(of("gone"))), "100.00");
    let mut folded = order(policy(WithoutLines::ProRata));
    folded.snapshot.as_mut().unwrap().folded.push(LineId::parse("child").unwrap());
    assert_eq!(earns(&folded.join(of("child"))), "100.00");
}

#[test]
fn money_without_lines_can_be_left_with_the_distributors() {
    let refund = Refund {
        id: RefundId::parse("1").unwrap(),
        at: Some(Timestamp::from_second(60).unwrap()),
        detail: Detail::Full,
        lines: Vec::new(),
        loose: vec![LooseMoney { gross: money("11"), against: None }],
    };
    let mut told = OrderState::default();
    told.add_refund(refund);
    for (without_lines, left) in
        [(WithoutLines::ProRata, "90.00"), (WithoutLines::Ignore, "100.00")]
    {
        let policy = RefundPolicy { without_lines, ..RefundPolicy::default() };
        assert_eq!(earns(&order(policy).join(told.clone())), left);
    }
}

fn bin(fact: Fact, delivery: &str, second: i64) -> OrderState {
    let origin = Origin {
        delivery: delivery.into(),
        topic: "bin".into(),
        received_at: Timestamp::from_second(second).unwrap(),
        digest: Digest::ZERO,
    };
    let key = OrderKey::parse("woocommerce/acme/1").unwrap();
    OrderState::of(OrderEvent { key, origin, fact })
}

/// The order was changed at 0 and not since; only receipts tell which came last.
#[test]
fn a_deletion_counts_only_after_the_last_restoration() {
    use Fact::{Deleted, Restored};
    for (told, deleted) in [
        (vec![(Deleted, "a", 300)], true),
        (vec![(Deleted, "a", 300), (Restored, "b", 301)], false),
        (vec![(Deleted, "a", 300), (Restored, "b", 300)], false),
        (vec![(Restored, "b", 299), (Deleted, "a", 300)], true),
        (vec![(Deleted, "a", 300), (Restored, "b", 301), (Deleted, "c", 302)], true),
        // The same restoration once more is not a later one.
        (vec![(Restored, "b", 299), (Deleted, "a", 300), (Restored, "b", 301)], true),
    ] {
        let mut states = told.iter().map(|(fact, name, at)| bin(fact.clone(), name, *at));
        let forward = states.clone().fold(order(RefundPolicy::default()), OrderState::join);
        let first = states.next().unwrap();
        let backward = states.fold(first, |known, next| next.join(known));
        let backward = backward.join(order(RefundPolicy::default()));
        assert_eq!(forward.is_deleted(), deleted, "{told:?}");
        assert_eq!(forward, backward, "{told:?}");
    }
}
