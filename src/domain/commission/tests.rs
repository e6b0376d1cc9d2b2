mod on_cv;
mod property;
mod worked;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    genealogy::{
        Change, DistributorStatus,
        tests::{append, at, chain, id},
    },
    id::{CommissionClass, LineId, OrderKey},
    money::Currency,
    order::{RefundPolicy, Status},
};

const PLAN: &str = r#"
    id = "test"
    version = 1
    effective_from = "1970-01-01T00:00:00Z"
    rounding = "half_even"

    [[component]]
    kind = "direct"
    id = "direct"
    inactive_referrer = "breakage"
    rates = { supplement = "20 %", beauty = "15 %", wellness = "10 %" }

    [[component]]
    kind = "unilevel"
    id = "unilevel"
    compression = "roll_up"
    rates = { wellness = ["5 %", "4 %", "3 %", "2 %"] }
"#;

/// Without ranks.
fn run(order: MappedOrder, tree: &Genealogy, plan: &Plan) -> Result<Run, NotLoaded> {
    super::run(order, tree, &RankBook::default(), plan)
}

pub(super) fn order(
    tree: &Genealogy,
    plan: &Plan,
    referrer: &str,
    lines: &[(&str, &str)],
) -> MappedOrder {
    MappedOrder {
        key: OrderKey::parse("shopify/acme/1").unwrap(),
        revision: 1,
        status: Status::Paid,
        refund_policy: RefundPolicy::default(),
        placed_at: at(1000),
        currency: Currency::parse("EUR").unwrap(),
        total: Money::ZERO,
        attribution: Attribution { referrer: Some(id(referrer)), ..Attribution::default() },
        locks: Locks {
            genealogy: tree.version(),
            plan: plan.reference.clone(),
            catalog: 1,
            late_lines: BTreeMap::new(),
            rate: None,
            attribution: None,
            ranks: None,
            ranks_hash: None,
        },
        chargebacks: Vec::new(),
        lines: lines
            .iter()
            .enumerate()
            .map(|(number, (class, net))| MappedLine {
                id: LineId::parse(&number.to_string()).unwrap(),
                sku: None,
                class: Some(CommissionClass::parse(class).unwrap()),
                quantity: Decimal::ONE,
                net: Money::parse(net).unwrap(),
                refunded: Money::ZERO,
                base: Money::parse(net).unwrap(),
                payout_base: None,
                zero: None,
                decision: None,
                volume: None,
            })
            .collect(),
    }
}

fn table(run: &Run) -> Vec<(u16, String, String)> {
    run.lines.iter().map(|l| (l.level, l.account.to_string(), l.amount.to_string())).collect()
}

fn row(level: u16, account: &str, amount: &str) -> (u16, String, String) {
    (level, account.to_owned(), amount.to_owned())
}

#[test]
fn the_two_orders_of_the_brief_pay_19_80_and_9_75() {
    let tree = chain(&["11043", "10090"]);
    let plan = Plan::parse(PLAN).unwrap();
    let first = run(order(&tree, &plan, "11043", &[("supplement", "99.00")]), &tree, &plan);
    assert_eq!(table(&first.unwrap()), [row(0, "distributor:11043", "19.80")]);
    let second = run(order(&tree, &plan, "10090", &[("beauty", "65.00")]), &tree, &plan);
    assert_eq!(table(&second.unwrap()), [row(0, "distributor:10090", "9.75")]);
}

#[test]
fn roll_up_passes_the_inactive_and_keeps_the_level() {
    let mut tree = chain(&["top", "sponsor", "a", "b", "referrer"]);
    append(&mut tree, "a", Change::Status(DistributorStatus::Inactive), 10);
    let plan = Plan::parse(PLAN).unwrap();
    let got = run(order(&tree, &plan, "referrer", &[("wellness", "200")]), &tree, &plan).unwrap();
    assert_eq!(
        table(&got),
        [
            row(0, "distributor:referrer", "20.00"),
            row(1, "distributor:b", "10.00"),
            row(2, "distributor:sponsor", "8.00"),
            row(3, "distributor:top", "6.00"),
            row(4, "breakage", "4.00"),
        ]
    );
    assert_eq!(got.lines[4].breakage, Some(Breakage::EndOfUpline));
    let walk: Vec<_> =
        got.walks[&ComponentId::parse("unilevel").unwrap()].iter().map(|s| s.level).collect();
    assert_eq!(walk, [Some(1), None, Some(2), Some(3)]);
}

#[test]
fn what_the_close_computes_pays_nothing_for_an_order() {
    use crate::domain::plan::tests::whole::WHOLE;
    let tree = chain(&["top", "sponsor", "referrer"]);
    let start = WHOLE.find("[[component]]\nkind = \"binary\"").unwrap();
    let texts = [&WHOLE[..start], WHOLE];
    let [orders, whole] = texts.map(|text| {
        let plan = Plan::parse(text).unwrap();
        run(order(&tree, &plan, "referrer", &[("kit", "100")]), &tree, &plan).unwrap()
    });
    assert_eq!(table(&orders)[0], row(0, "distributor:referrer", "10.00"));
    assert_eq!(
        (whole.lines, whole.totals, whole.walks),
        (orders.lines, orders.totals, orders.walks)
    );
}

