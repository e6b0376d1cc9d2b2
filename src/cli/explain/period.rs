//! The period of a distributor, to the last cent and to the last zero.

mod placed;
mod words;

use std::process::ExitCode;

use secrecy::ExposeSecret;

use self::words::{because, word};
use super::{block_on, output, services};
use crate::{
    app::closing::{
        AssumedTold, ComponentTold, CorrectedTold, LineTold, OrdersTold, PeriodStory, To,
        WithheldTold, story,
    },
    clock::Clock,
    config::Environment,
    domain::{
        close::{Base, Hold, Shortfall, Title, Unpaid},
        id::{DistributorId, RankId},
        money::{Money, Rate},
        plan::{
            period::PeriodId,
            rank::Window,
            volume::{LineVolumes, NegativeVolume},
        },
        volume::Volume,
    },
    store::postgres::{CarryTold, Postgres},
};

/// Rows of a table that are shown; `--json` has all of them.
const SHOWN: usize = 12;
/// Entries of volume and orders of a component that are read without `--all`: a house account has every order
/// of the period.
const LARGEST: usize = 50;

pub(super) fn run(
    distributor: &str,
    period: &str,
    (json, all): (bool, bool),
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let largest = (!all).then_some(LARGEST);
    let distributor = DistributorId::parse(distributor)?;
    let period = PeriodId::parse(period)?;
    let connected = services::connect(environment, "upline")?;
    let clock = Clock::system();
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        let told = story(&store, &distributor, &period, clock.now(), largest).await?;
        let text = if json { serde_json::to_string(&told)? } else { tell(&told) };
        output::line(&text);
        let holds = told.closed.is_none_or(|closed| closed.sealed);
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })?
}

/// The whole story as text.
fn tell(story: &PeriodStory) -> String {
    let mut text = head(story);
    text += &volumes(story);
    text += &activity(story);
    text += &rank(story);
    for part in &story.components {
        text += &component(part, story);
    }
    for part in &story.orders {
        text += &orders(part);
    }
    text.trim_end().to_owned()
}

fn head(story: &PeriodStory) -> String {
    let PeriodStory { distributor, period, plan, currency, basis, .. } = story;
    let mut text = format!(
        "{distributor} in {} of plan {} version {}: {} to {}, paid on {}\n",
        period.id, plan.id, plan.version, period.start, period.end, period.distribution
    );
    let read = format!(
        "genealogy {}, journal {}, ledger {}",
        basis.genealogy.seq, basis.counted.upto, basis.ledger
    );
    text += &match &story.closed {
        None => format!("open: as the books are now ({read})\n{}", assumed(story)),
        Some(closed) => {
            let agrees = if closed.sealed {
                "is what the block seals".to_owned()
            } else {
                format!(
                    "IS NOT WHAT THE BLOCK SEALS: `upline close {} --verify` lists the differences",
                    period.id
                )
            };
            format!(
                "closed {} by {}, block {}: computed again ({read}): it {agrees}\n",
                closed.at, closed.by, closed.block
            )
        }
    };
    let of_period = story.components.iter().filter(|part| !part.posted.is_zero());
    let of_period = of_period.map(|part| format!("{} {}", part.component, part.posted));
    let of_closed = story.corrected.iter();
    let of_closed = of_closed
        .map(|part| format!("{} of {}, corrected, {}", part.component, part.corrects, part.amount));
    let gets: Vec<String> = of_period.chain(of_closed).collect();
    let of = if gets.is_empty() { String::new() } else { format!(": {}", gets.join(", ")) };
    text + &format!("gets {} {currency}{of}\n", story.paid)
}

/// The open periods that the story takes for closed.
fn assumed(story: &PeriodStory) -> String {
    let mut text = String::new();
    for AssumedTold { period, cut_off, .. } in &story.assumes {
        text += &format!(
            "PREVIEW: period {period} before it IS NOT CLOSED (it can be from {cut_off} on): told as if it closed \
             as the books are now\n"
        );
    }
    text
}

