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

/// An order of customer c1 whose store asks for these, best first, with a code or without.
fn asking(codes: &[(&str, &str)]) -> Snapshot {
    let referral = |(source, value): &(&str, &str)| Referral {
        source: (*source).into(),
        value: (*value).into(),
    };
    Snapshot { referrals: codes.iter().map(referral).collect(), ..snapshot("99") }
}

fn attributed(order: &Snapshot, terms: &Terms, links: &[CustomerLink]) -> (String, WonBy) {
    let state = state(order.clone());
    match map(&key(), 1, &state, None, &company(), terms, links) {
        Mapping::Ready(order) => {
            let people = order.attribution;
            let who = match (people.referrer, people.own_purchase) {
                (Some(referrer), None) => format!("referred by {referrer}"),
                (None, Some(buyer)) => format!("bought by {buyer}"),
                (None, None) => "nobody".to_owned(),
                both => panic!("{both:?}"),
            };
            (who, people.won_by)
        }
        Mapping::Parked(waits) => (format!("{waits:?}"), WonBy::Nobody),
        Mapping::NoOrderYet => panic!("no order"),
    }
}

fn policy(unattributed: Unattributed, unknown_referrer: UnknownReferrer) -> Terms {
    let attribution = AttributionPolicy { unattributed, unknown_referrer };
    Terms { attribution, ..Terms::of_plan("p") }
}

#[test]
fn the_priority_of_the_store_decides_between_codes_and_links() {
    let plain = Terms::of_plan("p");
    let links = [
        link(1, LinkKind::Lifetime, "d1", None, 0),
        link(2, LinkKind::Own, "top", None, 0),
        link(3, LinkKind::Lifetime, "late", None, 2000),
    ];
    let source = |text: &str| WonBy::Source(text.into());
    let [code, life, own] = [("discount_code", "d2"), ("lifetime", ""), ("customer", "")];
    let of =
        |codes: &[(&str, &str)], links: &[CustomerLink]| attributed(&asking(codes), &plain, links);
    assert_eq!(of(&[code, life], &links), ("referred by d2".into(), source("discount_code")));
    assert_eq!(of(&[life, code], &links), ("referred by d1".into(), source("lifetime")));
    assert_eq!(of(&[life, code], &[]), ("referred by d2".into(), source("discount_code")));
    assert_eq!(of(&[own, life], &links), ("bought by top".into(), WonBy::OwnPurchase));
    assert_eq!(of(&[code, own], &links), ("referred by d2".into(), source("discount_code")));
    assert_eq!(of(&[own, life], &links[..1]), ("referred by d1".into(), source("lifetime")));
    let myself = ("discount_code", "top");
    assert_eq!(of(&[myself, own], &links), ("bought by top".into(), WonBy::OwnPurchase));
    assert_eq!(of(&[own, life], &[]), ("nobody".into(), WonBy::Nobody));
    // What the others said is kept.
    let order = ready_with(&asking(&[life, ("discount_code", "d9"), code]), &plain, &links);
    let said: Vec<(&str, &str, bool)> = order
        .attribution
        .candidates
        .iter()
        .map(|c| (c.source.as_ref(), c.value.as_ref(), c.known))
        .collect();
    let stranger = Digest::mark("d9");
    let wanted = [
        ("lifetime", "d1", true),
        ("discount_code", stranger.as_str(), false),
        ("discount_code", "d2", true),
    ];
    assert_eq!(said, wanted);
}

fn ready_with(order: &Snapshot, terms: &Terms, links: &[CustomerLink]) -> MappedOrder {
    match map(&key(), 1, &state(order.clone()), None, &company(), terms, links) {
        Mapping::Ready(order) => *order,
        other @ (Mapping::Parked(_) | Mapping::NoOrderYet) => panic!("{other:?}"),
    }
}

