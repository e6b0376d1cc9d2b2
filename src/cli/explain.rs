//! `upline explain ORDER`: the whole story of an order: each event received and what became of it, each
//! revision and why it differs from the one before, each entry posted; then the commission as it
//! stands, line by line and level by level. `upline explain DISTRIBUTOR PERIOD`: that of a period.

mod nothing;
mod period;
mod periods;
mod ranks;
mod story;

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use secrecy::ExposeSecret;
use tokio_postgres::error::SqlState;

use super::{block_on, output, services};
use crate::{
    app::BooksError,
    clock::Clock,
    config::Environment,
    domain::{
        commission::{Account, MappedOrder, Run, VolumeBasis, VolumeLine, WonBy, ZeroReason},
        fx::LockedRate,
        id::ComponentId,
        volume::Volume,
    },
    store::postgres::{CompanyReader, Postgres},
    stream::ServiceError,
};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The order: `platform/store/id`, or just the platform's id. Before a period, the distributor.
    #[arg(value_name = "ORDER | DISTRIBUTOR")]
    of: String,
    /// The period of the distributor: the month `2026-02`, the week `2026-02-02` by its first day, or the
    /// plan's name for it.
    period: Option<String>,
    /// As one JSON object, per order where the platform's id names several.
    #[arg(long)]
    json: bool,
    /// Of a period: every entry of volume and every order, not only the largest 50 of each component.
    #[arg(long, requires = "period")]
    all: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    if let Some(period) = &arguments.period {
        return period::run(&arguments.of, period, (arguments.json, arguments.all), environment);
    }
    let connected = services::connect(environment, "upline")?;
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        let stories = store.stories(&arguments.of).await.map_err(unmigrated)?;
        anyhow::ensure!(!stories.is_empty(), "no order {} is known", arguments.of);
        let plans = CompanyReader::new(store.clone()).plans().await?;
        let now = Clock::system().now();
        for story in &stories {
            let counted = periods::of_order(&store, &plans, story, now).await?;
            let last = story.runs.last().map(|last| &last.run);
            let plan = last.and_then(|run| plans.get(&run.order.locks.plan));
            if arguments.json {
                let mut told = serde_json::to_value(story)?;
                if let Some(told) = told.as_object_mut() {
                    let why = last.zip(plan).map(|(run, plan)| nothing::reasons(run, plan));
                    told.insert("nothing_of".to_owned(), serde_json::to_value(why)?);
                    told.insert("counted_in".to_owned(), serde_json::to_value(&counted)?);
                }
                output::line(&told.to_string());
                continue;
            }
            output::line(&story::tell(story));
            let Some(run) = last else { continue };
            let mut text = explain(run);
            text += &plan.map(|plan| nothing::tell(run, plan)).unwrap_or_default();
            text += &periods::tell(&counted);
            output::line(&(text + &ranks::tell(&store, run).await?));
        }
        Ok(ExitCode::SUCCESS)
    })?
}

/// Says what to do about a database without tables.
fn unmigrated(error: ServiceError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let mut causes =
        error.chain().filter_map(|cause| cause.downcast_ref::<tokio_postgres::Error>());
    let absent = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    let missing = causes.any(|cause| cause.code().is_some_and(|code| absent.contains(code)));
    if missing { error.context(BooksError::Unmigrated) } else { error }
}

fn optional<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// The currency of the order, and that of its commission where it is another.
fn currencies(order: &MappedOrder) -> String {
    match &order.locks.rate {
        Some(locked) if locked.from != locked.to => format!(
            "currency {}, commission in {} at {}, in force from {}{}",
            locked.from,
            locked.to,
            rate(locked),
            locked.effective_from,
            if locked.inverse { ", the inverse of the row imported" } else { "" }
        ),
        _ => format!("currency {}", order.currency),
    }
}

/// A rate as `1 EUR = 1.10 USD`.
fn rate(locked: &LockedRate) -> String {
    format!("1 {} = {} {}", locked.from, locked.rate, locked.to)
}

/// Why a line earns nothing, in plain words.
fn reason(zero: ZeroReason) -> String {
    let name = serde_json::to_value(zero).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().replace('_', " ")
}

/// How the referrer of an order was found.
fn found(won_by: &WonBy) -> String {
    match won_by {
        WonBy::Source(source) => format!("found in {source}"),
        WonBy::Decision => "by decision".to_owned(),
        WonBy::OwnPurchase => "a distributor who buys".to_owned(),
        WonBy::House(policy) => format!("the house account, by {policy}"),
        WonBy::Nobody => "nobody referred it".to_owned(),
    }
}

