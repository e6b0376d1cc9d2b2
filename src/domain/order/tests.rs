use super::*;

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
