//! What a close comes to, for the person who answers for it: what is posted to whom, of which period, and what
//! it rests on.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::{
    app::closing::{
        Prepared,
        placement::{BroughtSum, Unplaced},
    },
    cli::output,
    domain::{
        close::Beneficiary, id::ComponentId, money::Money, plan::period::PeriodId, volume::Volume,
    },
};

pub(super) fn tell(prepared: &Prepared) -> String {
    let (basis, currency) = (&prepared.basis, prepared.basis.currency);
    let mut text = format!(
        "period {} of plan {} version {}: {} to {}, paid on {}\n",
        basis.period.id,
        basis.plan.id,
        basis.plan.version,
        basis.period.start,
        basis.period.end,
        basis.period.distribution
    );
    text += &assumed(prepared);
    text += &sums(prepared);
    text += &late(prepared);
    text += &placed(prepared);
    text += &posted(prepared);
    text += &reasons(prepared);
    text += &ranks(prepared);
    if !prepared.movers.is_empty() {
        text += "pay that changes most against the period before:\n";
    }
    for (id, mover) in &prepared.movers {
        text += &format!("  {id}: {} {currency}, {} before\n", mover.now, mover.before);
    }
    text.trim_end().to_owned()
}

/// What the preview takes for granted.
fn assumed(prepared: &Prepared) -> String {
    let mut text = String::new();
    for period in &prepared.assumes {
        text += &format!(
            "PREVIEW: period {} before it IS NOT CLOSED (it can be from {} on)\n",
            period.id, period.cut_off
        );
    }
    if !prepared.assumes.is_empty() {
        text += "  the figures below are computed as if it closed as the books are now: its carried volume, \
                 ranks, bonuses paid once and carried amounts are in them, and change with it; orders that \
                 were placed since are paid by the ranks of before\n";
    }
    if prepared.uncounted > 0 {
        text += &format!(
            "FIRST PERIOD: no period of the plan is closed yet, and {} volume entries of orders placed before \
             {} count in none; if a period before is yours to close, close that one first\n",
            prepared.uncounted, prepared.basis.period.start
        );
    }
    text
}

fn sums(prepared: &Prepared) -> String {
    let (summary, currency) = (&prepared.summary, prepared.basis.currency);
    let ratio = summary.payout_ratio.map_or_else(String::new, |ratio| {
        format!(", {} % of the volume", ratio.saturating_mul(Decimal::ONE_HUNDRED).normalize())
    });
    let mut text = format!(
        "{} members, {} active, {} get something; CV {}\n",
        summary.members, summary.active, summary.paid_members, summary.cv
    );
    text += &format!("members get {} {currency} for the period{ratio}\n", summary.paid);
    if let Some(corrected) = prepared.corrected() {
        text += &format!(
            "and {corrected} {currency} correct what closed periods paid, because volume of theirs came back \
             after the close: {} {currency} together\n",
            summary.paid + corrected
        );
    }
    text
}

fn late(prepared: &Prepared) -> String {
    let mut text = String::new();
    let late = prepared.late;
    if late.entries > 0 {
        text += &format!(
            "late: {} volume entries (CV {} together) of orders of closed periods came in after the close of \
             those: what is new counts in this period, what came back corrects its own\n",
            late.entries, late.cv
        );
    }
    let below = prepared.summary.below_zero;
    if below != Volume::ZERO {
        let what = if prepared.carries_volume() {
            "is carried into the next period"
        } else {
            "is forgiven, as the plan says"
        };
        text += &format!("CV {below} of members who gave back more than they bought {what}\n");
    }
    text
}

/// What is to be known of binaries and matrices before they are closed.
fn placed(prepared: &Prepared) -> String {
    let kept = prepared.kept();
    let mut text = String::new();
    for BroughtSum { component, positions, left, right } in kept.brought {
        text += &format!(
            "{component}: {positions} positions begin with volume imported from an earlier system, left {left}, \
             right {right}\n"
        );
    }
    for Unplaced { component, tree, distributors, volume } in kept.unplaced {
        text += &format!(
            "{component}: {distributors} distributors with {volume} points have no position in tree \
             {tree}: that volume pays nobody\n"
        );
    }
    for note in kept.notes {
        text += &format!("{note}\n");
    }
    text
}