/// The rows that are shown, without columns that say nothing, and how many are not. A column whose name
/// begins with a blank is of numbers.
fn shown<T>(rows: &[T], row: impl Fn(&T) -> Vec<String>, head: &[&str]) -> String {
    let mut text = of_rows(rows.get(..SHOWN).unwrap_or(rows), row, head);
    let left = rows.len().saturating_sub(SHOWN);
    if left > 0 {
        text += &format!("  and {left} more: --json lists them\n");
    }
    text
}

/// All of the largest rows, and how many are not among them.
fn largest<T>((rows, more): (&[T], u64), row: impl Fn(&T) -> Vec<String>, head: &[&str]) -> String {
    let mut text = of_rows(rows, row, head);
    if more > 0 {
        text += &format!("  the largest {}, and {more} more: --all lists them\n", rows.len());
    }
    text
}

fn of_rows<T>(rows: &[T], row: impl Fn(&T) -> Vec<String>, head: &[&str]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let some: Vec<Vec<String>> = rows.iter().map(row).collect();
    let columns = (0..).zip(head).filter_map(|(column, name)| {
        let cells: Vec<&str> =
            some.iter().filter_map(|row| row.get(column)).map(AsRef::as_ref).collect();
        cells.iter().any(|cell| !cell.is_empty()).then(|| aligned(name, &cells))
    });
    let columns: Vec<Vec<String>> = columns.collect();
    let line = |number: usize| columns.iter().filter_map(|c| c.get(number)).cloned().collect();
    let lines: Vec<Vec<String>> = (1..=some.len()).map(line).collect();
    let head: Vec<&str> = columns.iter().filter_map(|c| c.first()).map(AsRef::as_ref).collect();
    output::table(&head, &lines)
}

/// A column with its name, numbers to the right.
fn aligned(name: &str, cells: &[&str]) -> Vec<String> {
    let column = || std::iter::once(name.trim_start()).chain(cells.iter().copied());
    let width = column().map(|cell| cell.chars().count()).max().unwrap_or_default();
    let number = name.starts_with(' ');
    column().map(|cell| if number { format!("{cell:>width$}") } else { cell.to_owned() }).collect()
}

fn points(volumes: LineVolumes) -> String {
    format!("PV {}, QV {}, CV {}", volumes.pv, volumes.qv, volumes.cv)
}

/// What came after the close of its period: new, or back.
fn late(period: Option<&PeriodId>, back: bool) -> String {
    match period {
        None => String::new(),
        Some(period) if back => format!("late: taken off {period}, not counted here"),
        Some(period) => format!("late: belongs to {period}"),
    }
}

fn volumes(story: &PeriodStory) -> String {
    let own = &story.volumes;
    let mut text = format!("\nown volumes: {}\n", points(own.counted));
    if let Some(carried_in) = own.carried_in {
        let from = story.basis.previous.as_ref().map(|from| format!(" from {from}"));
        let from = from.unwrap_or_default();
        text += &format!("  carried in below zero{from}: {}\n", points(carried_in));
    }
    if let Some(below_zero) = own.below_zero {
        let goes = match own.negative_volume {
            NegativeVolume::Carry => "counts as none here and goes into the next period",
            NegativeVolume::Forgive => "counts as none and is forgiven",
        };
        text += &format!("  below zero: {}: {goes}\n", points(below_zero));
    }
    for CarryTold { component, position, left, right, by, why } in &story.brought {
        text += &format!(
            "  {component}: position {position} begins with left {left}, right {right}, imported by {by}: {why}\n"
        );
    }
    let head = ["order", "line", "placed", "source", " PV", " QV", " CV", "note"];
    text + &largest(
        (&own.entries, own.more),
        |own| {
            let entry = &own.entry;
            let LineVolumes { pv, qv, cv } = entry.amount;
            let mut row = vec![entry.order.clone(), entry.line.to_string()];
            row.extend([entry.placed_at.to_string(), entry.source.replace('_', " ")]);
            row.extend([pv, qv, cv].map(|volume| volume.to_string()));
            let corrects = entry.corrects.map(|seq| format!("corrects volume #{seq}"));
            let back = qv < Volume::ZERO;
            let notes = [late(own.late_for.as_ref(), back), corrects.unwrap_or_default()];
            let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
            row.push(notes.join("; "));
            row
        },
        &head,
    )
}

