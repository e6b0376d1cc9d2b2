//! `upline rank`: the rank that somebody is paid as by decision, and where all of somebody's ranks come
//! from.
//!
//! A decision is a fact that is added to the others: nothing is taken back, a later one takes its place.

use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    clock::Clock,
    config::Environment,
    domain::{
        close::Hold,
        commission::{RankRecord, RankSource},
        id::{DistributorId, Operator, RankId, Reason},
        plan::{
            Plan, PlanBook, UNRANKED,
            period::{Period, PeriodId},
            rank::RankLevel,
        },
    },
    stage::map::Company,
    store::postgres::{Cleared, CompanyReader, Postgres, RankDecision},
};

/// Arguments of `rank`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Forces a rank: for orders placed in its time, and at the closes of the periods that end in it.
    Force {
        /// Who.
        distributor: String,
        /// The rank, by its name in the plan; `unranked` with --exactly.
        rank: String,
        #[command(flatten)]
        decision: Decision,
        /// Paid as this rank, also if the numbers support a higher one; without it, at least as this.
        #[arg(long)]
        exactly: bool,
        /// It counts as reached for good at the closes, not only as what is paid.
        #[arg(long)]
        raises_title: bool,
    },
    /// Ends the forced ranks that are in force at --from: from then on the numbers of the closes hold. What is
    /// forced for later remains; with --until nothing forced holds in that time.
    Clear {
        /// Who.
        distributor: String,
        #[command(flatten)]
        decision: Decision,
        /// Also what is forced for later: from --from on nothing forced holds.
        #[arg(long, conflicts_with = "until")]
        all: bool,
    },
    /// Lists everything that was ever found or decided about somebody's rank.
    List {
        /// Who.
        distributor: String,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Decision {
    /// The id of the plan.
    #[arg(long)]
    plan: String,
    /// From when on: a period of the plan, such as 2026-03, or an instant, such as
    /// 2026-03-10T00:00:00Z.
    #[arg(long, value_name = "PERIOD_OR_TIME")]
    from: String,
    /// Until when: to the end of a period, or up to an instant and without it. Else it stays open.
    #[arg(long, value_name = "PERIOD_OR_TIME")]
    until: Option<String>,
    /// Who decides: an account or a number of your staff, it stays in the books for ever.
    #[arg(long, value_name = "WHO")]
    by: String,
    /// Why, in a line; without personal data of customers.
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        let told = match &arguments.command {
            Command::Force { distributor, rank, decision, exactly, raises_title } => {
                let hold = if *exactly { Hold::Exactly } else { Hold::AtLeast };
                let force = Force { rank, hold, raises_title: *raises_title };
                decide(&store, distributor, What::Force(force), decision).await?
            }
            Command::Clear { distributor, decision, all } => {
                let whole = *all || decision.until.is_some();
                let what = if whole { What::Clear } else { What::End };
                decide(&store, distributor, what, decision).await?
            }
            Command::List { distributor, json } => list(&store, distributor, *json).await?,
        };
        output::line(&told);
        Ok(ExitCode::SUCCESS)
    })?
}

/// The rank that is forced.
struct Force<'a> {
    rank: &'a str,
    hold: Hold,
    raises_title: bool,
}

/// What is decided.
enum What<'a> {
    Force(Force<'a>),
    /// Nothing forced holds.
    Clear,
    /// What is in force ends.
    End,
}

