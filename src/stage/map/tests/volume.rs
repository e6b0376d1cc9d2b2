//! What an order line counts, for whom, and what refunds leave of it.

use super::*;
use crate::domain::{
    commission::{VolumeLine, VolumeSource},
    id::Operator,
    order::Decision,
    volume::Volume,
};

const VOLUMES: &str = r#"
    [volumes]
    pv = "qv"
    group = "pv"
    retail_orders = "referrer"
    negative_volume = "carry"
    conversion = "1"
    qv = { source = "catalogue", missing = "net" }
    cv = { source = "catalogue", missing = "zero" }
"#;

/// The company with a plan with volumes: a kit has 40 QV and 32.5 CV, a gadget states none.
fn counting(volumes: &str) -> Company {
    let mut company = company();
    company.plans.add(Plan::parse(&format!("{PLAN}{volumes}")).unwrap());
    let stated = |text| Some(Volume::parse(text).unwrap());
    let kit = SkuEntry { qv: stated("40"), cv: stated("32.5"), ..sku(2, "kit", 0) };
    company.catalog.add(Scope::Any, Sku::parse("KIT").unwrap(), kit);
    company.catalog.add(Scope::Any, Sku::parse("GADGET").unwrap(), sku(3, "kit", 0));
    company
}

/// An order of so many kits for so much.
fn kits(units: i64, net: &str) -> Snapshot {
    let mut order = snapshot(net);
    order.lines[0].quantity = Decimal::from(units);
    order
}

/// A refund of units of the line with money for them, and of money without units.
fn refund(id: &str, units: i64, net: &str, loose: &str) -> Refund {
    let line = LineId::parse("1").unwrap();
    let money_back = money(net);
    let line =
        RefundLine { line, quantity: Decimal::from(units), net: money_back, gross: money_back };
    let loose = LooseMoney { gross: money(loose), against: None };
    Refund {
        id: RefundId::parse(id).unwrap(),
        at: Some(at(1001)),
        detail: Detail::Full,
        lines: if units > 0 || money_back.is_positive() { vec![line] } else { Vec::new() },
        loose: if loose.gross.is_positive() { vec![loose] } else { Vec::new() },
    }
}

fn after(order: Snapshot, refunds: &[Refund]) -> OrderState {
    let refunds = refunds.iter().map(|refund| (refund.id.clone(), refund.clone())).collect();
    OrderState { refunds, ..state(order) }
}

fn volumes(state: &OrderState, company: &Company, terms: &Terms) -> Vec<VolumeLine> {
    let order = ready(state, None, company, terms);
    let plan = company.plans.get(&order.locks.plan).unwrap();
    run(order, &company.genealogy, &RankBook::default(), plan).unwrap().volumes.unwrap()
}

/// QV and CV of the only line; PV must be the QV, and all of it the referrer's.
fn counted(order: Snapshot, refunds: &[Refund]) -> String {
    let lines = volumes(&after(order, refunds), &counting(VOLUMES), &Terms::of_plan("p"));
    let [line] = &lines[..] else { return format!("{} lines", lines.len()) };
    assert_eq!((line.distributor.as_str(), line.source), ("d2", VolumeSource::Retail));
    assert_eq!(line.amount.pv, line.amount.qv);
    format!("{} {}", line.amount.qv, line.amount.cv)
}

#[test]
fn a_refund_of_units_takes_the_volume_of_these_units() {
    assert_eq!(counted(kits(3, "10.00"), &[]), "120 97.5");
    // The cents of a third do not show in the volume.
    assert_eq!(counted(kits(3, "10.00"), &[refund("1", 1, "3.34", "0")]), "80 65");
    let two = [refund("1", 1, "3.34", "0"), refund("2", 1, "3.33", "0")];
    assert_eq!(counted(kits(3, "10.00"), &two), "40 32.5");
    // A fee that the shop keeps earns, but the unit is back.
    assert_eq!(counted(kits(2, "100"), &[refund("1", 1, "40", "0")]), "40 32.5");
    assert_eq!(counted(kits(2, "100"), &[refund("1", 2, "80", "0")]), "0 0");
    // An exchange: a unit comes back and no money goes.
    assert_eq!(counted(kits(2, "100"), &[refund("1", 1, "0", "0")]), "80 65");
    // More units than there are.
    assert_eq!(counted(kits(2, "100"), &[refund("1", 5, "60", "0")]), "0 0");
}