fn activity(story: &PeriodStory) -> String {
    let activity = &story.activity;
    let word = if activity.active { "active" } else { "not active" };
    let mut why = Vec::new();
    if !activity.status {
        why.push("the status is not active".to_owned());
    }
    if activity.needs.is_positive() {
        let periods = story.look_back.iter().zip(&activity.periods);
        let of: Vec<String> = periods
            .map(|(id, pv)| {
                let id = id.as_ref().map_or("before the first period", PeriodId::as_str);
                format!("{id} {pv}")
            })
            .collect();
        let what = match activity.window {
            _ if of.len() == 1 => "PV",
            Window::Sum => "PV of the look-back together",
            Window::AnyPeriod => "most PV of one period of the look-back",
        };
        let mut said = format!("{what} {} of {}", activity.has, activity.needs);
        if of.len() > 1 {
            said += &format!(" ({})", of.join(", "));
        }
        if activity.missing.is_positive() {
            said += &format!(", {} missing", activity.missing);
        }
        why.push(said);
    } else {
        why.push("the plan asks for no PV".to_owned());
    }
    match activity.order {
        Some(true) => why.push("an order in the look-back".to_owned()),
        Some(false) => why.push("no order in the look-back, and the plan asks for one".to_owned()),
        None => {}
    }
    format!("\n{word}: {}\n", why.join("; "))
}

fn rank(story: &PeriodStory) -> String {
    let rank = &story.rank;
    let name = |rank: &Option<RankId>| rank.as_ref().map_or("no rank", RankId::as_str).to_owned();
    let mut text = format!(
        "paid as {}, highest ever {}; GV {}, PGV {}, lifetime {}, active legs {}\n",
        name(&rank.paid_as),
        name(&rank.achieved),
        rank.gv,
        rank.pgv,
        rank.accumulated,
        rank.active_legs
    );
    for forced in &rank.forced {
        let hold = match forced.hold {
            Hold::AtLeast => "at least",
            Hold::Exactly => "exactly",
        };
        text += &format!(
            "  {hold} {} by decision of {}: {}\n",
            name(&forced.rank),
            forced.operator,
            forced.reason
        );
    }
    let Some(next) = &rank.next else { return text };
    if rank.missing.is_empty() {
        text +=
            &format!("  for {next} nothing is missing: a rank in between or a decision holds\n");
    }
    for missing in &rank.missing {
        let of = missing.leg_rank.as_ref();
        text += &format!("  for {next}: {}\n", lacks(&missing.shortfall, of));
    }
    text
}

/// What somebody lacks for a rank.
fn lacks(shortfall: &Shortfall, leg_rank: Option<&RankId>) -> String {
    let volume = |what: &str, needs: &Volume, has: &Volume| {
        format!("{what} {has} of {needs}, {} missing", *needs - *has)
    };
    let count = |what: &str, needs: &u16, has: &u16| {
        format!("{what} {has} of {needs}, {} missing", needs.saturating_sub(*has))
    };
    match shortfall {
        Shortfall::Active => "not active".to_owned(),
        Shortfall::Pv { needs, has } => volume("PV", needs, has),
        Shortfall::Qv { needs, has } => volume("QV", needs, has),
        Shortfall::Gv { needs, has } => volume("GV (each leg up to its cap)", needs, has),
        Shortfall::Pgv { needs, has } => volume("PGV", needs, has),
        Shortfall::Accumulated { needs, has } => volume("lifetime volume", needs, has),
        Shortfall::ActiveLegs { needs, has } => count("active legs", needs, has),
        Shortfall::EnrolledActive { needs, has } => count("active enrolled", needs, has),
        Shortfall::Legs { needs, has, gv, .. } => {
            let gv = gv.map(|gv| format!(" of GV {gv}")).unwrap_or_default();
            let with = leg_rank.map(|rank| format!(" with a {rank}")).unwrap_or_default();
            count(&format!("legs{gv}{with}"), needs, has)
        }
    }
}

