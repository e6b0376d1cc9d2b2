//! Who an order is attributed to: codes, links, the policy of the store, and what a lock keeps of it.

use super::*;

/// An order of customer c1 whose store asks for these, best first, with a code or without.
pub(super) fn asking(codes: &[(&str, &str)]) -> Snapshot {
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

pub(super) fn policy(unattributed: Unattributed, unknown_referrer: UnknownReferrer) -> Terms {
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
