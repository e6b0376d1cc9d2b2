//! What happened to an order, in the order in which it happened.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{rate, reason};
use crate::{
    cli::output,
    domain::{
        commission::{MappedLine, MappedOrder, Run},
        order::ChargebackPolicy,
        plan::volume::LineVolumes,
    },
    store::postgres::{NumberedVolume, PostedEntry, PostedRun, Story, Told},
};

/// The whole story as text.
pub(super) fn tell(story: &Story) -> String {
    let mut text =
        format!("order {}: {}, revision {}\n", story.order, story.outcome, story.revision);
    for wait in &story.waits {
        text.push_str(&format!(
            "  waits for {} {} since {}\n",
            wait.kind,
            wait.value,
            time(wait.since)
        ));
    }
    text.push_str("\nwhat happened\n");
    // What came first is told first; an event before the posting that follows it.
    let mut parts: Vec<(Timestamp, u8, String)> = Vec::new();
    let policy = story.runs.last().map(|last| &last.run.order.refund_policy);
    for event in &story.events {
        let mut told = received(event);
        if let Some(why) = policy.and_then(|policy| takes_nothing(event, policy.chargebacks)) {
            told.push_str(&format!("      takes nothing: {why}\n"));
        }
        parts.push((event.received_at, 0, told));
    }
    let mut before: Option<&PostedRun> = None;
    for run in &story.runs {
        parts.push((run.posted_at, 1, posted(run, before)));
        before = Some(run);
    }
    parts.sort_by_key(|(at, kind, _)| (*at, *kind));
    if parts.is_empty() {
        text.push_str("  nothing is written down: the order is older than its story\n");
    }
    for (_, _, part) in parts {
        text.push_str(&part);
    }
    text
}

fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn received(event: &Told) -> String {
    let version = event.version_at.map(|at| format!(", version {}", time(at))).unwrap_or_default();
    let fact = match event.fact.as_str() {
        "snapshot" | "recheck" => String::new(),
        fact => format!("{fact} "),
    };
    let effect = match event.effect.as_str() {
        "revision" => format!("revision {}", event.revision),
        "parked" => format!("parked as revision {}", event.revision),
        "nothing_new" => "ignored".to_owned(),
        "no_order_yet" => "kept until the order arrives".to_owned(),
        "recheck" => "looked at again".to_owned(),
        other => other.to_owned(),
    };
    let reason = event.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "  {} received {}: {fact}{}{version}\n      -> {effect}{reason}\n",
        time(event.received_at),
        event.topic,
        event.said
    )
}

/// Why a chargeback takes no commission back, under the policy of the last posted revision. A story
/// says the stage first.
fn takes_nothing(event: &Told, policy: ChargebackPolicy) -> Option<&'static str> {
    let (stage, _amount) = event.said.split_once(',')?;
    event.fact.strip_prefix("chargeback:")?;
    match (policy, stage) {
        (ChargebackPolicy::Ignore, _) => Some("the store ignores chargebacks"),
        (_, "inquiry") => Some("an inquiry moves no money"),
        (_, "won") => Some("the shop won it"),
        (_, "refunded") => Some("the shop refunded the buyer, and the refund itself counts"),
        (ChargebackPolicy::WhenLost, "open") => {
            Some("the store counts a chargeback when it is lost")
        }
        (ChargebackPolicy::WhenLost | ChargebackPolicy::WhenOpened, _) => None,
    }
}

fn posted(run: &PostedRun, before: Option<&PostedRun>) -> String {
    let mut text = format!("  {} posted revision {}", time(run.posted_at), run.run.order.revision);
    let changes = differences(before.map(|before| &before.run), &run.run);
    text.push_str(&format!(": {}\n", changes.join("; ")));
    for entry in &run.entries {
        text.push_str(&format!("      {}\n", one(entry)));
    }
    for volume in &run.volumes {
        text.push_str(&format!("      {}\n", counted(volume)));
    }
    if run.entries.is_empty() && run.volumes.is_empty() {
        text.push_str("      nothing to post: the ledger has what the order comes to\n");
    }
    text
}

