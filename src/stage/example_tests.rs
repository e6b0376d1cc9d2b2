//! Every example of `schemas/examples` through the whole chain of pure stages: validate, order
//! algebra, map, commission, ledger. A snapshot each, so that a change of what an order pays is a
//! reviewed change of a figure.
//!
//! An example is what arrived about an order, one delivery after the other; its snapshot shows what
//! each of them posts on top of the ones before. The company is made for the example: whoever its
//! orders name is enrolled in one chain below `top` and `middle`, and a SKU has the class of the
//! sample plan that its first letters stand for ([`CLASSES`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Message, Stage, Verdict,
    map::{Company, Mapping, Terms, map},
    message::Headers,
    platform::StorePolicy,
    validate::{OnUnfooted, Store, Understood, Validate},
};
use crate::domain::{
    catalog::{Scope, tests::entry},
    commission::{Locks, RankBook, Run, run},
    genealogy::{
        Change,
        tests::{append, id},
    },
    id::{DistributorId, OrderKey, Platform, StoreId},
    ledger::{self, Entry, Kind, Position, Posted},
    money::Money,
    order::{Fact, OrderEvent, OrderState},
    plan::Plan,
};

const PLAN: &str = include_str!("../../pipelines/plans/sample.toml");

/// The class of a SKU by its first letters: two that pay the referrer alone, one whose table ends
/// after three levels, one with half percents. Whatever else is sold is `wellness`.
const CLASSES: [(&str, &str); 7] = [
    ("SUPP", "supplement"),
    ("BEAUTY", "beauty"),
    ("CREAM", "beauty"),
    ("KIT", "starter-kit"),
    ("TEA", "home"),
    ("OIL", "home"),
    ("HOME", "home"),
];

#[derive(Deserialize)]
struct Example {
    about: String,
    platform: Platform,
    #[serde(flatten)]
    first: Delivery,
    /// What arrived after it.
    #[serde(default)]
    also: Vec<Delivery>,
    /// Distributors beside those that the orders name.
    #[serde(default)]
    enrolled: Vec<String>,
}

#[derive(Deserialize)]
struct Delivery {
    topic: String,
    /// When the edge had read the body.
    #[serde(default = "ten_o_clock")]
    received_at: Timestamp,
}

fn ten_o_clock() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// The bodies as they stand in the file: amounts that are JSON numbers keep their digits.
#[derive(Deserialize)]
struct Bodies {
    body: Box<RawValue>,
    #[serde(default)]
    also: Vec<Body>,
}

#[derive(Deserialize)]
struct Body {
    body: Box<RawValue>,
}

/// The deliveries of a file with what the stage makes of each.
fn deliveries(example: &Example, bodies: &Bodies) -> Vec<(String, Verdict<Understood>)> {
    let (platform, store) = (example.platform, StoreId::parse("acme").unwrap());
    let on_unfooted = OnUnfooted::default_for(platform);
    let writes = vec!["magento/acme-eu".to_owned()].try_into().unwrap();
    let policy = StorePolicy { writes, ..StorePolicy::default() };
    let known = Store { policy, on_unfooted };
    let validate = Validate::new(HashMap::from([((platform, store), known)]));
    let bodies = std::iter::once(&bodies.body).chain(bodies.also.iter().map(|also| &also.body));
    let all = std::iter::once(&example.first).chain(&example.also).zip(bodies).zip(1..);
    all.map(|((delivery, body), number): (_, u32)| {
        let mut headers = Headers::default();
        headers.set(Headers::TOPIC, &delivery.topic);
        headers.set(Headers::RECEIVED_AT, &delivery.received_at.as_microsecond().to_string());
        headers.set(Headers::DELIVERY, &format!("d-{number}"));
        let subject = format!("ingest.{}.acme", platform.as_str());
        let payload = body.get().as_bytes();
        let message = Message { subject: &subject, headers: &headers, payload };
        (delivery.topic.clone(), validate.apply(message))
    })
    .collect()
}

fn orders(verdict: &Verdict<Understood>) -> &[OrderEvent] {
    match verdict {
        Verdict::Emit(Understood::Orders(events)) => events,
        Verdict::Emit(_) | Verdict::Skip(_) | Verdict::Defer(_) | Verdict::Reject(_) => &[],
    }
}

fn class(sku: &str) -> &'static str {
    let named = CLASSES.into_iter().find(|(start, _)| sku.starts_with(start));
    named.map_or("wellness", |(_, class)| class)
}

fn company<'e>(example: &Example, events: impl Iterator<Item = &'e OrderEvent>) -> Company {
    let mut company = Company::default();
    company.plans.add(Plan::parse(PLAN).unwrap());
    let mut named: BTreeSet<&str> = example.enrolled.iter().map(String::as_str).collect();
    let mut seq = 0;
    for event in events {
        let Fact::Snapshot(snapshot) = &event.fact else { continue };
        let codes = snapshot.referrals.iter().filter(|referral| referral.question().is_none());
        named.extend(codes.map(|code| &*code.value).filter(|v| DistributorId::parse(v).is_ok()));
        for sku in snapshot.lines.iter().filter_map(|l| l.sku.as_ref().or(l.variant.as_ref())) {
            seq += 1;
            company.catalog.add(Scope::Any, sku.clone(), entry(seq, class(sku.as_str()), 0));
        }
    }
    let mut sponsor = None;
    for name in ["top", "middle"].into_iter().chain(named) {
        append(&mut company.genealogy, name, Change::Enrolled(sponsor), 0);
        sponsor = Some(id(name));
    }
    company
}

