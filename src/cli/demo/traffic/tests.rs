use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    cli::demo::company::{SkuRow, Standing, late_sku, sku_rows},
    domain::{
        catalog::{Catalog, Scope, SkuEntry},
        commission::{Account, RankBook, run},
        digest::Digest,
        genealogy::{Change, DistributorStatus, Genealogy, GenealogyEvent},
        id::{CommissionClass, DistributorId, OrderKey, Platform, Sku, StoreId},
        order::{Fact, OrderEvent, OrderState},
        plan::{Plan, PlanBook},
    },
    pipeline::Pipelines,
    stage::{
        map::{Company, Mapping, Terms, WaitsFor, map},
        platform::{Parsed, RawEvent, StorePolicy, parse},
    },
};

const SEED: u64 = 11;

fn base() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn traffic(orders: usize) -> (Secrets, Traffic) {
    traffic_of(SEED, orders)
}

fn traffic_of(seed: u64, orders: usize) -> (Secrets, Traffic) {
    let secrets = Secrets::sample(seed);
    let traffic = plan(seed, orders, &secrets, base());
    (secrets, traffic)
}

fn header<'s>(shot: &'s Shot, name: &str) -> Option<&'s str> {
    let found = shot.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

#[test]
fn one_seed_is_one_day_of_traffic() {
    let (_, first) = traffic(300);
    let (_, second) = traffic(300);
    let bodies = |traffic: &Traffic| -> Vec<(String, Vec<u8>)> {
        traffic.shots.iter().map(|shot| (shot.path.clone(), shot.body.clone())).collect()
    };
    assert!(bodies(&first) == bodies(&second));
    assert_eq!(first.expected.totals, second.expected.totals);
}