fn one(entry: &PostedEntry) -> String {
    let corrects = entry.corrects.map(|seq| format!(", corrects #{seq}")).unwrap_or_default();
    let why = entry.breakage.as_ref().map(|why| format!(" ({})", why.replace('_', " ")));
    format!(
        "#{} debit {} credit {} {} {}{}: line {}, {} level {}{corrects}",
        entry.seq,
        entry.debit,
        entry.credit,
        output::amount(entry.amount),
        entry.currency,
        why.unwrap_or_default(),
        entry.line,
        entry.component,
        entry.level,
    )
}

fn counted(volume: &NumberedVolume) -> String {
    let NumberedVolume { seq, entry, corrects_seq } = volume;
    let LineVolumes { pv, qv, cv } = entry.amount;
    let position = &entry.position;
    let corrects = corrects_seq.map(|seq| format!(", corrects volume #{seq}")).unwrap_or_default();
    format!(
        "volume #{seq} for {}, {}: PV {pv}, QV {qv}, CV {cv}: line {}{corrects}",
        position.distributor, position.source, position.line,
    )
}

/// In what a revision differs from the one that was posted before it.
fn differences(before: Option<&Run>, now: &Run) -> Vec<String> {
    let Some(before) = before else {
        let zeros = now.order.lines.iter().filter_map(zero).collect::<Vec<_>>();
        let first = format!("the order is {}", now.order.status.as_str());
        return std::iter::once(first).chain(zeros).collect();
    };
    let mut found = Vec::new();
    let (old, new) = (&before.order, &now.order);
    if old.status != new.status {
        found.push(format!("status {} -> {}", old.status.as_str(), new.status.as_str()));
    }
    if old.currency != new.currency {
        found.push(format!("currency {} -> {}", old.currency, new.currency));
    }
    if old.locks.rate != new.locks.rate {
        let rate =
            |order: &MappedOrder| order.locks.rate.as_ref().map_or_else(|| "none".to_owned(), rate);
        found.push(format!("exchange rate {} -> {}", rate(old), rate(new)));
    }
    if old.attribution != new.attribution {
        found.push("the referrer or the candidates for it changed".to_owned());
    }
    let known: BTreeMap<_, _> = old.lines.iter().map(|line| (&line.id, line)).collect();
    if old.chargebacks != new.chargebacks {
        found.push("what was decided of chargebacks changed".to_owned());
    }
    for line in &new.lines {
        let Some(was) = known.get(&line.id) else {
            found.push(format!("line {} is new: earns on {}", line.id, line.base));
            continue;
        };
        for (what, was, is) in [
            ("net", was.net, line.net),
            ("refunded", was.refunded, line.refunded),
            ("earns on", was.base, line.base),
        ] {
            if was != is {
                found.push(format!("line {} {what} {was} -> {is}", line.id));
            }
        }
        if was.payout_base != line.payout_base {
            let paid = |line: &MappedLine, order: &MappedOrder| {
                format!("{} {}", line.commissionable(), order.payout_currency())
            };
            found.push(format!(
                "line {} paid on {} -> {}",
                line.id,
                paid(was, old),
                paid(line, new)
            ));
        }
        if was.zero != line.zero {
            found.extend(zero(line));
        }
        if was.class != line.class {
            let class = |line: &MappedLine| {
                line.class.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            found.push(format!("line {} class {} -> {}", line.id, class(was), class(line)));
        }
    }
    for line in old.lines.iter().filter(|line| !new.lines.iter().any(|l| l.id == line.id)) {
        found.push(format!("line {} is gone", line.id));
    }
    if found.is_empty() {
        found.push("nothing that commission depends on changed".to_owned());
    }
    found
}

fn zero(line: &MappedLine) -> Option<String> {
    Some(format!("line {} earns nothing: {}", line.id, reason(line.zero?)))
}