/// Where money goes: to members, to nobody, to caps, into the next period.
#[derive(Debug, Clone, Copy, Default)]
struct Row([Money; 4]);

impl Row {
    fn add(&mut self, to: &Beneficiary, amount: Money) {
        let [members, nobody, capped, carried] = &mut self.0;
        *match to {
            Beneficiary::Distributor(_) => members,
            Beneficiary::Breakage(_) => nobody,
            Beneficiary::Capped(_) => capped,
            Beneficiary::Carried => carried,
        } += amount;
    }

    fn cells(self, name: String, of: &str) -> Vec<String> {
        let together = self.0.iter().copied().sum();
        let amounts = self.0.into_iter().chain([together]);
        [name, of.to_owned()].into_iter().chain(amounts.map(|m| format!("{m:>10}"))).collect()
    }
}

/// What is posted, by component and by the period that it is for; and what stands in the ledger already.
fn posted(prepared: &Prepared) -> String {
    let mut rows: BTreeMap<(usize, Option<PeriodId>), Row> = BTreeMap::new();
    let place = |id: &ComponentId| {
        let components = &prepared.summary.components;
        components.iter().position(|(known, _)| known == id).unwrap_or(usize::MAX)
    };
    let mut all = Row::default();
    for entry in prepared.entries() {
        let row = rows.entry((place(&entry.component), entry.corrects.clone())).or_default();
        row.add(&entry.to, entry.amount);
        all.add(&entry.to, entry.amount);
    }
    let name = |place: usize| {
        let component = prepared.summary.components.get(place);
        component.map(|(id, _)| id.to_string()).unwrap_or_default()
    };
    let own = prepared.basis.period.id.as_str();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|((component, corrects), row)| {
            let of = corrects.as_ref().map(|period| format!("{period}, corrected"));
            row.cells(name(*component), of.as_deref().unwrap_or(own))
        })
        .collect();
    if cells.len() > 1 {
        cells.push(all.cells("together".to_owned(), ""));
    }
    let mut text = String::new();
    if cells.is_empty() {
        text += "nothing is posted\n";
    } else {
        let amounts = ["to members", "to nobody", "to caps", "carried on", "together"];
        let head: Vec<String> = amounts.iter().map(|name| format!("{name:>10}")).collect();
        let head = ["posted", "for"].into_iter().chain(head.iter().map(String::as_str));
        text += &output::table(&head.collect::<Vec<_>>(), &cells);
    }
    let currency = prepared.basis.currency;
    for (id, earned) in prepared.of_orders() {
        text += &format!(
            "{id}: {earned} {currency} earned by orders of the period, posted with them and not again\n"
        );
    }
    text
}

/// Why money goes to nobody, and which cap takes how much.
fn reasons(prepared: &Prepared) -> String {
    let currency = prepared.basis.currency;
    let mut text = String::new();
    for (id, totals) in &prepared.summary.components {
        for (reason, amount) in &totals.breakage {
            let reason = reason.as_str().replace('_', " ");
            text += &format!("{id}: {amount} {currency} stay with the company: {reason}\n");
        }
        for (cap, amount) in &totals.capped {
            text += &format!("{id}: the cap {cap} takes {amount} {currency}\n");
        }
    }
    text
}

fn ranks(prepared: &Prepared) -> String {
    let mut text = String::new();
    let somebody = prepared.summary.ranks.iter().filter(|(_, count)| *count > 0);
    let ranks: Vec<String> = somebody.map(|(rank, count)| format!("{rank} {count}")).collect();
    if !ranks.is_empty() {
        text += &format!("paid as: {}\n", ranks.join(", "));
    }
    if !prepared.rank_changes.is_empty() {
        let (count, end) = (prepared.rank_changes.len(), prepared.basis.period.end);
        text += &format!("{count} are paid as another rank for orders placed from {end} on\n");
    }
    text
}