#[test]
fn the_policy_of_the_store_decides_where_nobody_is_known() {
    use Unattributed::{House, None, Park};
    let house = || House(DistributorId::parse("top").unwrap());
    let by = |policy: &str| ("referred by top".to_owned(), WonBy::House(policy.into()));
    let waits = |text: &str| (text.to_owned(), WonBy::Nobody);
    let (stranger, nothing) = (asking(&[("order_tag", "d9")]), asking(&[]));
    let unknown = "{Distributor(DistributorId(\"d9\"))}";
    for (unattributed, unknown_referrer, of_stranger, of_nothing) in [
        (None, UnknownReferrer::Park, waits(unknown), waits("nobody")),
        (None, UnknownReferrer::Next, waits("nobody"), waits("nobody")),
        (Park, UnknownReferrer::Park, waits(unknown), waits("{Referrer}")),
        (Park, UnknownReferrer::Next, waits("{Referrer}"), waits("{Referrer}")),
        (house(), UnknownReferrer::Park, waits(unknown), by("unattributed")),
        (house(), UnknownReferrer::Next, by("unattributed"), by("unattributed")),
        (house(), UnknownReferrer::House, by("unknown_referrer"), by("unattributed")),
    ] {
        let terms = policy(unattributed, unknown_referrer);
        assert_eq!(attributed(&stranger, &terms, &[]), of_stranger, "{terms:?}");
        assert_eq!(attributed(&nothing, &terms, &[]), of_nothing, "{terms:?}");
    }
}

#[test]
fn a_locked_order_keeps_its_links_and_its_policy() {
    let links = [link(1, LinkKind::Lifetime, "d1", Some("shopify/acme/9"), 500)];
    let order = asking(&[("lifetime", "")]);
    let first = ready_with(&order, &Terms::of_plan("p"), &links);
    // An older order and an assignment become known, and the policy changes.
    let more = [
        links[0].clone(),
        link(2, LinkKind::Lifetime, "d2", Some("shopify/acme/8"), 100),
        link(3, LinkKind::Lifetime, "d2", None, 0),
    ];
    let terms = policy(Unattributed::Park, UnknownReferrer::Next);
    let again =
        map(&key(), 1, &state(order.clone()), Some(&first.locks), &company(), &terms, &more);
    assert_eq!(again, Mapping::Ready(Box::new(first)));
    let plain = ready_with(&asking(&[]), &Terms::of_plan("p"), &[]);
    assert_eq!(plain.locks.attribution, None);
    let again = map(&key(), 1, &state(order), Some(&plain.locks), &company(), &terms, &more);
    let Mapping::Ready(again) = again else { panic!("{again:?}") };
    assert_eq!(again.attribution, plain.attribution, "locked before the store asked for links");
}

