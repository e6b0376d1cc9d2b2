//! `upline check`: the configuration as it was understood, with secrets masked.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;

use super::{output, plan::finding};
use crate::{
    config::{Config, Environment, VARIABLES, masked, pipelines_folder},
    domain::plan::{
        Plan,
        lint::{Severity, lint},
    },
    pipeline::{LimitsFile, PlanSource, Store},
    stage::{platform::ReferralRule, validate::OnUnfooted},
};

pub(super) fn run(environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = Config::load(environment)?;
    let service = |url: &Option<SecretString>| {
        url.as_ref().map_or_else(|| "the local stack".to_owned(), masked)
    };
    let prefix = match config.stream_prefix.as_str() {
        "" => "none",
        prefix => prefix,
    };
    for (name, value) in [
        ("webhooks", config.http.to_string()),
        ("admin", config.admin.to_string()),
        ("nats", service(&config.services.nats)),
        ("postgres", service(&config.services.database)),
        ("clickhouse", service(&config.services.clickhouse)),
        ("stream prefix", prefix.to_owned()),
        ("stream replicas", config.replicas.to_string()),
        ("stream size", stream_size(config.stream_max_mib)),
        ("drain", format!("{} s", config.drain.as_secs())),
        ("pipelines", pipelines_folder(environment).display().to_string()),
    ] {
        output::line(&format!("{name:<16}{value}"));
    }
    for (name, value) in limits(&config.pipelines.limits) {
        output::line(&format!("limits          {name} = {value}"));
    }
    output::line("");
    output::line(&stores(&config));
    output::line(&policies(&config.pipelines.stores));
    let rows: Vec<Vec<String>> = config
        .pipelines
        .plans
        .iter()
        .map(|(path, source)| {
            let plan = &source.plan;
            vec![
                plan.reference.id.to_string(),
                plan.reference.version.to_string(),
                plan.effective_from.to_string(),
                plan.reference.hash.to_string().chars().take(12).collect(),
                path.display().to_string(),
            ]
        })
        .collect();
    output::line(&output::table(&["plan", "version", "from", "hash", "file"], &rows));
    let rows: Vec<Vec<String>> = VARIABLES
        .iter()
        .map(|(name, meaning)| vec![(*name).to_owned(), (*meaning).to_owned()])
        .collect();
    output::line(&output::table(&["variable", "meaning"], &rows));
    let (found, failed) = findings(&config.pipelines.plans);
    output::line(found.trim_end());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is wrong or doubtful in the plans, as `upline plan lint` tells it, what they cost aside; and
/// whether there is an error.
fn findings(plans: &BTreeMap<PathBuf, PlanSource>) -> (String, bool) {
    let (mut text, mut failed) = (String::new(), false);
    for (path, source) in plans {
        let path = path.display().to_string();
        for found in lint(&source.text, None).findings {
            let costs = matches!(found.rule, "above_all_sales" | "unbounded");
            if found.severity == Severity::Note || costs {
                continue;
            }
            failed |= found.severity == Severity::Error;
            text.push_str(&finding(&path, &found));
        }
    }
    (text, failed)
}

/// The stores, what they pay by and how they prove themselves.
fn stores(config: &Config) -> String {
    let rows: Vec<Vec<String>> = config
        .pipelines
        .stores
        .iter()
        .map(|store| {
            let plans = config.pipelines.plans.values().map(|source| &source.plan);
            let of_store = |plan: &&Plan| plan.reference.id == store.plan;
            let last = plans.filter(of_store).max_by_key(|plan| plan.reference.version);
            let pays = last.and_then(|plan| plan.currency).or(store.payout);
            let adobe = store.adobe.iter();
            let adobe = adobe.map(|adobe| format!("adobe({} keys)", adobe.keys.len()));
            let secrets = store.variables.iter().map(|name| format!("{name}=***")).chain(adobe);
            vec![
                store.platform.to_string(),
                store.name.to_string(),
                store.plan.to_string(),
                pays.map_or_else(|| "the order's".to_owned(), |code| code.to_string()),
                secrets.collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    output::table(&["platform", "store", "plan", "pays in", "secrets"], &rows)
}

fn stream_size(max_mib: u32) -> String {
    match max_mib {
        0 => "no limit".to_owned(),
        some => format!("at most {some} MiB each"),
    }
}

/// Each limit under the key that a pipeline file sets it by.
fn limits(file: &LimitsFile) -> Vec<(&'static str, String)> {
    vec![
        ("batch", file.batch.to_string()),
        ("in_flight", file.in_flight.to_string()),
        ("ack_wait_seconds", file.ack_wait_seconds.to_string()),
        ("retry_first_ms", file.retry_first_ms.to_string()),
        ("retry_longest_ms", file.retry_longest_ms.to_string()),
        ("warehouse_linger_ms", file.warehouse_linger_ms.to_string()),
        ("warehouse_batch", file.warehouse_batch.to_string()),
        ("fused_lanes", file.fused_lanes.to_string()),
        ("webhooks_in_flight", file.webhooks_in_flight.to_string()),
        ("store_reserve", file.store_reserve.to_string()),
        ("target_wait_ms", file.target_wait_ms.to_string()),
        ("outage_wait_seconds", file.outage_wait_seconds.to_string()),
        ("backlog_max", file.backlog_max.to_string()),
    ]
}

/// A setting as a pipeline file says it: a word, or `key = word` of a table.
fn setting<T: Serialize>(value: &T) -> String {
    fn word(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
    let value = serde_json::to_value(value).unwrap_or_default();
    let Some(fields) = value.as_object() else { return word(&value) };
    let fields = fields.iter().map(|(name, value)| format!("{name} = {}", word(value)));
    fields.collect::<Vec<_>>().join(", ")
}

/// What each store decides of its orders: where referral codes stand, best first, and the policies.
fn policies(stores: &[Store]) -> String {
    let place = |rule: &ReferralRule| {
        let mut text = setting(&rule.from);
        for part in rule.name.iter().chain(&rule.prefix) {
            text.push_str(&format!(" {part}"));
        }
        text
    };
    let row = |store: &Store| {
        let places: Vec<String> = store.policy.attribution.iter().map(place).collect();
        let unfooted = match store.on_unfooted {
            OnUnfooted::Accept => "accept",
            OnUnfooted::Quarantine => "quarantine",
        };
        vec![
            format!("{}/{}", store.platform, store.name),
            places.join(", "),
            setting(&store.attribution.unattributed),
            setting(&store.attribution.unknown_referrer),
            setting(&store.policy.refunds),
            unfooted.to_owned(),
        ]
    };
    let head =
        ["store", "attribution", "unattributed", "unknown_referrer", "refunds", "on_unfooted"];
    output::table(&head, &stores.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            customer::{AttributionPolicy, Unattributed, UnknownReferrer},
            id::{DistributorId, Platform, StoreId},
        },
        stage::platform::{ReferralPlace, StorePolicy},
    };

    #[test]
    fn every_limit_is_shown_and_none_is_called_none() {
        let file = LimitsFile::default();
        let shown = limits(&file).into_iter().map(|(name, value)| format!("{name}: {value}"));
        let shown = shown.collect::<Vec<_>>().join(", ");
        assert_eq!(format!("LimitsFile {{ {shown} }}"), format!("{file:?}"));
        assert_eq!(stream_size(0), "no limit");
        assert_eq!(stream_size(64), "at most 64 MiB each");
    }

    #[test]
    fn the_policies_of_a_store_are_shown_as_its_file_says_them() {
        let place = |from, name: Option<&str>| ReferralRule {
            from,
            name: name.map(str::to_owned),
            prefix: None,
        };
        let store = Store {
            name: StoreId::parse("acme").unwrap(),
            platform: Platform::Shopify,
            variables: Vec::new(),
            secrets: Vec::new(),
            adobe: None,
            rest: None,
            policy: StorePolicy {
                attribution: vec![
                    place(ReferralPlace::NoteAttribute, Some("ref")),
                    place(ReferralPlace::DiscountCode, None),
                ],
                ..StorePolicy::default()
            },
            on_unfooted: OnUnfooted::Quarantine,
            plan: "field".into(),
            payout: None,
            attribution: AttributionPolicy {
                unattributed: Unattributed::House(DistributorId::parse("11043").unwrap()),
                unknown_referrer: UnknownReferrer::Next,
            },
        };
        let text = policies(&[store]);
        let row: Vec<&str> = text.lines().nth(2).unwrap().trim().split("  ").collect();
        let row: Vec<&str> = row.into_iter().map(str::trim).filter(|c| !c.is_empty()).collect();
        let wanted = [
            "shopify/acme",
            "note_attribute ref, discount_code",
            "house = 11043",
            "next",
            "chargebacks = when_lost, without_lines = pro_rata",
            "quarantine",
        ];
        assert_eq!(row, wanted, "{text}");
    }
}