fn component(part: &ComponentTold, story: &PeriodStory) -> String {
    let currency = story.currency;
    let kind = part.kind.replace('_', " ");
    let corrected = story.corrected.iter().filter(|told| told.component == part.component);
    let corrected: Vec<&CorrectedTold> = corrected.collect();
    let back: Money = corrected.iter().map(|told| told.amount).sum();
    let amount = if corrected.is_empty() { part.paid } else { part.posted + back };
    let mut text = format!("\n{} ({kind}): {amount} {currency}", part.component);
    if !corrected.is_empty() {
        text += &format!(", of which {} for the period", part.posted);
    }
    let why = placed::why_nothing(part);
    if let Some(reason) = why.or_else(|| part.unpaid.map(|reason| because(reason).to_owned())) {
        text += &format!(", because {reason}");
    }
    text += &placed::lost(part);
    text += "\n";
    text += &placed::corrections(&corrected);
    text += &lines(part, story);
    text + &totals(part)
}

/// What a component gave line by line, and what it did not give.
fn lines(part: &ComponentTold, story: &PeriodStory) -> String {
    let currency = story.currency;
    let mut text = String::new();
    let rounding = serde_json::to_value(story.rounding).ok();
    let rounding = rounding.as_ref().and_then(|r| r.as_str()).unwrap_or_default();
    let rated = |line: &LineTold| !matches!(line.title, Title::Rank | Title::Shares);
    let placed = part.binary.is_some() || part.matrix.is_some();
    if !placed && part.lines.iter().any(rated) {
        let conversion = part.conversion.filter(|_| on_volume(part));
        let conversion = conversion.map(|c| format!("a point is {} {currency}; ", c.as_decimal()));
        let rounding = rounding.replace('_', " ");
        text += &format!("  {}each line rounded {rounding}\n", conversion.unwrap_or_default());
    }
    let head = ["level", "from", " of", " rate", " exact", " amount", "note"];
    if !placed && part.pool.is_none() {
        text += &shown(&part.lines, line, &head);
    }
    text += &part.binary.as_ref().map(|told| placed::binary(told, story)).unwrap_or_default();
    text += &part.matrix.as_ref().map(|told| placed::matrix(told, story)).unwrap_or_default();
    text += &part.pool.as_ref().map(|told| placed::pool(told, part, story)).unwrap_or_default();
    if let Some(standing) = &part.bracket {
        let reached = standing.bracket.map_or_else(
            || "below the first bracket".to_owned(),
            |step| format!("in the bracket of {} from {} on", step.rate, step.from),
        );
        let next = standing.next.map(|step| {
            format!("; {} from {} on, {} away", step.rate, step.from, step.from - standing.group)
        });
        let broken = if standing.broken { "; the group has broken away" } else { "" };
        text += &format!(
            "  group {}: {reached}{}{broken}\n  gross {} on CV {}, {} owed to the groups below\n",
            standing.group,
            next.unwrap_or_default(),
            standing.gross,
            standing.cv,
            standing.owed
        );
    }
    for cut in &part.cuts {
        text += &format!("  the cap {} takes {}: the company keeps it\n", cut.cap, cut.amount);
    }
    if !part.withheld.is_empty() {
        text += "  not got\n";
    }
    text += &shown(
        &part.withheld,
        withheld,
        &["level", "from", " on", " amount", "because", "who has it"],
    );
    let told = |level: &u32| part.withheld.iter().any(|withheld| withheld.level == *level);
    let locked = part.locked.iter().filter(|locked| !told(&locked.level));
    let locked: Vec<String> =
        locked.map(|locked| format!("{} ({})", locked.level, word(locked.reason))).collect();
    if !locked.is_empty() && part.locked.len() < SHOWN {
        text += &format!("  closed, with nothing in it: level {}\n", locked.join(", "));
    }
    text
}

fn on_volume(part: &ComponentTold) -> bool {
    part.lines.iter().any(|line| matches!(line.base, Base::Volume(_)))
}

