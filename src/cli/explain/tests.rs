use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::store::postgres::{NumberedVolume, PostedRun, Story, Told};

/// A calculation of an order in euro that pays in dollars.
fn calculation(revision: u64, changed: &[(&str, Value)]) -> Run {
    let hash = "0".repeat(64);
    let mut order = json!({
        "key": { "platform": "shopify", "store": "acme", "order_id": "1" },
        "revision": revision, "status": "paid", "refund_policy": { "chargebacks": "when_lost" }, "placed_at": "2026-05-01T10:00:00Z",
        "currency": "EUR", "total": "100.00", "attribution": { "won_by": "nobody" },
        "locks": {
            "genealogy": { "seq": 1, "hash": hash },
            "plan": { "id": "sample", "version": 1, "hash": hash },
            "catalog": 1,
            "rate": { "from": "EUR", "to": "USD", "rate": "1.1",
                      "effective_from": "2026-01-01T00:00:00Z", "seq": 1 },
        },
        "lines": [{ "id": "1", "quantity": Decimal::ONE, "net": "100.00", "refunded": "0.00",
                    "base": "100.00", "payout_base": "110.00", "zero": "no_referrer" }],
    });
    for (path, value) in changed {
        *order.pointer_mut(path).unwrap() = value.clone();
    }
    let run = json!({ "engine": "test", "order_hash": hash, "order": order, "walks": {},
                      "lines": [], "totals": {} });
    serde_json::from_value(run).unwrap()
}

/// A story of posted revisions.
fn story(runs: Vec<Run>) -> Story {
    let posted = |run| PostedRun {
        posted_at: Timestamp::UNIX_EPOCH,
        run,
        entries: Vec::new(),
        volumes: Vec::new(),
    };
    Story {
        order: "shopify/acme/1".to_owned(),
        outcome: "ready".to_owned(),
        revision: 2,
        waits: Vec::new(),
        events: Vec::new(),
        runs: runs.into_iter().map(posted).collect(),
    }
}

#[test]
fn the_currencies_the_rate_and_what_is_paid_on_are_shown() {
    let text = explain(&calculation(1, &[]));
    for part in [
        "currency EUR, commission in USD at 1 EUR = 1.1 USD, in force from 2026-01-01T00:00:00Z",
        "earns on    in USD",
        "    100.00      110.00  no referrer",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let same = [("/locks/rate", Value::Null), ("/lines/0/payout_base", Value::Null)];
    let text = explain(&calculation(1, &same));
    assert!(text.contains("  currency EUR\n"), "{text}");
    assert!(!text.contains("USD"), "{text}");
}

#[test]
fn a_change_of_currency_is_told() {
    let dollars = [
        ("/currency", json!("USD")),
        ("/locks/rate/from", json!("USD")),
        ("/locks/rate/rate", json!("1")),
        ("/lines/0/payout_base", json!("100.00")),
    ];
    let text = story::tell(&story(vec![calculation(1, &[]), calculation(2, &dollars)]));
    let told = "posted revision 2: currency EUR -> USD; exchange rate 1 EUR = 1.1 USD -> \
                1 USD = 1 USD; line 1 paid on 110.00 USD -> 100.00 USD\n";
    assert!(text.contains(told), "{text}");
}

#[test]
fn a_chargeback_that_takes_nothing_says_why() {
    let told = |policy: &str, stage: &str| {
        let run = calculation(1, &[("/refund_policy/chargebacks", json!(policy))]);
        let mut story = story(vec![run]);
        story.events.push(Told {
            received_at: Timestamp::UNIX_EPOCH,
            topic: "disputes/create".to_owned(),
            delivery: "d1".to_owned(),
            fact: "chargeback:7".to_owned(),
            said: format!("{stage}, 28.00 EUR"),
            version_at: None,
            effect: "revision".to_owned(),
            reason: None,
            revision: 1,
        });
        let text = story::tell(&story);
        let why = text.lines().find_map(|line| line.trim().strip_prefix("takes nothing: "));
        why.map(str::to_owned)
    };
    for (policy, stage, why) in [
        ("ignore", "lost", Some("the store ignores chargebacks")),
        ("when_lost", "inquiry", Some("an inquiry moves no money")),
        ("when_lost", "open", Some("the store counts a chargeback when it is lost")),
        ("when_opened", "won", Some("the shop won it")),
        ("when_opened", "open", None),
        ("when_lost", "lost", None),
    ] {
        assert_eq!(told(policy, stage).as_deref(), why, "{policy} {stage}");
    }
}

#[test]
fn the_volumes_of_each_line_and_who_got_them_are_shown() {
    let run = calculation(1, &[]);
    assert!(!explain(&run).contains("volumes"), "a plan without volumes says nothing of them");
    let mut run = serde_json::to_value(run).unwrap();
    let mut counts = run["order"]["lines"][0].clone();
    counts["id"] = "2".into();
    counts["zero"] = Value::Null;
    counts["volume"] = json!({ "qv": "40", "units": "2", "units_net": "100.00" });
    run["order"]["lines"].as_array_mut().unwrap().push(counts);
    run["volumes"] = json!([{ "line": "2", "distributor": "11043", "source": "own_use",
                              "pv": "80", "qv": "80", "cv": "66.5" }]);
    let text = explain(&serde_json::from_value(run).unwrap());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows: Vec<String> = text.lines().map(words).collect();
    for row in ["1 - - 0 0 0 - - - no referrer", "2 11043 own_use 80 80 66.5 2 40 -"] {
        assert!(rows.iter().any(|found| found == row), "{row:?} is not in\n{text}");
    }
}

#[test]
fn what_a_revision_writes_into_the_journal_is_told() {
    let entry = json!({
        "event_id": "00000000-0000-8000-8000-000000000000",
        "position": { "line": "2", "distributor": "11043", "source": "retail",
                      "placed_at": "2026-05-01T10:00:00Z" },
        "amount": { "pv": "-40", "qv": "-40", "cv": "0" },
    });
    let entry = serde_json::from_value(entry).unwrap();
    let mut story = story(vec![calculation(1, &[])]);
    story.runs[0].volumes.push(NumberedVolume { seq: 9, entry, corrects_seq: Some(4) });
    let text = story::tell(&story);
    let told = "volume #9 for 11043, retail: PV -40, QV -40, CV 0: line 2, corrects volume #4";
    assert!(text.contains(told) && !text.contains("nothing to post"), "{text}");
}

#[test]
fn a_line_says_the_points_that_it_pays_on_and_where_the_money_comes_from() {
    let mut run = calculation(1, &[]);
    let line = json!({ "line": "1", "component": "levels", "level": 1, "account": "distributor:10001",
                       "base": "80.00", "rate": "5 %", "amount": "4.00",
                       "volume": { "cv": "200", "conversion": "0.40" } });
    run.lines.push(serde_json::from_value(line).unwrap());
    let totals = json!({ "pool": "4.00", "paid": "4.00", "breakage": "0" });
    let component = ComponentId::parse("levels").unwrap();
    run.totals.insert(component, serde_json::from_value(totals).unwrap());
    let text = explain(&run);
    for part in ["200 CV x 0.4", "downline"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