/// An order between two deliveries.
#[derive(Default)]
struct Book {
    state: OrderState,
    locks: Option<Locks>,
    revision: u64,
    posted: BTreeMap<Position, Posted>,
}

impl Book {
    /// What the order comes to with more facts, and what that posts.
    fn tell(&mut self, key: &OrderKey, events: &[&OrderEvent], company: &Company) -> Value {
        let told = events.iter().map(|event| OrderState::of((*event).clone()));
        let state = told.fold(self.state.clone(), OrderState::join);
        if self.revision > 0 && state == self.state {
            return json!("nothing new");
        }
        self.state = state;
        self.revision += 1;
        let terms = Terms::of_plan("sample");
        let locks = self.locks.as_ref();
        match map(key, self.revision, &self.state, locks, company, &terms, &[]) {
            Mapping::Ready(order) => {
                self.locks = Some(order.locks.clone());
                let plan = company.plans.get(&order.locks.plan).unwrap();
                let run = run(*order, &company.genealogy, &RankBook::default(), plan).unwrap();
                let entries = self.post(&run);
                told_of(&run, &entries)
            }
            Mapping::Parked(waits) => json!({ "waits_for": waits }),
            Mapping::NoOrderYet => json!("no order yet"),
        }
    }

    fn post(&mut self, run: &Run) -> Vec<Entry> {
        let before: Vec<Posted> = self.posted.values().cloned().collect();
        let entries = ledger::post(run, &before);
        for entry in &entries {
            let known = self.posted.entry(entry.position.clone()).or_insert_with(|| Posted {
                position: entry.position.clone(),
                amount: Money::ZERO,
                last_earned: None,
            });
            known.amount += entry.signed();
            if entry.kind == Kind::Earned {
                known.last_earned = Some(entry.event_id);
            }
        }
        let after: Vec<Posted> = self.posted.values().cloned().collect();
        assert!(ledger::post(run, &after).is_empty(), "what is posted is not posted again");
        let wanted: Money = run.lines.iter().map(|line| line.amount).sum();
        assert_eq!(after.iter().map(|posted| posted.amount).sum::<Money>(), wanted);
        entries
    }
}

fn told_of(run: &Run, entries: &[Entry]) -> Value {
    let order = &run.order;
    for totals in run.totals.values() {
        assert_eq!(totals.pool, totals.paid + totals.breakage);
    }
    let lines = order.lines.iter().map(|line| {
        json!({ "line": line.id, "class": line.class, "net": line.net, "refunded": line.refunded,
                "base": line.base, "zero": line.zero })
    });
    let commission = run.lines.iter().map(|line| {
        format!(
            "{} level {} of line {}: {} of {} = {} to {}",
            line.component, line.level, line.line, line.rate, line.base, line.amount, line.account
        )
    });
    let entries = entries.iter().map(|entry| {
        let position = &entry.position;
        format!(
            "{} {} {} to {}, line {} {} {}",
            entry.kind.as_str(),
            entry.amount,
            entry.debit(),
            entry.credit(),
            position.line,
            position.component,
            position.level
        )
    });
    json!({
        "status": order.status,
        "currency": order.currency,
        "referrer": order.attribution.referrer,
        "own_purchase": order.attribution.own_purchase,
        "won_by": order.attribution.won_by,
        "lines": lines.collect::<Vec<_>>(),
        "commission": commission.collect::<Vec<_>>(),
        "totals": run.totals,
        "entries": entries.collect::<Vec<_>>(),
    })
}

/// What the stage makes of a delivery that has no facts about orders.
fn other(verdict: &Verdict<Understood>) -> Value {
    match verdict {
        Verdict::Emit(Understood::Orders(_)) => json!("orders"),
        Verdict::Emit(Understood::Articles(events)) => json!({ "articles": events.len() }),
        Verdict::Emit(Understood::Customer(event)) => json!({ "customer": event.fact }),
        Verdict::Skip(reason) => json!({ "skip": reason }),
        Verdict::Defer(reason) => json!({ "defer": reason }),
        Verdict::Reject(rejection) => json!({ "rejection": rejection }),
    }
}

fn chain(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let example: Example = serde_json::from_str(&text).unwrap();
    let verdicts = deliveries(&example, &serde_json::from_str(&text).unwrap());
    let events = || verdicts.iter().flat_map(|(_, verdict)| orders(verdict));
    let company = company(&example, events());
    let mut books: BTreeMap<OrderKey, Book> = BTreeMap::new();
    let mut steps = Vec::new();
    for (topic, verdict) in &verdicts {
        let mut told: BTreeMap<&OrderKey, Vec<&OrderEvent>> = BTreeMap::new();
        for event in orders(verdict) {
            told.entry(&event.key).or_default().push(event);
        }
        let mut step = Map::from_iter([("topic".to_owned(), json!(topic))]);
        if told.is_empty() {
            step.insert("outcome".to_owned(), other(verdict));
        }
        for (key, events) in told {
            let book = books.entry(key.clone()).or_default();
            step.insert(key.to_string(), book.tell(key, &events, &company));
        }
        steps.push(step);
    }
    for (key, book) in &books {
        let backwards = events().collect::<Vec<_>>().into_iter().rev().filter(|e| e.key == *key);
        let state = backwards.cloned().map(OrderState::of).reduce(OrderState::join).unwrap();
        assert_eq!(state, book.state, "the order of arrival does not matter");
    }
    json!({ "about": example.about, "steps": steps })
}

#[test]
fn every_example_pays_what_was_reviewed() {
    insta::glob!("../../schemas/examples", "*/*.json", |path| {
        insta::assert_json_snapshot!(chain(path));
    });
}
