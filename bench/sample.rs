//! A typical order, made by the stages themselves: three lines, of which the first earns on every level
//! of the plan. The benches of single orders and of the ledger share it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use upline::{
    domain::{
        catalog::{Scope, SkuEntry},
        commission::{MappedOrder, RankBook, run},
        digest::Digest,
        genealogy::{Change, Genealogy, GenealogyEvent},
        id::{CommissionClass, DistributorId, Platform, Sku, StoreId},
        order::{OrderEvent, OrderState},
        plan::Plan,
    },
    stage::{
        map::{Company, Mapping, Terms, map},
        message::{Computed, Trace},
        platform::{Parsed, RawEvent, ReferralPlace, ReferralRule, StorePolicy, parse},
    },
};

const EXAMPLE: &str = include_str!("../schemas/examples/shopify/code-discount.json");
/// The class with rates, and one without.
const CLASSES: [(&str, &str); 3] = [("KIT-A", "kit"), ("KIT-B", "book"), ("KIT-C", "book")];
/// The first order id of the platform; 13 digits like Shopify's.
const FIRST_ID: u64 = 5_000_000_000_000;
const PEOPLE: u64 = 10_000;
/// So many stand in one line, and everybody else is below its end: no upline ends too early.
const LEG: u64 = 40;

/// A company whose plan has one unilevel, and its orders.
pub(crate) struct Sample {
    /// The company.
    pub(crate) company: Company,
    /// The plan.
    pub(crate) plan: Plan,
    example: Value,
}

impl Sample {
    /// A company that pays so many levels.
    pub(crate) fn new(levels: u32) -> Self {
        let plan = Plan::parse(&plan(levels)).unwrap();
        let mut company = Company { genealogy: tree(), ..Company::default() };
        company.plans.add(plan.clone());
        for (seq, (sku, class)) in (1..).zip(CLASSES) {
            let sku = Sku::parse(sku).unwrap();
            let entry = SkuEntry {
                seq,
                sku_id: sku.clone(),
                class: CommissionClass::parse(class).unwrap(),
                effective_from: Timestamp::UNIX_EPOCH,
                cv: None,
                qv: None,
            };
            company.catalog.add(Scope::Any, sku, entry);
        }
        Self { company, plan, example: serde_json::from_str(EXAMPLE).unwrap() }
    }

    /// What validate makes of the order with this number.
    pub(crate) fn event(&self, number: u64) -> OrderEvent {
        let mut body = self.example["body"].clone();
        body["id"] = (FIRST_ID + number).into();
        let referrer = LEG + number % (PEOPLE - LEG);
        body["discount_codes"][0]["code"] = format!("REF-{}", distributor(referrer)).into();
        let body = serde_json::to_vec(&body).unwrap();
        let code = ReferralRule {
            from: ReferralPlace::DiscountCode,
            name: None,
            prefix: Some("REF-".to_owned()),
        };
        let policy = StorePolicy { attribution: vec![code], ..StorePolicy::default() };
        let raw = RawEvent {
            platform: Platform::Shopify,
            store: &StoreId::parse("acme").unwrap(),
            topic: self.example["topic"].as_str().unwrap(),
            delivery: "webhook:b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            received_at: trace(0).received_at,
            digest: Digest::of(&body),
            body: &body,
        };
        let Parsed::Facts(mut events) = parse(&raw, &policy).unwrap() else {
            panic!("the example has no facts")
        };
        events.remove(0)
    }

    /// What map makes of it.
    pub(crate) fn mapped(&self, number: u64) -> MappedOrder {
        let event = self.event(number);
        let key = event.key.clone();
        let terms = Terms::of_plan("bench");
        let state = OrderState::of(event);
        let mapping = map(&key, 1, &state, None, &self.company, &terms, &[]);
        let Mapping::Ready(order) = mapping else { panic!("the order is not ready: {mapping:?}") };
        *order
    }

    /// What commission makes of it.
    pub(crate) fn computed(&self, number: u64) -> Computed {
        let run =
            run(self.mapped(number), &self.company.genealogy, &RankBook::default(), &self.plan)
                .unwrap();
        Computed { run, trace: trace(3) }
    }
}

/// A trace that has passed so many stages.
pub(crate) fn trace(stages: i64) -> Trace {
    let at = |stage: i64| Timestamp::from_microsecond(1_790_000_000_123_457 + 1_103 * stage);
    let passed = |stage| (stage <= stages).then(|| at(stage).unwrap());
    Trace {
        received_at: at(0).unwrap(),
        validated_at: passed(1),
        mapped_at: passed(2),
        computed_at: passed(3),
    }
}

fn distributor(number: u64) -> DistributorId {
    DistributorId::parse(&(10_000_000 + number).to_string()).unwrap()
}

fn tree() -> Genealogy {
    let mut tree = Genealogy::default();
    for number in 0..PEOPLE {
        let sponsor = match number {
            0 => None,
            1..=LEG => Some(number - 1),
            // Anybody between the end of the leg and the one before.
            _ => Some(LEG + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (number - LEG)),
        };
        let version = tree.version();
        let mut event = GenealogyEvent {
            seq: version.seq + 1,
            distributor: distributor(number),
            change: Change::Enrolled(sponsor.map(distributor)),
            effective_at: Timestamp::UNIX_EPOCH,
            recorded_at: Timestamp::UNIX_EPOCH,
            hash: Digest::ZERO,
        };
        event.hash = event.chained(&version.hash);
        tree.apply(&event).unwrap();
    }
    tree
}

/// Rates from 5 % downwards, none below 0.25 %.
fn plan(levels: u32) -> String {
    let mut rates = String::new();
    for level in 1..=levels {
        let hundredths = (500 / level).max(25);
        write!(rates, "\"{}.{:02} %\", ", hundredths / 100, hundredths % 100).unwrap();
    }
    format!(
        "id = \"bench\"\nversion = 1\neffective_from = \"2020-01-01T00:00:00Z\"\n\
         rounding = \"half_even\"\n[[component]]\nkind = \"unilevel\"\nid = \"unilevel\"\n\
         compression = \"roll_up\"\nrates = {{ kit = [{rates}] }}\n"
    )
}