#[test]
fn without_compression_the_inactive_keeps_the_slot() {
    let mut tree = chain(&["top", "sponsor", "a", "b", "referrer"]);
    append(&mut tree, "a", Change::Status(DistributorStatus::Inactive), 10);
    let plan = Plan::parse(&PLAN.replace("\"roll_up\"", "\"none\"")).unwrap();
    let got = run(order(&tree, &plan, "referrer", &[("wellness", "200")]), &tree, &plan).unwrap();
    assert_eq!(
        table(&got)[1..],
        [
            row(1, "distributor:b", "10.00"),
            row(2, "breakage", "8.00"),
            row(3, "distributor:sponsor", "6.00"),
            row(4, "distributor:top", "4.00"),
        ]
    );
}

#[test]
fn an_inactive_referrer_breaks_or_rolls_up_as_the_plan_says() {
    let mut tree = chain(&["top", "referrer"]);
    append(&mut tree, "referrer", Change::Status(DistributorStatus::Terminated), 10);
    for (choice, account) in [("breakage", "breakage"), ("roll_up", "distributor:top")] {
        let plan = PLAN.replace("referrer = \"breakage\"", &format!("referrer = \"{choice}\""));
        let plan = Plan::parse(&plan).unwrap();
        let got = run(order(&tree, &plan, "referrer", &[("beauty", "100")]), &tree, &plan);
        assert_eq!(table(&got.unwrap()), [row(0, account, "15.00")]);
    }
}

#[test]
fn an_own_purchase_pays_no_direct_and_starts_at_the_sponsor() {
    let tree = chain(&["top", "sponsor", "buyer"]);
    let plan = Plan::parse(PLAN).unwrap();
    let mut own = order(&tree, &plan, "buyer", &[("wellness", "100")]);
    own.attribution = Attribution {
        own_purchase: Some(id("buyer")),
        won_by: WonBy::OwnPurchase,
        ..Attribution::default()
    };
    assert_eq!(
        table(&run(own, &tree, &plan).unwrap())[..2],
        [row(1, "distributor:sponsor", "5.00"), row(2, "distributor:top", "4.00")]
    );
}

#[test]
fn an_order_locked_to_versions_that_are_not_loaded_waits() {
    let tree = chain(&["top"]);
    let plan = Plan::parse(PLAN).unwrap();
    let mut early = order(&tree, &plan, "top", &[]);
    early.locks.genealogy.seq = 7;
    assert_eq!(run(early, &tree, &plan), Err(NotLoaded::Genealogy { wanted: 7, loaded: 1 }));
    let other = Plan::parse(&PLAN.replace("version = 1", "version = 2")).unwrap();
    let order = order(&tree, &other, "top", &[]);
    assert!(matches!(run(order, &tree, &plan), Err(NotLoaded::Plan(_))));
}

proptest! {
    /// pool = paid + breakage under every mode, the pool does not depend on the mode, and events
    /// recorded after the lock change nothing.
    #[test]
    fn money_is_conserved(
        depth in 1usize..12,
        inactive in prop::collection::vec(any::<bool>(), 12),
        nets in prop::collection::vec(1i64..1_000_000, 1..5),
    ) {
        let names: Vec<String> = (0..depth).map(|n| format!("d{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut tree = chain(&names);
        for (name, _) in names.iter().zip(&inactive).filter(|(_, inactive)| **inactive) {
            append(&mut tree, name, Change::Status(DistributorStatus::Inactive), 10);
        }
        let nets: Vec<String> =
            nets.iter().map(|n| Decimal::new(*n, 2).to_string()).collect();
        let lines: Vec<(&str, &str)> = nets.iter().map(|n| ("wellness", n.as_str())).collect();
        let mut pools = Vec::new();
        for text in [PLAN.to_owned(), PLAN.replace("\"roll_up\"", "\"none\"")] {
            let plan = Plan::parse(&text).unwrap();
            let locked = order(&tree, &plan, names[depth - 1], &lines);
            let got = run(locked.clone(), &tree, &plan).unwrap();
            let mut moved = tree.clone();
            append(&mut moved, names[0], Change::Status(DistributorStatus::Terminated), 20);
            append(&mut moved, names[depth - 1], Change::Sponsored(None), 20);
            prop_assert_eq!(&run(locked, &moved, &plan).unwrap(), &got);
            for totals in got.totals.values() {
                prop_assert_eq!(totals.pool, totals.paid + totals.breakage);
            }
            pools.push(got.totals.values().map(|t| t.pool).sum::<Money>());
        }
        prop_assert_eq!(pools[0], pools[1]);
    }
}
