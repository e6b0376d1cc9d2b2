//! Ranks that were reached in an earlier system, from CSV.

use std::{collections::HashSet, fs::File, path::PathBuf};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::{By, Fields, opening, records};
use crate::{
    cli::rank::instant,
    clock::Clock,
    domain::{
        id::{DistributorId, RankId},
        plan::{Plan, UNRANKED, rank::RankLevel},
    },
    stage::map::Company,
    store::postgres::{
        Bringer, BroughtRank, CompanyReader, Postgres,
        import::{Imported, Refused},
    },
};

/// Arguments of `import ranks`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file, with a header row.
    file: PathBuf,
    #[command(flatten)]
    by: By,
}

impl Arguments {
    pub(super) fn dry_run(&self) -> bool {
        self.by.dry_run
    }
}

/// Records what the file says: all of it, or nothing.
pub(super) async fn run(store: &Postgres, arguments: &Arguments) -> anyhow::Result<Imported> {
    let file = File::open(&arguments.file).context(opening(&arguments.file))?;
    let (by, why) = arguments.by.read()?;
    let mut company = Company::default();
    CompanyReader::new(store.clone()).catch_up(&mut company).await?;
    let (rows, refused) = read(file, &company, Clock::system().now())?;
    let plans: HashSet<&str> = rows.iter().map(|row| &*row.plan).collect();
    for plan in plans {
        By::before_the_first_close(store, plan, "`upline rank force`").await?;
    }
    let dry_run = arguments.by.dry_run || !refused.is_empty();
    let imported = store.bring_ranks(&rows, Bringer { by: &by, why: &why }, dry_run).await;
    let imported =
        imported.map_err(|error| anyhow::anyhow!("{}; nothing is written", error.chain()));
    Ok(Imported { refused, ..imported? })
}

/// Reads ranks. `now` is the latest instant that a rank can have been reached by.
fn read(
    source: impl std::io::Read,
    company: &Company,
    now: Timestamp,
) -> anyhow::Result<(Vec<BroughtRank>, Vec<Refused>)> {
    let needed = ["distributor_id", "rank", "as_of"];
    let known = [needed.as_slice(), &["plan", "highest", "bonus_paid_to"]].concat();
    let mut seen = HashSet::new();
    records(source, &needed, &known, |_, fields| {
        let id = DistributorId::parse(fields.need("distributor_id")?);
        let id = id.map_err(|error| format!("distributor_id: {error}"))?;
        if company.genealogy.find(&id).is_none() {
            return Err(format!("distributor {id} is unknown: import distributors first"));
        }
        let plan = plan_of(fields, company)?;
        let text = fields.need("as_of")?;
        let as_of = instant(&company.plans, &plan, text, |period| period.end);
        let as_of = as_of.map_err(|error| format!("as_of: {error:#}"))?;
        if as_of > now {
            return Err(format!(
                "as_of {as_of} is in the future: a rank is reached when it has happened"
            ));
        }
        let then = company.plans.in_force(&plan, as_of);
        let then = then.ok_or_else(|| format!("no plan {plan} is in the books"))?;
        let rank = level(fields.need("rank")?, "rank", then)?;
        let highest = fields.get("highest").map(|text| level(text, "highest", then)).transpose()?;
        let highest = highest.unwrap_or(rank);
        if highest < rank {
            return Err(
                "highest is lower than rank: state the highest rank ever, or leave it empty"
                    .to_owned(),
            );
        }
        let paid_to = match fields.get("bonus_paid_to") {
            Some("none") => RankLevel::default(),
            Some(text) => level(text, "bonus_paid_to", then)?,
            None => highest,
        };
        let named = |level| then.ranks.rank(level).cloned();
        let paid: Vec<String> = (1..=paid_to.0)
            .filter_map(|level| named(RankLevel(level)))
            .map(|rank| rank.to_string())
            .collect();
        if !seen.insert((plan.clone(), id.clone())) {
            return Err(format!("{id} is in the file twice"));
        }
        Ok(BroughtRank {
            plan,
            distributor: id,
            rank: named(rank),
            highest: named(highest),
            bonuses: (!paid.is_empty()).then(|| paid.join(",")),
            as_of,
        })
    })
}

/// The plan of a row: the one that it names, or the only one with ranks.
fn plan_of(fields: &Fields<'_>, company: &Company) -> Result<Box<str>, String> {
    let ranked = company.plans.iter().filter(|plan| !plan.ranks.is_empty());
    let mut ids: Vec<&str> = ranked.map(|plan| &*plan.reference.id).collect();
    ids.dedup();
    match (fields.get("plan"), ids.as_slice()) {
        (_, []) => {
            Err("no plan in the books has ranks: `upline plan store` stores those of the pipelines"
                .to_owned())
        }
        (None, [only]) => Ok((*only).into()),
        (None, several) => Err(format!("plan is empty, and there are {}", several.join(", "))),
        (Some(id), known) if known.contains(&id) => Ok(id.into()),
        (Some(id), known) => {
            Err(format!("no plan {id} with ranks is in the books, only {}", known.join(", ")))
        }
    }
}

/// The step of a rank that is named; 0 for `unranked`.
fn level(text: &str, column: &str, plan: &Plan) -> Result<RankLevel, String> {
    if text == UNRANKED {
        return Ok(RankLevel::default());
    }
    let rank = RankId::parse(text).map_err(|error| format!("{column}: {error}"))?;
    plan.ranks.level(&rank).ok_or_else(|| {
        let levels = (1..=u8::MAX).map(RankLevel).map_while(|level| plan.ranks.rank(level));
        let names: Vec<&str> = levels.map(RankId::as_str).chain([UNRANKED]).collect();
        let (id, version) = (&plan.reference.id, plan.reference.version);
        format!(
            "{column}: plan {id} version {version} has no rank {rank}, only {}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{PlanBook, tests::whole::WHOLE};

    #[test]
    fn a_rank_names_its_plan_where_there_are_several_and_is_refused_where_there_is_none() {
        let mut company = Company::default();
        let read_plan = |company: &Company, file: &str| {
            let known = ["distributor_id", "plan"];
            let row = |_, fields: &Fields<'_>| plan_of(fields, company);
            let (rows, refused) = records(file.as_bytes(), &known[..1], &known, row).unwrap();
            (rows, refused.into_iter().map(|refused| refused.reason).collect::<Vec<_>>())
        };
        let (_, none) = read_plan(&company, "distributor_id\nd1\n");
        assert!(none[0].contains("no plan in the books has ranks"), "{none:?}");
        company.plans = PlanBook::default();
        let whole = Plan::parse(WHOLE).unwrap();
        let id = whole.reference.id.clone();
        company.plans.add(whole);
        let (rows, refused) =
            read_plan(&company, &format!("distributor_id,plan\nd1,\nd2,{id}\nd3,other\n"));
        assert_eq!(rows, [id.clone(), id.clone()]);
        assert!(
            refused[0].contains(&format!("no plan other with ranks is in the books, only {id}"))
        );
    }
}
