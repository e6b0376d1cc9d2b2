//! Every example of `schemas/examples` through the whole chain of pure stages: adapter, order algebra,
//! map, commission, ledger. A snapshot each, so that a change of what an order pays is a reviewed
//! change of a figure. The company is made for the example: whoever it names is enrolled in a chain,
//! whatever it sells is of the class `wellness` of the sample plan.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    map::{Company, Mapping, Terms, map},
    platform::{Parsed, testing::read},
};
use crate::domain::{
    catalog::{Scope, tests::entry},
    commission::{Run, run},
    genealogy::{
        Change,
        tests::{append, id},
    },
    id::{DistributorId, OrderKey, Platform},
    ledger::{self, Posted},
    order::{OrderEvent, OrderState},
    plan::Plan,
};

const PLAN: &str = include_str!("../../pipelines/plans/sample.toml");

#[derive(Deserialize)]
struct Example {
    about: String,
    platform: Platform,
    topic: String,
    body: Box<RawValue>,
    #[serde(default)]
    also: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    topic: String,
    body: Box<RawValue>,
}

/// The facts about orders in a file.
fn events(example: &Example) -> Vec<OrderEvent> {
    let first = [(&example.topic, &example.body)].into_iter();
    let all = first.chain(example.also.iter().map(|also| (&also.topic, &also.body)));
    all.filter_map(|(topic, body)| read(example.platform, topic, body.get().as_bytes()).ok())
        .filter_map(|parsed| match parsed {
            Parsed::Facts(events) => Some(events),
            Parsed::Articles(_) | Parsed::Customer(_) | Parsed::Skip(_) => None,
        })
        .flatten()
        .collect()
}

fn company(state: &OrderState) -> Company {
    let mut company = Company::default();
    company.plans.add(Plan::parse(PLAN).unwrap());
    let mut sponsor = None;
    let referrals = state.snapshot.iter().flat_map(|snapshot| &snapshot.referrals);
    let named: BTreeSet<&str> = referrals
        .filter(|referral| referral.question().is_none())
        .map(|referral| &*referral.value)
        .filter(|value| DistributorId::parse(value).is_ok())
        .collect();
    for name in ["top", "middle"].into_iter().chain(named) {
        append(&mut company.genealogy, name, Change::Enrolled(sponsor), 0);
        sponsor = Some(id(name));
    }
    for (seq, line) in (1..).zip(state.snapshot.iter().flat_map(|snapshot| &snapshot.lines)) {
        if let Some(sku) = line.sku.as_ref().or(line.variant.as_ref()) {
            company.catalog.add(Scope::Any, sku.clone(), entry(seq, "wellness", 0));
        }
    }
    company
}

fn told(run: &Run) -> Value {
    let order = &run.order;
    let entries = ledger::post(run, &[]);
    let posted: Vec<Posted> = entries
        .iter()
        .map(|entry| Posted {
            position: entry.position.clone(),
            amount: entry.signed(),
            last_earned: Some(entry.event_id),
        })
        .collect();
    assert!(ledger::post(run, &posted).is_empty(), "what is posted is not posted again");
    for totals in run.totals.values() {
        assert_eq!(totals.pool, totals.paid + totals.breakage);
    }
    let lines = order.lines.iter().map(|line| {
        json!({ "line": line.id, "net": line.net, "refunded": line.refunded, "base": line.base,
                "zero": line.zero })
    });
    let commission = run.lines.iter().map(|line| {
        format!(
            "{} level {} of line {}: {} of {} = {} to {}",
            line.component, line.level, line.line, line.rate, line.base, line.amount, line.account
        )
    });
    let entries = entries.iter().map(|entry| {
        format!("{} {} {} to {}", entry.kind.as_str(), entry.amount, entry.debit(), entry.credit())
    });
    json!({
        "status": order.status,
        "currency": order.currency,
        "referrer": order.attribution.referrer,
        "won_by": order.attribution.won_by,
        "lines": lines.collect::<Vec<_>>(),
        "commission": commission.collect::<Vec<_>>(),
        "totals": run.totals,
        "entries": entries.collect::<Vec<_>>(),
    })
}

fn order(key: &OrderKey, state: &OrderState) -> Value {
    let company = company(state);
    match map(key, 1, state, None, &company, &Terms::of_plan("sample"), &[]) {
        Mapping::Ready(order) => {
            let plan = company.plans.get(&order.locks.plan).unwrap();
            told(&run(*order, &company.genealogy, plan).unwrap())
        }
        Mapping::Parked(waits) => json!({ "waits_for": waits }),
        Mapping::NoOrderYet => json!("no order yet"),
    }
}

fn chain(path: &Path) -> Value {
    let example: Example = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut orders: Vec<(OrderKey, OrderState)> = Vec::new();
    for event in events(&example) {
        let key = event.key.clone();
        let state = OrderState::of(event);
        match orders.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = std::mem::take(known).join(state),
            None => orders.push((key, state)),
        }
    }
    let orders = orders.iter().map(|(key, state)| json!({ key.to_string(): order(key, state) }));
    json!({ "about": example.about, "orders": orders.collect::<Vec<_>>() })
}

#[test]
fn every_example_pays_what_was_reviewed() {
    insta::glob!("../../schemas/examples", "*/*.json", |path| {
        insta::assert_json_snapshot!(chain(path));
    });
}