#[test]
fn the_first_code_that_wins_touches_its_customer_for_good() {
    let plain = Terms::of_plan("p");
    let touch = |order: &Snapshot, links: &[CustomerLink]| {
        first_touch(&ready_with(order, &plain, links), order, links)
    };
    let order = asking(&[("discount_code", "d2"), ("lifetime", "")]);
    let (customer, link) = touch(&order, &[]).unwrap();
    assert_eq!((&*customer.customer, link.distributor.as_str()), ("c1", "d2"));
    assert_eq!((&*link.source, link.effective_from), ("discount_code", at(1000)));
    let later = crate::domain::customer::tests::link(1, LinkKind::Lifetime, "d1", None, 1001);
    assert!(touch(&order, std::slice::from_ref(&later)).is_some(), "placed before what is known");
    assert_eq!(touch(&order, &[CustomerLink { seq: 1, ..link }]), None);
    assert_eq!(touch(&asking(&[("discount_code", "d2")]), &[]), None, "nobody asks for it");
    let guest = Snapshot { buyer: None, ..order };
    assert_eq!(touch(&guest, &[]), None);
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

#[test]
fn a_referral_put_right_after_the_lock_binds_once_and_is_not_taken_over() {
    let mut company = company();
    let terms = Terms::of_plan("p");
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    let mut corrected = snapshot("99");
    corrected.referrals = ["late", "later"]
        .iter()
        .rev()
        .map(|code| Referral { source: "note_attribute:ref".into(), value: (*code).into() })
        .collect();
    let corrected = state(corrected);
    let enrol = |company: &mut Company, who: &str| {
        let sponsor = Some(DistributorId::parse("d1").unwrap());
        append(&mut company.genealogy, who, Change::Enrolled(sponsor), 2000);
    };
    enrol(&mut company, "late");
    let second = ready(&corrected, Some(&first.locks), &company, &terms);
    assert_eq!(second.locks.genealogy, company.genealogy.version());
    enrol(&mut company, "later");
    let third = ready(&corrected, Some(&second.locks), &company, &terms);
    for order in [&second, &third] {
        assert_eq!(order.attribution.referrer.as_ref().unwrap().as_str(), "late");
    }
    assert_eq!(third.locks, second.locks);
}

fn decided(state: OrderState, second: i64, verdict: Verdict) -> OrderState {
    let decision = Decision {
        at: at(second),
        by: Operator::parse("ops-7").unwrap(),
        why: Reason::parse("a letter").unwrap(),
        verdict,
    };
    let subject = decision.verdict.subject();
    state.join(OrderState { decisions: [(subject, decision)].into(), ..OrderState::default() })
}

fn referred(who: Option<&str>) -> Verdict {
    Verdict::Referrer { distributor: who.map(|who| DistributorId::parse(who).unwrap()) }
}

fn sells(sells: Sells) -> Verdict {
    Verdict::Line { line: LineId::parse("1").unwrap(), sells }
}

#[test]
fn a_decided_line_is_no_longer_waited_for_and_holds_before_the_mapping() {
    let (company, terms) = (company(), Terms::of_plan("p"));
    let mut unknown = snapshot("99");
    unknown.lines[0].sku = None;
    let unknown = state(unknown);
    let parked = |state: &OrderState, wait: WaitsFor| {
        let mapping = map(&key(), 1, state, None, &company, &terms, &[]);
        assert_eq!(mapping, Mapping::Parked(BTreeSet::from([wait])));
    };
    parked(&unknown, WaitsFor::Unidentified("1".into()));
    let class = |class: &str| Sells::Class(CommissionClass::parse(class).unwrap());
    let article = |sku: &str| Sells::Article(Sku::parse(sku).unwrap());
    for known in [unknown.clone(), state(snapshot("99"))] {
        let order = ready(&decided(known.clone(), 1, sells(class("gold"))), None, &company, &terms);
        assert_eq!(order.lines[0].class.as_ref().unwrap().as_str(), "gold");
        assert_eq!(order.lines[0].base, money("99"));
        let of = decided(known.clone(), 1, sells(article("article")));
        let order = ready(&of, None, &company, &terms);
        assert_eq!(order.lines[0].class.as_ref().unwrap().as_str(), "kit");
        assert_eq!(order.lines[0].sku.as_ref().unwrap().as_str(), "article");
        let reference = order.lines[0].decision.as_ref().unwrap();
        assert_eq!((reference.by.as_str(), reference.at), ("ops-7", at(1)));
        assert_eq!(reference.digest, of.decisions.values().next().unwrap().digest());
        let order = ready(&decided(of, 2, sells(Sells::NoCommission)), None, &company, &terms);
        assert_eq!(order.lines[0].zero, Some(ZeroReason::Decided));
        let lost = decided(known, 1, sells(article("LOST")));
        parked(&lost, WaitsFor::Article(Sku::parse("LOST").unwrap()));
    }
}

#[test]
fn an_article_that_was_mapped_after_the_lock_binds_the_decided_line_once() {
    let (mut company, terms) = (company(), Terms::of_plan("p"));
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    let row =
        |seq, sku_id, class| SkuEntry { sku_id: Sku::parse(sku_id).unwrap(), ..sku(seq, class, 0) };
    company.catalog.add(Scope::Any, Sku::parse("Z").unwrap(), row(2, "later", "kit"));
    let article = Sells::Article(Sku::parse("later").unwrap());
    let known = decided(state(snapshot("99")), 1, sells(article));
    let second = ready(&known, Some(&first.locks), &company, &terms);
    company.catalog.add(Scope::Any, Sku::parse("Z").unwrap(), row(3, "later", "other"));
    let third = ready(&known, Some(&second.locks), &company, &terms);
    assert_eq!(third.lines[0].class.as_ref().unwrap().as_str(), "kit");
    assert_eq!(third.locks, second.locks);
}

#[test]
fn a_decided_referrer_holds_before_every_source_and_policy() {
    use Unattributed::{House, None as Nothing, Park};
    let company = company();
    let links = [link(1, LinkKind::Own, "top", None, 0)];
    let house = || House(DistributorId::parse("top").unwrap());
    let [code, stranger, own] = [("order_tag", "d2"), ("order_tag", "d9"), ("customer", "")];
    let told = |who: Option<&str>, codes: &[(&str, &str)], unattributed, links: &[CustomerLink]| {
        let known = decided(state(asking(codes)), 1, referred(who));
        let terms = policy(unattributed, UnknownReferrer::Park);
        let Mapping::Ready(order) = map(&key(), 1, &known, None, &company, &terms, links) else {
            panic!("not ready");
        };
        let people = order.attribution;
        assert_eq!(people.decision.unwrap().by.as_str(), "ops-7");
        let who = people.referrer.or(people.own_purchase);
        (who.map(|who| who.to_string()).unwrap_or_default(), people.won_by)
    };
    let d1 = || ("d1".to_owned(), WonBy::Decision);
    assert_eq!(told(Some("d1"), &[code], Nothing, &[]), d1());
    assert_eq!(told(Some("d1"), &[stranger], house(), &[]), d1());
    assert_eq!(told(Some("d1"), &[own], Park, &links), d1());
    assert_eq!(told(Some("top"), &[own], Park, &links), ("top".to_owned(), WonBy::OwnPurchase));
    let nobody = || (String::new(), WonBy::Decision);
    assert_eq!(told(None, &[code], Nothing, &[]), nobody());
    assert_eq!(told(None, &[stranger], Park, &[]), nobody());
    let by_house = ("top".to_owned(), WonBy::House("unattributed".into()));
    assert_eq!(told(None, &[stranger], house(), &[]), by_house);
    assert_eq!(told(None, &[own], Park, &links), ("top".to_owned(), WonBy::OwnPurchase));
}

#[test]
fn a_decided_distributor_whom_nobody_knows_is_waited_for_and_binds_once() {
    let (mut company, terms) = (company(), Terms::of_plan("p"));
    let first = ready(&state(snapshot("99")), None, &company, &terms);
    // A folded code D1 would mean d1; an id that a person gives is taken as it stands.
    let known = decided(state(snapshot("99")), 1, referred(Some("D1")));
    let waits = BTreeSet::from([WaitsFor::Distributor(DistributorId::parse("D1").unwrap())]);
    let mapping = map(&key(), 2, &known, Some(&first.locks), &company, &terms, &[]);
    assert_eq!(mapping, Mapping::Parked(waits));
    let sponsor = Some(DistributorId::parse("d1").unwrap());
    append(&mut company.genealogy, "D1", Change::Enrolled(sponsor.clone()), 2000);
    let second = ready(&known, Some(&first.locks), &company, &terms);
    assert_eq!(second.attribution.referrer.as_ref().unwrap().as_str(), "D1");
    assert_eq!(second.locks.genealogy, company.genealogy.version());
    append(&mut company.genealogy, "later", Change::Enrolled(sponsor), 3000);
    assert_eq!(ready(&known, Some(&second.locks), &company, &terms).locks, second.locks);
}

#[test]
fn a_foreign_chargeback_is_waited_for_until_it_is_decided() {
    let (company, terms) = (company(), Terms::of_plan("p"));
    let chargeback = Chargeback {
        stage: ChargebackStage::Lost,
        id: RefundId::parse("7").unwrap(),
        amount: money("50"),
        currency: currency("USD"),
    };
    let mut disputed = state(snapshot("99"));
    disputed.chargebacks.insert(chargeback.id.clone(), chargeback.clone());
    let waits = BTreeSet::from([WaitsFor::Chargeback(chargeback.id.clone(), currency("USD"))]);
    let mapping = map(&key(), 1, &disputed, None, &company, &terms, &[]);
    assert_eq!(mapping, Mapping::Parked(waits));
    let takes = |amount: &str| Verdict::Chargeback {
        chargeback: chargeback.id.clone(),
        takes: money(amount),
        currency: currency("EUR"),
    };
    let order = ready(&decided(disputed.clone(), 1, takes("33")), None, &company, &terms);
    assert_eq!(order.lines[0].base, money("66"));
    assert_eq!(order.chargebacks[0].takes, money("33"));
    let order = ready(&decided(disputed, 1, takes("1000")), None, &company, &terms);
    assert_eq!(order.lines[0].base, Money::ZERO);
}