#[test]
fn money_without_units_takes_its_share_of_the_rest() {
    assert_eq!(counted(kits(2, "100"), &[refund("1", 0, "0", "10")]), "72 58.5");
    assert_eq!(counted(kits(2, "100"), &[refund("1", 0, "10", "0")]), "72 58.5");
    // One unit is back, and of the money for the other one a fifth.
    let both = [refund("1", 1, "50", "0"), refund("2", 0, "0", "10")];
    assert_eq!(counted(kits(2, "100"), &both), "32 26");
    let reversed = [both[1].clone(), both[0].clone()];
    assert_eq!(counted(kits(2, "100"), &reversed), "32 26");
    assert_eq!(counted(kits(1, "3"), &[refund("1", 0, "0", "1")]), "26.6666 21.6666");
}

#[test]
fn of_a_full_refund_nothing_is_left() {
    for all in [
        vec![refund("1", 3, "10", "0")],
        vec![refund("1", 0, "0", "10")],
        vec![refund("1", 1, "3.33", "0"), refund("2", 0, "0", "6.67")],
        vec![refund("1", 1, "3.33", "0"), refund("2", 2, "6.67", "0")],
    ] {
        assert_eq!(counted(kits(3, "10.00"), &all), "0 lines", "{all:?}");
    }
    let cancelled = Snapshot { status: Status::Cancelled, ..kits(3, "10.00") };
    assert_eq!(counted(cancelled, &[]), "0 lines");
}

#[test]
fn a_partial_cancellation_is_a_snapshot_with_fewer_units() {
    assert_eq!(counted(kits(2, "6.67"), &[]), "80 65");
}

#[test]
fn an_article_without_a_stated_volume_has_what_the_plan_says() {
    let mut order = kits(3, "10.00");
    order.lines[0].sku = Some(Sku::parse("GADGET").unwrap());
    assert_eq!(counted(order.clone(), &[]), "10 0");
    assert_eq!(counted(order.clone(), &[refund("1", 1, "3.34", "0")]), "6.66 0");
    // A class that a person decided is no article: whatever the SKU says.
    let kit = after(kits(3, "10.00"), &[]);
    let class = Sells::Class(CommissionClass::parse("kit").unwrap());
    let by_class = decided(kit.clone(), class);
    let company = counting(VOLUMES);
    let [line] = &volumes(&by_class, &company, &Terms::of_plan("p"))[..] else { panic!() };
    assert_eq!((line.amount.qv.to_string(), line.amount.cv), ("10".into(), Volume::ZERO));
    let nothing = decided(kit, Sells::NoCommission);
    assert_eq!(volumes(&nothing, &company, &Terms::of_plan("p")), []);
}

fn decided(state: OrderState, sells: Sells) -> OrderState {
    let line = LineId::parse("1").unwrap();
    let verdict = Verdict::Line { line, sells };
    let (by, why) = (Operator::parse("ops-7").unwrap(), Reason::parse("because").unwrap());
    let decision = Decision { at: at(1001), by, why, verdict };
    let decisions = [(decision.verdict.subject(), decision)].into();
    OrderState { decisions, ..state }
}

#[test]
fn gift_cards_and_tips_have_no_volume() {
    for kind in [LineKind::GiftCard, LineKind::Tip] {
        let mut order = kits(1, "100");
        order.lines[0].kind = kind;
        assert_eq!(counted(order, &[]), "0 lines", "{kind:?}");
    }
}

