//! `upline close`: what a period comes to, and closing it.

mod verify;

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use rust_decimal::Decimal;
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    app::closing::{Found, Prepared, placement::Unplaced, prepare},
    clock::Clock,
    config::Environment,
    domain::{
        close::Totals,
        id::{Operator, Reason},
        money::Money,
        plan::period::PeriodId,
        volume::Volume,
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
        let mut text = tell(&prepared);
        if let Some(by) = by.filter(|_| arguments.commit) {
            block = commit(&store, &prepared, &by, why.as_ref(), clock.now()).await?;
            text += &match block {
                Some(block) => format!("\nclosed, sealed by block {block}"),
                None => "\nsomebody else has closed it meanwhile".to_owned(),
            };
        }
        output::line(&told(arguments.json, &of_prepared(&prepared, block)?, || text));
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
                "another period was closed, or a rank forced, meanwhile: look at this one again"
            )
        }
    }
}

fn told(json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) -> String {
    if json { value.to_string() } else { text() }
}

fn of_prepared(prepared: &Prepared, block: Option<u64>) -> anyhow::Result<serde_json::Value> {
    let movers: Vec<serde_json::Value> = prepared
        .movers
        .iter()
        .map(|(id, mover)| {
            serde_json::json!({ "distributor": id, "before": mover.before, "now": mover.now })
        })
        .collect();
    Ok(serde_json::json!({
        "basis": serde_json::to_value(&prepared.basis)?,
        "summary": serde_json::to_value(prepared.kept())?,
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
        "{} of plan {} version {} is closed since {}, by {}, sealed by block {}; what comes late is a \
         matter of the next period. --json shows its figures.",
        basis.period.id, basis.plan.id, basis.plan.version, closed.at, closed.by, closed.block
    )
}

fn tell(prepared: &Prepared) -> String {
    let (basis, summary) = (&prepared.basis, &prepared.summary);
    let currency = basis.currency;
    let mut text = format!(
        "period {} of plan {} version {}: {} to {}, paid on {}\n",
        basis.period.id,
        basis.plan.id,
        basis.plan.version,
        basis.period.start,
        basis.period.end,
        basis.period.distribution
    );
    let ratio = summary.payout_ratio.map_or_else(String::new, |ratio| {
        format!(", {} % of it", ratio.saturating_mul(Decimal::ONE_HUNDRED).normalize())
    });
    text += &format!(
        "{} members, {} active, {} get something; CV {}, pays {} {currency}{ratio}\n",
        summary.members, summary.active, summary.paid_members, summary.cv, summary.paid
    );
    if prepared.late.entries > 0 {
        text += &format!(
            "{} entries came late for closed periods, CV {}: what is new counts here, what came back \
             corrects those\n",
            prepared.late.entries, prepared.late.cv
        );
    }
    if summary.below_zero != Volume::ZERO {
        let what =
            if prepared.carries_volume() { "is carried into the next" } else { "is forgiven" };
        text += &format!(
            "CV {} of members who gave back more than they bought {what}\n",
            summary.below_zero
        );
    }
    text += &tell_placed(prepared);
    let head = ["component", "pool", "paid", "breakage", "capped", "carried"];
    let rows: Vec<Vec<String>> =
        summary.components.iter().map(|(id, totals)| row(id.as_str(), totals)).collect();
    text += &output::table(&head, &rows);
    text += "
";
    for (id, totals) in &summary.components {
        for (reason, amount) in &totals.breakage {
            text +=
                &format!("{id}: {amount} {currency} stay with the company, {}\n", reason.as_str());
        }
        for (cap, amount) in &totals.capped {
            text += &format!("{id}: the cap {cap} takes {amount} {currency}\n");
        }
    }
    let somebody = summary.ranks.iter().filter(|(_, count)| *count > 0);
    let ranks: Vec<String> = somebody.map(|(rank, count)| format!("{rank} {count}")).collect();
    if !ranks.is_empty() {
        text += &format!("paid as: {}\n", ranks.join(", "));
    }
    if !prepared.rank_changes.is_empty() {
        let (count, end) = (prepared.rank_changes.len(), basis.period.end);
        text += &format!("{count} are paid as another rank for orders placed from {end} on\n");
    }
    for (id, mover) in &prepared.movers {
        text += &format!("{id}: {} after {} {currency}\n", mover.now, mover.before);
    }
    text.trim_end().to_owned()
}

/// What is to be known of binaries and matrices before they are closed.
fn tell_placed(prepared: &Prepared) -> String {
    let (kept, currency) = (prepared.kept(), prepared.basis.currency);
    let mut text = String::new();
    for Unplaced { component, tree, distributors, volume } in kept.unplaced {
        text += &format!(
            "{component}: {distributors} distributors with {volume} points have no position in tree \
             {tree}: that volume pays nobody\n"
        );
    }
    for note in kept.notes {
        text += &format!("{note}\n");
    }
    if let Some(corrected) = kept.corrected {
        text += &format!(
            "volume of closed periods came back: {corrected} {currency} correct what they paid\n"
        );
    }
    text
}

fn row(id: &str, totals: &Totals) -> Vec<String> {
    let broken: Money = totals.breakage.values().copied().sum();
    let capped: Money = totals.capped.values().copied().sum();
    let amounts = [totals.pool, totals.paid, broken, capped, totals.carried];
    std::iter::once(id.to_owned()).chain(amounts.map(|amount| amount.to_string())).collect()
}
