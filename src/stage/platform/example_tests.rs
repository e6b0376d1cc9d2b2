//! Every example of `schemas/examples` through its adapter and through the order algebra, as a
//! snapshot: a change of what an order comes to is a reviewed change of a figure.

use std::{path::Path, sync::LazyLock};

use jiff::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Parsed, StorePolicy,
    testing::{read, read_at},
};
use crate::{
    domain::{id::Platform, money::Money, order::OrderState},
    stage::Rejection,
};

/// One file: a delivery, and what else arrived about the same order.
#[derive(Deserialize)]
struct Example {
    about: String,
    platform: Platform,
    #[serde(flatten)]
    delivery: Delivery,
    #[serde(default)]
    also: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Delivery {
    topic: String,
    #[serde(default = "ten_o_clock")]
    received_at: Timestamp,
    body: Value,
}

fn ten_o_clock() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// The same file with the bodies as they stand there: amounts that are JSON numbers keep their
/// digits.
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

fn outcome(parsed: &Result<Parsed, Rejection>) -> Value {
    match parsed {
        Ok(Parsed::Facts(events)) => {
            let facts = events.iter().map(|event| {
                let mut fact = serde_json::to_value(&event.fact).unwrap();
                fact["order"] = json!(event.key.to_string());
                fact
            });
            json!({ "facts": facts.collect::<Vec<_>>() })
        }
        Ok(Parsed::Customer(event)) => json!({ "customer": event.fact }),
        Ok(Parsed::Articles(events)) => {
            let facts = events.iter().map(|event| {
                let mut fact = serde_json::to_value(&event.fact).unwrap();
                fact["at"] = json!(event.at);
                fact
            });
            json!({ "articles": facts.collect::<Vec<_>>() })
        }
        Ok(Parsed::Skip(reason)) => json!({ "skip": reason }),
        Err(rejection) => json!({ "rejection": rejection }),
    }
}

fn effective(parsed: &[Result<Parsed, Rejection>]) -> Value {
    let facts = parsed.iter().filter_map(|parsed| match parsed {
        Ok(Parsed::Facts(events)) => Some(events.clone()),
        Ok(Parsed::Articles(_) | Parsed::Customer(_) | Parsed::Skip(_)) | Err(_) => None,
    });
    let state = facts.flatten().map(OrderState::of).fold(OrderState::default(), OrderState::join);
    let lines = state.effective();
    let earns: Money = lines.iter().map(|line| line.net).sum();
    let lines = lines
        .iter()
        .map(|line| json!({ "line": line.line.id, "refunded": line.refunded, "net": line.net }));
    json!({
        "status": state.status(),
        "footing_holds": state.snapshot.as_ref().map(|s| s.footing.holds()),
        "lines": lines.collect::<Vec<_>>(),
        "earns": earns,
    })
}

fn settle(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let example: Example = serde_json::from_str(&text).unwrap();
    let bodies: Bodies = serde_json::from_str(&text).unwrap();
    let bodies = std::iter::once(&bodies.body).chain(bodies.also.iter().map(|also| &also.body));
    let all = std::iter::once(&example.delivery).chain(&example.also).zip(bodies).zip(1..);
    let parsed: Vec<Result<Parsed, Rejection>> = all
        .map(|((Delivery { topic, received_at, .. }, body), number): (_, u32)| {
            let (body, policy) = (body.get().as_bytes(), StorePolicy::default());
            let delivery = format!("d-{number}");
            read_at(example.platform, topic, body, &policy, &delivery, *received_at)
        })
        .collect();
    json!({
        "about": example.about,
        "outcome": parsed.iter().map(outcome).collect::<Vec<_>>(),
        "effective": effective(&parsed),
    })
}

#[test]
fn every_example_comes_to_what_was_reviewed() {
    insta::glob!("../../../schemas/examples", "*/*.json", |path| {
        insta::assert_json_snapshot!(settle(path));
    });
}

/// The edge believes a signature of Adobe I/O only if the body names the client id of the store.
#[test]
fn every_example_of_adobe_names_its_recipient() {
    let adobe: Vec<_> =
        DELIVERIES.iter().filter(|(_, delivery)| delivery.topic.contains("observer.")).collect();
    assert!(adobe.len() >= 8, "{}", adobe.len());
    for (_, Delivery { topic, body, .. }) in adobe {
        assert!(body["recipient_client_id"].is_string(), "{topic}: {body}");
    }
}

/// Every delivery of every example, read once: the property tests look at them for every case.
static DELIVERIES: LazyLock<Vec<(Platform, Delivery)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples");
    let mut deliveries = Vec::new();
    for platform in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(platform.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let Example { platform, delivery, also, .. } = serde_json::from_str(&text).unwrap();
            deliveries.push((platform, delivery));
            deliveries.extend(also.into_iter().map(|delivery| (platform, delivery)));
        }
    }
    deliveries
});

/// What may stand in the place of any value of a body.
fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!(false)),
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!("1e-400")),
        Just(json!("9e27")),
        Just(json!("-99999999999999999999999999.999999")),
        Just(json!([[1], {}])),
        Just(json!({"0": {"id": 1}, "x": 2})),
        "[0-9.eE+-]{1,12}".prop_map(|text| json!(text)),
        any::<String>().prop_map(|text| json!(text)),
        any::<i64>().prop_map(|number| json!(number)),
    ]
}

/// Replaces the value that stands at position `at` of a walk through the whole tree.
fn replace(value: &mut Value, at: &mut usize, junk: &Value) {
    if *at == 0 {
        *value = junk.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, at, junk)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, at, junk)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..200), topic in "[a-z/._]{0,24}",
    ) {
        for platform in Platform::ALL {
            let _outcome = read(platform, &topic, &body);
        }
    }

    #[test]
    fn a_mutated_example_never_panics(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4),
    ) {
        let (_, delivery) = which.get(&DELIVERIES);
        let mut body = delivery.body.clone();
        for (at, junk) in &changes {
            replace(&mut body, &mut at.index(120), junk);
        }
        let body = serde_json::to_vec(&body).unwrap();
        for platform in Platform::ALL {
            let parsed = read(platform, &delivery.topic, &body);
            let _lines = effective(&[parsed]);
        }
    }

    #[test]
    fn a_rejection_names_a_place_and_something_to_do(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), junk in junk(),
    ) {
        let (platform, delivery) = which.get(&DELIVERIES);
        let mut body = delivery.body.clone();
        replace(&mut body, &mut at.index(120), &junk);
        let body = serde_json::to_vec(&body).unwrap();
        if let Err(rejection) = read(*platform, &delivery.topic, &body) {
            prop_assert!(!rejection.path.is_empty());
            prop_assert!(rejection.message.len() > 12, "{rejection}");
        }
    }
}