#[test]
fn an_own_purchase_is_the_buyers_and_the_plan_says_whose_pv_a_customers_order_is() {
    let own = Snapshot { member: Some("d2".into()), ..kits(1, "100") };
    let retail = kits(1, "100");
    let nobody = VOLUMES.replace("\"referrer\"", "\"nobody\"");
    for (order, plan, source, pv) in [
        (&own, VOLUMES, VolumeSource::OwnUse, "40"),
        (&own, &nobody, VolumeSource::OwnUse, "40"),
        (&retail, VOLUMES, VolumeSource::Retail, "40"),
        (&retail, &nobody, VolumeSource::Retail, "0"),
    ] {
        let lines = volumes(&state(order.clone()), &counting(plan), &Terms::of_plan("p"));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.distributor.as_str(), line.source), ("d2", source));
        let told = [line.amount.pv, line.amount.qv, line.amount.cv].map(|v| v.to_string());
        assert_eq!(told, [pv, "40", "32.5"], "{source}");
    }
}

#[test]
fn an_order_of_nobody_has_no_volume_and_says_why() {
    let order = Snapshot { referrals: Vec::new(), ..kits(1, "100") };
    let company = counting(VOLUMES);
    assert_eq!(volumes(&state(order.clone()), &company, &Terms::of_plan("p")), []);
    let mapped = ready(&state(order), None, &company, &Terms::of_plan("p"));
    assert_eq!(
        (mapped.lines[0].zero, &mapped.lines[0].volume),
        (Some(ZeroReason::NoReferrer), &None)
    );
}

#[test]
fn a_share_of_the_net_is_of_what_commission_is_paid_on() {
    let plan = VOLUMES
        .replace("source = \"catalogue\", missing = \"zero\"", "source = \"net\", rate = \"80 %\"");
    let mut company = counting(&plan);
    company.rates.add(currency("EUR"), currency("USD"), rate(1, "1.5", 0));
    let order = state(kits(2, "10.00"));
    let cv = |terms: &Terms| volumes(&order, &company, terms)[0].amount.cv.to_string();
    assert_eq!((cv(&Terms::of_plan("p")), cv(&dollars())), ("8".into(), "12".into()));
}

#[test]
fn the_catalogue_that_the_order_is_locked_to_states_the_volume() {
    let mut company = counting(VOLUMES);
    let order = state(kits(1, "100"));
    let first = ready(&order, None, &company, &Terms::of_plan("p"));
    let dearer = SkuEntry { qv: Some(Volume::points(99)), ..sku(9, "kit", 0) };
    company.catalog.add(Scope::Any, Sku::parse("KIT").unwrap(), dearer);
    let stated = |locks: Option<&Locks>| {
        let order = ready(&order, locks, &company, &Terms::of_plan("p"));
        order.lines[0].volume.as_ref().unwrap().qv
    };
    assert_eq!(stated(Some(&first.locks)), Some(Volume::points(40)));
    assert_eq!(stated(None), Some(Volume::points(99)));
}

/// Byte for byte what it was: neither the order nor the calculation says a word.
#[test]
fn a_plan_without_volumes_leaves_no_trace() {
    let company = counting("");
    let order = ready(&state(kits(2, "100")), None, &company, &Terms::of_plan("p"));
    let plan = company.plans.get(&order.locks.plan).unwrap();
    let run = run(order, &company.genealogy, &RankBook::default(), plan).unwrap();
    assert_eq!(run.volumes, None);
    let text = serde_json::to_string(&run).unwrap();
    assert!(!text.contains("volume") && !text.contains("units"), "{text}");
}

#[test]
fn what_an_order_counts_reads_back() {
    let company = counting(VOLUMES);
    let order = ready(&state(kits(2, "100")), None, &company, &Terms::of_plan("p"));
    let plan = company.plans.get(&order.locks.plan).unwrap();
    let run = run(order, &company.genealogy, &RankBook::default(), plan).unwrap();
    let text = serde_json::to_string(&run).unwrap();
    let told = r#""volumes":[{"line":"1","distributor":"d2","source":"retail","pv":"80","qv":"80","cv":"65"}]"#;
    assert!(text.contains(told), "{text}");
    let basis = r#""volume":{"qv":"40","cv":"32.5","units":"2","units_net":"100.00"}"#;
    assert!(text.contains(basis), "{text}");
    assert_eq!(serde_json::from_str::<crate::domain::commission::Run>(&text).unwrap(), run);
}
