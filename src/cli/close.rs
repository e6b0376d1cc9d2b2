//! `upline close`: what a period comes to, and closing it.

mod tell;
mod verify;
mod whole;

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    app::closing::{AssumedTold, Found, Prepared, Whole, prepare, whole},
    clock::Clock,
    config::Environment,
    domain::{
        id::{Operator, Reason},
        money::Money,
        plan::period::PeriodId,
    },
    store::postgres::{CloseOutcome, Closed, Closing, Postgres},
};

/// Arguments of `close`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The period: the month `2026-02`, the week `2026-02-02` by its first day, or the plan's name for it.
    period: String,
    /// Close it. Without this nothing is written.
    #[arg(long, requires = "by")]
    commit: bool,
    /// Compute a closed period again from what it came from, and compare it with the books.
    #[arg(long, conflicts_with_all = ["commit", "by", "why"])]
    verify: bool,
    /// Who closes it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// What the close was approved to post to distributors, as the preview said; it is refused if that is
    /// another amount now.
    #[arg(long, value_name = "TOTAL", requires = "commit")]
    expect: Option<String>,
    /// Why, if there is something to say.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// How many of those whose pay changed most are shown.
    #[arg(long, default_value_t = 10)]
    movers: usize,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let period = PeriodId::parse(&arguments.period)?;
    let by = arguments.by.as_deref().map(Operator::parse).transpose().context("--by")?;
    let why = arguments.why.as_deref().map(Reason::parse).transpose().context("--why")?;
    let expect = arguments.expect.as_deref().map(Money::parse).transpose().context("--expect")?;
    let connected = services::connect(environment, "upline")?;
    let clock = Clock::system();
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        if arguments.verify {
            return verify::run(&store, &period, arguments.json, clock.now()).await;
        }
        let prepared = match prepare(&store, &period, clock.now(), arguments.movers).await? {
            Found::Closed(closed) => {
                output::line(&told(arguments.json, &of_closed(&closed)?, || tell_closed(&closed)));
                return Ok(ExitCode::SUCCESS);
            }
            Found::Open(prepared) => prepared,
        };
        let mut block = None;
        let whole = whole(&store, &prepared).await?;
        let mut text = tell::tell(&prepared) + &whole::tell(&whole);
        text += &begun(&store, &prepared).await?;
        if let Some(by) = by.filter(|_| arguments.commit) {
            if let Some(expected) = expect.filter(|expected| *expected != whole.close) {
                anyhow::bail!(
                    "{expected} was approved and {} {} would be posted now: look at the period again",
                    whole.close,
                    whole.currency
                );
            }
            block = commit(&store, &prepared, &by, why.as_ref(), clock.now()).await?;
            text += &match block {
                Some(block) => format!("\nclosed, sealed by block {block}"),
                None => "\nsomebody else has closed it meanwhile".to_owned(),
            };
        }
        output::line(&told(arguments.json, &of_prepared(&prepared, &whole, block)?, || text));
        Ok(ExitCode::SUCCESS)
    })?
}

/// Writes the close; the number of its block, or none if somebody else has closed the period.
async fn commit(
    store: &Postgres,
    prepared: &Prepared,
    by: &Operator,
    reason: Option<&Reason>,
    now: Timestamp,
) -> anyhow::Result<Option<u64>> {
    let period = &prepared.basis.period;
    if let Some(open) = prepared.assumes.first() {
        anyhow::bail!(
            "period {} of plan {} is open and comes before {}: close it first",
            open.id,
            prepared.basis.plan.id,
            period.id
        );
    }
    anyhow::ensure!(
        now >= period.cut_off,
        "period {} can be closed from {} on: until then payments and refunds count",
        period.id,
        period.cut_off
    );
    let closing = Closing {
        basis: &prepared.basis,
        summary: serde_json::to_string(&prepared.kept())?,
        members: &prepared.members(),
        carries: &prepared.carries(),
        entries: &prepared.entries(),
        placed: prepared.placed(),
        rank_bonuses: &prepared.rank_bonuses(),
        ranks: &prepared.rank_changes,
        by,
        reason,
        now,
    };
    match store.commit_close(&closing).await? {
        CloseOutcome::Sealed(block) => Ok(Some(block)),
        CloseOutcome::Already => Ok(None),
        CloseOutcome::Outdated => {
            anyhow::bail!(
                "another period was closed, a rank decided or imported, or a version of the plan stored, meanwhile: \
                 look at this one again"
            )
        }
    }
}

/// Versions of the plan that begin within the period: orders are paid by them, this close is not.
async fn begun(store: &Postgres, prepared: &Prepared) -> anyhow::Result<String> {
    let (plan, period) = (&prepared.basis.plan, &prepared.basis.period);
    let lines = store.versions_within(&plan.id, period).await?.into_iter().map(|begun| {
        format!(
            "\nversion {} of the plan holds for orders from {} on; this period is closed by version {}, \
             the next, from {} on, by version {}",
            begun.version, begun.from, plan.version, period.end, begun.version
        )
    });
    Ok(lines.collect())
}

fn told(json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) -> String {
    if json { value.to_string() } else { text() }
}

fn of_prepared(
    prepared: &Prepared,
    whole: &Whole,
    block: Option<u64>,
) -> anyhow::Result<serde_json::Value> {
    let movers: Vec<serde_json::Value> = prepared
        .movers
        .iter()
        .map(|(id, mover)| {
            serde_json::json!({ "distributor": id, "before": mover.before, "now": mover.now })
        })
        .collect();
    let corrections = prepared.corrected().unwrap_or_default();
    let assumes: Vec<AssumedTold> = prepared.assumes.iter().map(AssumedTold::of).collect();
    Ok(serde_json::json!({
        "basis": serde_json::to_value(&prepared.basis)?,
        "assumes": assumes,
        "uncounted": prepared.uncounted,
        "summary": serde_json::to_value(prepared.kept())?,
        "to_members": {
            "of_the_period": prepared.summary.paid,
            "corrections": corrections,
            "together": prepared.summary.paid + corrections,
        },
        "whole": serde_json::to_value(whole)?,
        "movers": movers,
        "rank_changes": prepared.rank_changes.len(),
        "block": block,
    }))
}

fn of_closed(closed: &Closed) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::json!({
        "basis": serde_json::to_value(&closed.basis)?,
        "summary": serde_json::from_str::<serde_json::Value>(&closed.summary)?,
        "closed_by": closed.by, "closed_at": closed.at, "block": closed.block,
    }))
}

fn tell_closed(closed: &Closed) -> String {
    let basis = &closed.basis;
    format!(
        "{} of plan {} version {} is closed since {}, by {}, sealed by block {}; what comes in for it now is \
         counted, or corrected, in the period that is open. --json shows its figures.",
        basis.period.id, basis.plan.id, basis.plan.version, closed.at, closed.by, closed.block
    )
}