/// Where the money of the component went, of everybody.
fn totals(part: &ComponentTold) -> String {
    let totals = &part.totals;
    let broken = totals.breakage.iter().map(|(why, amount)| format!("{amount} {}", word(*why)));
    let capped = totals.capped.iter().map(|(cap, amount)| format!("{amount} cut by {cap}"));
    let kept: Vec<String> = broken.chain(capped).collect();
    let kept = if kept.is_empty() {
        String::new()
    } else {
        format!(", kept by the company {}", kept.join(", "))
    };
    let carried = Some(totals.carried).filter(|carried| !carried.is_zero());
    let carried = carried.map(|carried| format!(", carried on {carried}")).unwrap_or_default();
    format!("  of everybody: offered {}, paid {}{kept}{carried}\n", totals.pool, totals.paid)
}

fn level(level: u32, rank: Option<&RankId>) -> String {
    match (rank, level) {
        (Some(rank), _) => rank.to_string(),
        (None, 0) => String::new(),
        (None, level) => level.to_string(),
    }
}

fn base(base: Base) -> String {
    match base {
        Base::Volume(volume) => format!("{volume} points"),
        Base::Money(money) => money.to_string(),
    }
}

fn line(line: &LineTold) -> Vec<String> {
    let title = match line.title {
        Title::Share => "",
        Title::OwedToFrontline => "owed to the groups below",
        Title::Guarantee => "guaranteed to the sponsor",
        Title::Guaranteed => "guaranteed by the leg",
        Title::Rank => "the amount of the rank",
        Title::Shares => "shares",
    };
    let exact = line.exact.filter(|exact| *exact != line.amount.as_decimal());
    // An amount of the plan, or one that orders earned, is no rate of anything.
    let whole = line.rate == Rate::WHOLE && line.base == Base::Money(line.amount);
    let of_nothing = whole && line.from.is_none() && line.sources.is_empty();
    let rated = |text: String| if of_nothing { String::new() } else { text };
    vec![
        level(line.level, line.rank.as_ref()),
        from(line),
        rated(base(line.base)),
        rated(line.rate.to_string()),
        exact.map(|exact| exact.to_string()).unwrap_or_default(),
        line.amount.to_string(),
        title.to_owned(),
    ]
}

/// Whom a line comes from: of several the one who brings most, and how many more.
fn from(line: &LineTold) -> String {
    let most = line.sources.first().map(|source| &source.distributor);
    match (line.from.as_ref().or(most), line.sources.len().saturating_sub(1)) {
        (None, _) => String::new(),
        (Some(one), 0) => one.to_string(),
        (Some(one), more) => format!("{one} and {more} more"),
    }
}

fn name(id: Option<&DistributorId>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

fn withheld(withheld: &WithheldTold) -> Vec<String> {
    let has = match &withheld.to {
        To::Company => "the company".to_owned(),
        To::Distributor(id) if withheld.reason == Unpaid::OwedToFrontline => {
            format!("the group of {id}")
        }
        To::Distributor(id) => format!("went up to {id}"),
        To::Rose(id) => format!("the company, once: it rose to {id}, who may not have it either"),
        To::Nobody => "the company, once for all it passed: nobody above could have it".to_owned(),
        To::Earlier => "paid in an earlier period".to_owned(),
        To::Later => "stays due".to_owned(),
    };
    vec![
        level(withheld.level, withheld.rank.as_ref()),
        name(withheld.from.as_ref()),
        base(withheld.base),
        withheld.amount.to_string(),
        word(withheld.reason),
        has,
    ]
}

fn orders(part: &OrdersTold) -> String {
    let count = part.more.saturating_add(u64::try_from(part.orders.len()).unwrap_or(u64::MAX));
    let s = if count == 1 { "" } else { "s" };
    let text = format!(
        "\n{}, posted with {count} order{s} of the period: {} {}\n",
        part.component, part.earned, part.currency
    );
    text + &largest(
        (&part.orders, part.more),
        |order| {
            let placed_at = order.placed_at.to_string();
            vec![
                order.order.clone(),
                placed_at,
                order.amount.to_string(),
                late(order.late_for.as_ref(), order.amount < Money::ZERO),
            ]
        },
        &["order", "placed", " earned", "note"],
    )
}

#[cfg(test)]
mod tests;
