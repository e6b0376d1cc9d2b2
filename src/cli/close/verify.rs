//! `upline close PERIOD --verify`: whether the books of a closed period hold what it came from.

use std::process::ExitCode;

use jiff::Timestamp;

use crate::{
    app::closing::{CarriedLegs, Difference, Verified, verify},
    cli::output,
    domain::plan::period::PeriodId,
    store::postgres::Postgres,
};

/// Differences that are shown; `--json` has all of them.
const SHOWN: usize = 20;
/// Characters of a value that are shown.
const WIDTH: usize = 72;

pub(super) async fn run(
    store: &Postgres,
    period: &PeriodId,
    json: bool,
    now: Timestamp,
) -> anyhow::Result<ExitCode> {
    let verified = verify(store, period, now).await?;
    let text = if json { serde_json::to_string(&verified)? } else { tell(&verified) };
    output::line(&text);
    Ok(if verified.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(verified: &Verified) -> String {
    let Verified { basis, block, members, carries, legs, entries, rank_bonuses, .. } = verified;
    let Verified { positions, levels, corrections, .. } = verified;
    let what = format!(
        "{} of plan {} version {}, computed again from genealogy {}, journal {} and ledger {}",
        basis.period.id,
        basis.plan.id,
        basis.plan.version,
        basis.genealogy.seq,
        basis.counted.upto,
        basis.ledger
    );
    let mut compared = format!(
        "{members} members, {entries} entries, {rank_bonuses} bonuses for ranks, {carries} members with \
         volume below zero carried on"
    );
    if positions.saturating_add(*levels).saturating_add(*corrections) > 0 {
        compared += &format!(
            ", {positions} positions of binaries, {levels} levels of matrices, {corrections} corrections"
        );
    }
    for CarriedLegs { component, positions, left, right } in legs {
        compared += &format!(
            "\n{component}: {positions} positions carry on {left} points in left and {right} in right legs"
        );
    }
    if verified.holds() {
        return format!("{what}: the books hold the same, and block {block} seals it\n{compared}");
    }
    let shown = verified.differences.iter().take(SHOWN);
    let rows: Vec<Vec<String>> = shown.map(row).collect();
    let found = u64::try_from(verified.differences.len()).unwrap_or(u64::MAX);
    let found = found.saturating_add(verified.more);
    let head = ["of", "which", "field", "in the books", "computed"];
    let places = if found == 1 { "place" } else { "places" };
    let mut text = format!("{what}: THE BOOKS DIFFER in {found} {places}\n{compared}\n");
    text += &output::table(&head, &rows);
    let left = found.saturating_sub(u64::try_from(rows.len()).unwrap_or(u64::MAX));
    if left > 0 {
        text += &format!("  and {left} more: --json lists them\n");
    }
    text.trim_end().to_owned()
}

fn row(difference: &Difference) -> Vec<String> {
    let side = |side: &Option<String>| {
        let text = side.as_deref().unwrap_or("nothing");
        let short: String = text.chars().take(WIDTH).collect();
        if short.len() < text.len() { format!("{short}..") } else { short }
    };
    vec![
        difference.of.as_str().to_owned(),
        difference.which.clone(),
        difference.field.to_owned(),
        side(&difference.stored),
        side(&difference.computed),
    ]
}