/// Records a decision and tells of it.
async fn decide(
    store: &Postgres,
    distributor: &str,
    what: What<'_>,
    decision: &Decision,
) -> anyhow::Result<String> {
    let force = match &what {
        What::Force(force) => Some(force),
        What::Clear | What::End => None,
    };
    let mut company = Company::default();
    CompanyReader::new(store.clone()).catch_up(&mut company).await?;
    let id = enrolled(&company, distributor)?;
    let by = Operator::parse(&decision.by).context("--by")?;
    let why = Reason::parse(&decision.why).context("--why")?;
    let plans = &company.plans;
    let known = plans.in_force(&decision.plan, Clock::system().now());
    let known = known.with_context(|| no_plan(&company, &decision.plan))?;
    let of = &decision.plan;
    let from = instant(plans, of, &decision.from, |period| period.start).context("--from")?;
    let until = decision.until.as_deref().map(|text| instant(plans, of, text, |period| period.end));
    let until = until.transpose().context("--until")?;
    if let Some(until) = until.filter(|until| *until <= from) {
        bail!("--until ends at {until}, which is not after --from, {from}");
    }
    if let Some(last) = store.last_close(&decision.plan).await?
        && from < last.basis.period.end
    {
        let Period { id, end, .. } = &last.basis.period;
        bail!("period {id} is closed, and stays as it was paid: let it begin at {end} or later");
    }
    let plan = plans.in_force(&decision.plan, from).unwrap_or(known);
    let (of, version) = (&plan.reference.id, plan.reference.version);
    ensure!(!plan.ranks.is_empty(), "plan {of} version {version} has no ranks");
    let rank = force.map(|force| rank_of(plan, force)).transpose()?.flatten();
    let source = force.map_or(RankSource::Cleared { until }, |force| RankSource::Forced {
        hold: force.hold,
        until,
    });
    let recorded = RankDecision {
        plan: &decision.plan,
        distributor: id.as_str(),
        rank: rank.as_ref().map(RankId::as_str),
        source,
        raises_title: force.is_some_and(|force| force.raises_title),
        from,
        by: by.as_str(),
        why: why.as_str(),
    };
    if matches!(what, What::End) {
        return end(store, &id, &recorded).await;
    }
    let seq = store.decide_rank(&recorded).await?;
    let what = says(rank.as_ref(), source);
    let end = until.map(|until| format!(" until {until}")).unwrap_or_default();
    Ok(format!(
        "{id} in plan {}: {what} from {from}{end}, decided by {by}; fact {seq}",
        decision.plan
    ))
}

/// Ends what is in force, and tells what remains.
async fn end(
    store: &Postgres,
    id: &DistributorId,
    decision: &RankDecision<'_>,
) -> anyhow::Result<String> {
    let RankDecision { plan, from, by, .. } = *decision;
    let Cleared { spans, later } = store.end_ranks(decision).await?;
    let remain = later.iter().map(|record| {
        let fact = &record.fact;
        let what = says(fact.paid_as.as_ref(), fact.source);
        let until = fact.source.until().map(|until| format!(" until {until}")).unwrap_or_default();
        format!("\n  fact {}: {what} from {}{until}", fact.seq, fact.effective_at)
    });
    let remain: String = remain.collect();
    let later = if remain.is_empty() {
        String::new()
    } else {
        format!("\nforced for later, and remains (--all ends it too):{remain}")
    };
    ensure!(
        !spans.is_empty(),
        "no rank is forced for {id} in plan {plan} at {from}: there is nothing to end{later}"
    );
    let times = spans.iter().map(|(begin, until)| {
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        format!("from {begin}{until}")
    });
    let times = times.collect::<Vec<_>>().join(", and ");
    Ok(format!("{id} in plan {plan}: what the closes find {times}, decided by {by}{later}"))
}

fn enrolled(company: &Company, distributor: &str) -> anyhow::Result<DistributorId> {
    let id = DistributorId::parse(distributor)?;
    ensure!(
        company.genealogy.find(&id).is_some(),
        "no distributor {id} is enrolled: `upline import distributors` enrols them"
    );
    Ok(id)
}

fn no_plan(company: &Company, plan: &str) -> String {
    let mut known: Vec<&str> = company.plans.iter().map(|plan| &*plan.reference.id).collect();
    known.dedup();
    match known.as_slice() {
        [] => "no plan is in the books: `upline serve` records those of the pipelines".to_owned(),
        known => format!("no plan {plan} is in the books, only {}", known.join(", ")),
    }
}