/// The whole calculation as text.
pub(super) fn explain(run: &Run) -> String {
    let order = &run.order;
    let people = &order.attribution;
    let found = found(&people.won_by);
    let who = optional(people.referrer.as_ref().or(people.own_purchase.as_ref()));
    let state = nothing::state(order).map(|state| format!("  {state}\n")).unwrap_or_default();
    let mut text = format!(
        "order {} revision {}: {}, placed {}\n{state}  referrer {who} ({found})\n  plan {} version {}, \
         genealogy {}, catalog {}, engine {}\n  {}\n\n",
        order.key,
        order.revision,
        order.status.as_str(),
        order.placed_at,
        order.locks.plan.id,
        order.locks.plan.version,
        order.locks.genealogy.seq,
        order.locks.catalog,
        run.engine,
        currencies(order),
    );
    // The order may be in another currency than its commission: then each line has both amounts.
    let converted = order.payout_currency() != order.currency;
    let rows: Vec<Vec<String>> = order
        .lines
        .iter()
        .map(|line| {
            let mut row = vec![
                line.id.to_string(),
                optional(line.sku.as_ref()),
                optional(line.class.as_ref()),
                line.quantity.normalize().to_string(),
                format!("{:>10}", line.net),
                format!("{:>10}", line.refunded),
                format!("{:>10}", line.base),
            ];
            if converted {
                row.push(format!("{:>10}", line.commissionable()));
            }
            row.push(line.zero.map(reason).unwrap_or_default());
            row
        })
        .collect();
    for decided in decisions(order) {
        text.push_str(&decided);
    }
    let mut head = vec!["line", "sku", "class", "units", "net", "refunded", "earns on"];
    let paid_on = format!("in {}", order.payout_currency());
    if converted {
        head.push(&paid_on);
    }
    head.push("why not");
    text.push_str(&output::table(&head, &rows));
    text.push('\n');
    if let Some(volumes) = &run.volumes {
        text.push_str(&of_volumes(order, volumes));
    }
    for (component, totals) in &run.totals {
        text.push_str(&of_component(run, component));
        text.push_str(&format!(
            "  {component}: pool {} = paid {} + breakage {}\n\n",
            totals.pool, totals.paid, totals.breakage
        ));
    }
    if run.totals.is_empty() {
        text.push_str("  no component pays for it\n");
    }
    text
}

/// The volume of each line and whom it counts for; of a line without any, why.
fn of_volumes(order: &MappedOrder, volumes: &[VolumeLine]) -> String {
    let rows = order.lines.iter().map(|line| {
        let found = volumes.iter().find(|volume| volume.line == line.id);
        let who = found.map_or_else(|| "-".to_owned(), |found| found.distributor.to_string());
        let source = found.map_or_else(|| "-".to_owned(), |found| found.source.to_string());
        let amount = found.map(|found| found.amount).unwrap_or_default();
        let basis = line.volume.as_ref();
        let unit =
            |pick: fn(&VolumeBasis) -> Option<Volume>| optional(basis.and_then(pick).as_ref());
        let units = basis.map_or_else(|| "-".to_owned(), |basis| basis.units.to_string());
        let mut row = vec![line.id.to_string(), who, source];
        row.extend([amount.pv, amount.qv, amount.cv].map(|volume| format!("{volume:>10}")));
        row.extend([units, unit(|basis| basis.qv), unit(|basis| basis.cv)]);
        row.push(line.zero.map(reason).unwrap_or_default());
        row
    });
    let head = ["line", "counts for", "source", "PV", "QV", "CV", "units", "QV/unit", "CV/unit"];
    let head: Vec<&str> = head.into_iter().chain(["why not"]).collect();
    format!("  volumes\n{}\n", output::table(&head, &rows.collect::<Vec<_>>()))
}

/// The decisions that the calculation rests on: who, when, and the digest that proves the reason.
fn decisions(order: &MappedOrder) -> Vec<String> {
    let people = order.attribution.decision.iter().map(|d| ("who referred it".to_owned(), d));
    let lines = order.lines.iter();
    let lines = lines.filter_map(|l| Some((format!("line {}", l.id), l.decision.as_ref()?)));
    let charged = order.chargebacks.iter().map(|c| {
        let what = format!("chargeback {} takes {} {}", c.chargeback, c.takes, order.currency);
        (what, &c.decision)
    });
    let all: Vec<String> = people
        .chain(lines)
        .chain(charged)
        .map(|(what, d)| format!("  {what}: decided by {} at {} ({})\n", d.by, d.at, d.digest))
        .collect();
    if all.is_empty() { all } else { [all, vec!["\n".to_owned()]].concat() }
}

fn of_component(run: &Run, component: &ComponentId) -> String {
    let walk = run.walks.get(component).map(Vec::as_slice).unwrap_or_default();
    let passed: Vec<String> = walk
        .iter()
        .filter(|step| step.level.is_none())
        .map(|step| format!("{} ({})", step.distributor, step.status.as_str()))
        .collect();
    let mut by_level: BTreeMap<u16, Vec<Vec<String>>> = BTreeMap::new();
    for line in run.lines.iter().filter(|line| line.component == *component) {
        let earner = match &line.account {
            Account::Distributor(id) => id.to_string(),
            Account::Breakage => "breakage".to_owned(),
        };
        by_level.entry(line.level).or_default().push(vec![
            line.level.to_string(),
            earner,
            line.line.to_string(),
            match line.volume {
                Some(points) => format!("{:>10}", points.to_string()),
                None => format!("{:>10}", line.base),
            },
            format!("{:>6}", line.rate.to_string()),
            format!("{:>10}", line.amount),
            line.source(&run.order.attribution)
                .map(|s| s.as_str().replace('_', " "))
                .unwrap_or_default(),
            line.breakage.map(|b| b.as_str().replace('_', " ")).unwrap_or_default(),
        ]);
    }
    let rows: Vec<Vec<String>> = by_level.into_values().flatten().collect();
    let head = ["level", "distributor", "line", "of", "rate", "amount", "from", "why"];
    let mut text = format!("  {component}\n{}", output::table(&head, &rows));
    if !passed.is_empty() {
        text.push_str(&format!("  passed over: {}\n", passed.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests;