#[test]
fn there_is_some_of_everything() {
    let (_, traffic) = traffic(3_000);
    let expected = &traffic.expected;
    assert_eq!(expected.orders.len(), 3_000, "keys are unique");
    assert_eq!(expected.shots.values().sum::<usize>(), traffic.shots.len());
    let share = |prefix: &str| {
        expected.orders.keys().filter(|key| key.starts_with(prefix)).count().div_ceil(30)
    };
    assert!((39..=41).contains(&share("shopify/acme-us/")));
    assert!((29..=31).contains(&share("woocommerce/")));
    assert!((19..=21).contains(&share("magento/")));
    let within = |kind, low: usize, high: usize| {
        let found = expected.count(kind);
        assert!((low..=high).contains(&found), "{kind:?}: {found}");
    };
    within(ShotKind::Duplicate, 300, 600);
    within(ShotKind::Resent, 40, 200);
    within(ShotKind::BadSignature, 80, 130);
    within(ShotKind::Stale, 150, 700);
    within(ShotKind::UnknownSku, 25, 90);
    within(ShotKind::Echo, 100, 300);
    within(ShotKind::NotAnOrder, 20, 40);
    within(ShotKind::Ping, 2, 2);
    assert_eq!(expected.parked(), 30);
    let taken_back = expected.orders.values().filter(|order| order.taken_back).count();
    assert!((60..=180).contains(&taken_back), "{taken_back}");
    assert!(expected.forged.iter().all(|key| !expected.orders.contains_key(key)));
    for ending in [Ending::Unpaid, Ending::Cancelled, Ending::Draft, Ending::Test] {
        assert!(expected.orders.values().any(|order| order.status == ending), "{ending:?}");
    }
    assert!(traffic.shots.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn the_named_orders_come_to_what_everybody_knows() {
    for orders in [3, 50] {
        let (_, traffic) = traffic(orders);
        assert_eq!(traffic.expected.orders.len(), orders);
        let due = |id: &str| traffic.expected.orders[&format!("shopify/api/{id}")].due.clone();
        assert_eq!(due("301").paid.to_string(), "19.80");
        assert_eq!(due("301").amounts["11043"].to_string(), "19.80");
        assert_eq!(due("302").paid.to_string(), "9.75");
        assert_eq!(due("302").amounts["10090"].to_string(), "9.75");
        let kit = due("587364120");
        assert_eq!(kit.net.to_string(), "96.92");
        assert_eq!(kit.amounts["ABC123"].to_string(), "9.69");
        assert_eq!((kit.paid + kit.breakage).to_string(), "21.33");
    }
}

#[test]
fn sums_are_the_sums_of_the_orders() {
    let (_, traffic) = traffic(400);
    for (currency, totals) in &traffic.expected.totals {
        let of = traffic.expected.orders.values().filter(|order| order.currency == *currency);
        let paid: Decimal = of.clone().map(|order| order.due.paid).sum();
        let by_people: Decimal = totals.amounts.values().sum();
        assert_eq!((totals.paid, by_people), (paid, paid));
        assert_eq!(totals.breakage, of.map(|order| order.due.breakage).sum());
    }
    assert_eq!(traffic.expected.totals.len(), 3);
}

#[test]
fn signatures_are_right_where_they_should_be() {
    let (secrets, traffic) = traffic(500);
    let mut old = 0;
    for shot in &traffic.shots {
        let hmac = |secret: &str| send::hmac(secret, &shot.body);
        let believed = if shot.path.starts_with("/webhooks/shopify") {
            let claimed = header(shot, "x-shopify-hmac-sha256").unwrap_or_default();
            let is = |secret| STANDARD.encode(hmac(secret)) == claimed;
            old += usize::from(is(&secrets.shopify_old));
            is(&secrets.shopify) || is(&secrets.shopify_old)
        } else if shot.path.starts_with("/webhooks/woocommerce") {
            assert_eq!(shot.http, HttpVersion::Http10);
            header(shot, "x-wc-webhook-signature")
                .is_some_and(|claimed| claimed == STANDARD.encode(hmac(&secrets.woocommerce)))
        } else if shot.path.starts_with("/webhooks/magento/acme-mx/sales.order.") {
            header(shot, "x-magento-signature")
                .is_some_and(|claimed| claimed == hex::encode(hmac(&secrets.magento)))
        } else {
            assert!(["/v1/orders", "/api/mlm/orders"].contains(&shot.path.as_str()));
            header(shot, "authorization") == Some(&format!("Bearer {}", secrets.api))
        };
        let expected = match (shot.kind, shot.path.starts_with("/webhooks/")) {
            (ShotKind::BadSignature, _) => (false, 401),
            (ShotKind::Ping, _) => (false, 200),
            (_, true) => (true, 200),
            (_, false) => (true, 202),
        };
        assert_eq!((believed, shot.expect_status), expected, "{:?} {}", shot.kind, shot.path);
    }
    assert!(old > 0, "some are signed with the secret before the rotation");
    // Known from the tests of a public library for Shopify's webhooks.
    let known = STANDARD.encode(send::hmac("hush", b"\"my secret message\""));
    assert_eq!(known, "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI=");
}

/// The transport key of a delivery, as far as it matters here: what makes it the same one.
fn transport(shot: &Shot) -> (String, String, Vec<u8>) {
    let topic = header(shot, "x-shopify-topic").or_else(|| header(shot, "x-wc-webhook-topic"));
    let id = header(shot, "x-shopify-webhook-id").or_else(|| header(shot, "idempotency-key"));
    let body = if id.is_some() { Vec::new() } else { shot.body.clone() };
    (shot.path.clone(), format!("{topic:?} {id:?}"), body)
}

#[test]
fn duplicates_and_nothing_else_repeat_a_delivery() {
    let (_, traffic) = traffic(600);
    let mut seen = BTreeSet::new();
    let mut repeated = 0;
    for shot in &traffic.shots {
        if !matches!(shot.kind, ShotKind::BadSignature | ShotKind::Ping) {
            repeated += usize::from(!seen.insert(transport(shot)));
        }
    }
    assert_eq!(repeated, traffic.expected.count(ShotKind::Duplicate));
}

/// The pipeline's own stages over the same company.
struct Stages {
    company: Company,
    policies: HashMap<StoreId, StorePolicy>,
}

impl Stages {
    fn new(seed: u64, secrets: &Secrets) -> Self {
        let mut catalog = Catalog::default();
        for row in sku_rows() {
            add(&mut catalog, &row);
        }
        let mut plans = PlanBook::default();
        let plan = include_str!("../../../../pipelines/plans/sample.toml");
        plans.add(Plan::parse(plan).unwrap());
        let company = Company { genealogy: genealogy(seed), catalog, plans, ..Company::default() };
        let mut environment = crate::config::Environment::default();
        for (name, value) in secrets.variables() {
            environment = environment.with(name, value);
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let pipelines = Pipelines::load(&folder, &environment).unwrap();
        let policies = pipelines.stores.into_iter().map(|store| (store.name, store.policy));
        Self { company, policies: policies.collect() }
    }

    fn read(&self, shot: &Shot) -> Vec<OrderEvent> {
        let mut path = shot.path.trim_start_matches('/').split('/');
        let (platform, store, topic) = match (path.next(), path.next()) {
            (Some("webhooks"), Some(platform)) => {
                let store = path.next().unwrap();
                let topic = header(shot, "x-shopify-topic")
                    .or_else(|| header(shot, "x-wc-webhook-topic"))
                    .or_else(|| path.next());
                (platform, store, topic.unwrap())
            }
            (Some("api"), _) => ("api", "api", "short"),
            _ => ("api", "api", "canonical"),
        };
        let store = StoreId::parse(store).unwrap();
        let event = RawEvent {
            platform: Platform::parse(platform).unwrap(),
            store: &store,
            topic,
            delivery: "",
            received_at: base(),
            digest: Digest::of(&shot.body),
            body: &shot.body,
        };
        match parse(&event, &self.policies[&store]).unwrap() {
            Parsed::Facts(events) => events,
            Parsed::Articles(_) | Parsed::Customer(_) | Parsed::Skip(_) => Vec::new(),
        }
    }
}

fn add(catalog: &mut Catalog, row: &SkuRow) {
    let entry = SkuEntry {
        seq: catalog.version() + 1,
        sku_id: Sku::parse(row.sku_id).unwrap(),
        class: CommissionClass::parse(row.commission_class).unwrap(),
        effective_from: Timestamp::UNIX_EPOCH,
        cv: None,
        qv: None,
    };
    let scope = Scope::parse(row.platform).unwrap();
    catalog.add(scope, Sku::parse(&row.platform_sku).unwrap(), entry);
}

fn genealogy(seed: u64) -> Genealogy {
    let mut tree = Genealogy::default();
    for row in company::distributors(seed, base()) {
        let id = |text: &str| DistributorId::parse(text).unwrap();
        let mut changes = vec![Change::Enrolled(row.sponsor.as_deref().map(id))];
        if row.status != Standing::Active {
            let status = DistributorStatus::parse(row.status.as_str()).unwrap();
            changes.push(Change::Status(status));
        }
        for change in changes {
            let mut event = GenealogyEvent {
                seq: tree.version().seq + 1,
                distributor: id(&row.id),
                change,
                effective_at: row.created_at,
                recorded_at: base(),
                hash: Digest::ZERO,
            };
            event.hash = event.chained(&tree.version().hash);
            tree.apply(&event).unwrap();
        }
    }
    tree
}

/// The stages of the pipeline, in memory, against the oracle: order by order, cent by cent.
#[test]
fn the_pipeline_and_the_oracle_agree() {
    for seed in [SEED, 20_260_101] {
        the_pipeline_and_the_oracle_agree_on(seed);
    }
}

fn the_pipeline_and_the_oracle_agree_on(seed: u64) {
    let (secrets, traffic) = traffic_of(seed, 800);
    let mut stages = Stages::new(seed, &secrets);
    let mut joined: HashMap<String, OrderState> = HashMap::new();
    // Backwards: the truth does not depend on the order of arrival.
    for shot in traffic.shots.iter().rev() {
        if matches!(shot.kind, ShotKind::BadSignature | ShotKind::Ping) {
            continue;
        }
        let events = stages.read(shot);
        assert_eq!(events.is_empty(), shot.kind == ShotKind::NotAnOrder, "{:?}", shot.kind);
        for event in events {
            let Fact::Snapshot(snapshot) = &event.fact else { panic!("{:?}", event.fact) };
            let exact = snapshot.footing.rows == snapshot.footing.header;
            assert!(exact, "{}: {:?}", event.key, snapshot.footing);
            let key = event.key.to_string();
            assert_eq!(Some(&key), shot.order.as_ref());
            let known = joined.remove(&key).unwrap_or_default();
            joined.insert(key, known.join(OrderState::of(event)));
        }
    }
    assert_eq!(joined.len(), traffic.expected.orders.len());
    for (key, state) in &joined {
        parked(key, state, &stages, &traffic.expected.orders[key]);
    }
    add(&mut stages.company.catalog, &late_sku());
    for (key, state) in &joined {
        agree(key, state, &stages, &traffic.expected.orders[key]);
    }
}

fn mapped(key: &str, state: &OrderState, stages: &Stages) -> Mapping {
    map(
        &OrderKey::parse(key).unwrap(),
        1,
        state,
        None,
        &stages.company,
        &Terms::of_plan("sample"),
        &[],
    )
}

fn parked(key: &str, state: &OrderState, stages: &Stages, expected: &ExpectedOrder) {
    let waits = match mapped(key, state, stages) {
        Mapping::Parked(waits) => waits,
        Mapping::Ready(_) | Mapping::NoOrderYet => BTreeSet::new(),
    };
    let late = WaitsFor::Sku(Sku::parse(&late_sku().platform_sku).unwrap());
    let wanted: BTreeSet<_> = expected.parked.then_some(late).into_iter().collect();
    assert_eq!(waits, wanted, "{key}");
}

fn agree(key: &str, state: &OrderState, stages: &Stages, expected: &ExpectedOrder) {
    let Mapping::Ready(order) = mapped(key, state, stages) else { panic!("{key} is not ready") };
    assert_eq!(order.status.as_str(), expected.status.as_str(), "{key}");
    assert_eq!(order.currency.as_str(), expected.currency, "{key}");
    let net: Decimal = order.lines.iter().map(|line| line.base.as_decimal()).sum();
    assert_eq!(net, expected.due.net, "{key}");
    let plan = stages.company.plans.iter().next().unwrap();
    let run = run(*order, &stages.company.genealogy, &RankBook::default(), plan).unwrap();
    let mut found = Due { net, ..Due::default() };
    for line in &run.lines {
        let amount = line.amount.as_decimal();
        match &line.account {
            _ if amount.is_zero() => {}
            Account::Distributor(id) => {
                *found.amounts.entry(id.to_string()).or_default() += amount;
                found.paid += amount;
            }
            Account::Breakage => found.breakage += amount,
        }
    }
    assert_eq!(found, expected.due, "{key}");
}