/// The instant that a text names; `of_period` is what is meant of a period, of whichever calendar the plan has
/// when that begins.
pub(super) fn instant(
    plans: &PlanBook,
    plan: &str,
    text: &str,
    of_period: impl FnOnce(&Period) -> Timestamp,
) -> anyhow::Result<Timestamp> {
    // The books keep microseconds.
    if let Ok(at) = text.trim().parse::<Timestamp>() {
        return Ok(Timestamp::from_microsecond(at.as_microsecond())?);
    }
    let id = PeriodId::parse(text)?;
    if let Some((_, period)) = plans.period(plan, &id) {
        return Ok(of_period(&period));
    }
    let known = plans.in_force(plan, Clock::system().now());
    let Some(calendar) = known.and_then(|plan| plan.period.as_ref()) else {
        bail!("{text} is no instant, such as 2026-03-10T00:00:00Z, and plan {plan} has no periods");
    };
    Ok(of_period(&calendar.period(&id)?))
}

/// The rank that is forced; none for `unranked`.
fn rank_of(plan: &Plan, force: &Force<'_>) -> anyhow::Result<Option<RankId>> {
    let (id, version) = (&plan.reference.id, plan.reference.version);
    if force.rank == UNRANKED {
        ensure!(
            force.hold == Hold::Exactly,
            "everybody is paid at least as unranked: add --exactly, or use `upline rank clear`"
        );
        return Ok(None);
    }
    let rank = RankId::parse(force.rank)?;
    let known = plan.ranks.level(&rank).is_some();
    ensure!(
        known,
        "plan {id} version {version} has no rank {rank}, only {}",
        names(plan).join(", ")
    );
    Ok(Some(rank))
}

fn names(plan: &Plan) -> Vec<&str> {
    let levels = (1..=u8::MAX).map(RankLevel);
    levels.map_while(|level| plan.ranks.rank(level)).map(RankId::as_str).collect()
}

/// What a fact says of a rank.
pub(super) fn says(rank: Option<&RankId>, source: RankSource) -> String {
    let rank = rank.map_or(UNRANKED, RankId::as_str);
    match source {
        RankSource::PeriodClose | RankSource::Imported => rank.to_owned(),
        RankSource::Forced { hold: Hold::AtLeast, .. } => format!("at least {rank}"),
        RankSource::Forced { hold: Hold::Exactly, .. } => format!("exactly {rank}"),
        RankSource::Cleared { .. } => "what the closes find".to_owned(),
    }
}

/// Where a fact comes from: the closed period, or who decided it and why.
pub(super) fn origin(record: &RankRecord) -> String {
    match (&record.period, &record.by, &record.why) {
        (Some(period), _, _) => format!("close of {period}"),
        (None, Some(by), Some(why)) => format!("{} by {by}: {why}", record.fact.source.as_str()),
        (None, _, _) => String::new(),
    }
}

async fn list(store: &Postgres, distributor: &str, json: bool) -> anyhow::Result<String> {
    let id = DistributorId::parse(distributor)?;
    let records = store.ranks_of(&[id.as_str()], u64::MAX).await?;
    if json {
        let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
        return Ok(lines?.join("\n"));
    }
    if records.is_empty() {
        return Ok(format!("of {id} no rank was found by a close or decided"));
    }
    let row = |record: &RankRecord| {
        let fact = &record.fact;
        let mut what = says(fact.paid_as.as_ref(), fact.source);
        if record.raises_title {
            what += ", for good";
        }
        if let Some(highest) = record.highest.as_ref().filter(|h| Some(*h) != fact.paid_as.as_ref())
        {
            what += &format!(", highest {highest}");
        }
        if !record.bonuses.is_empty() {
            let paid: Vec<&str> = record.bonuses.iter().map(RankId::as_str).collect();
            what += &format!(", bonus paid for {}", paid.join(" "));
        }
        vec![
            fact.seq.to_string(),
            record.plan.to_string(),
            what,
            fact.effective_at.to_string(),
            fact.source.until().map(|until| until.to_string()).unwrap_or_default(),
            origin(record),
            format!("{:.0}", record.recorded_at),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    let head = ["fact", "plan", "paid as", "from", "until", "by", "recorded"];
    Ok(output::table(&head, &rows).trim_end().to_owned())
}
