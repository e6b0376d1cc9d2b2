//! `upline check`: the configuration as it was understood, with secrets masked.

use std::process::ExitCode;

use secrecy::SecretString;

use super::output;
use crate::config::{Config, Environment, VARIABLES, masked, pipelines_folder};

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
        ("stream size", format!("at most {} MiB each", config.stream_max_mib)),
        ("drain", format!("{} s", config.drain.as_secs())),
        ("pipelines", pipelines_folder(environment).display().to_string()),
    ] {
        output::line(&format!("{name:<16}{value}"));
    }
    let limits = &config.pipelines.limits;
    output::line(&format!("{:<16}{limits:?}", "limits"));
    output::line("");
    let rows: Vec<Vec<String>> = config
        .pipelines
        .stores
        .iter()
        .map(|store| {
            let adobe = store.adobe.iter();
            let adobe = adobe.map(|adobe| format!("adobe({} keys)", adobe.keys.len()));
            let secrets = store.variables.iter().map(|name| format!("{name}=***")).chain(adobe);
            vec![
                store.platform.to_string(),
                store.name.to_string(),
                store.plan.to_string(),
                store.payout.map_or_else(|| "the order's".to_owned(), |code| code.to_string()),
                secrets.collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    output::line(&output::table(&["platform", "store", "plan", "pays in", "secrets"], &rows));
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
    Ok(ExitCode::SUCCESS)
}
