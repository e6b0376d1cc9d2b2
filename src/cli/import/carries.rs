//! Volume that waits in the legs of a binary, from CSV.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::{By, opening, records};
use crate::{
    clock::Clock,
    domain::{
        close::binary::Legs,
        id::PositionId,
        plan::{
            Component, PlanBook,
            pairs::{Binary, Carry, Limit},
        },
        volume::Volume,
    },
    store::postgres::{
        Bringer, BroughtCarry, CompanyReader, OfBinary, Postgres,
        import::{Imported, Refused},
    },
};

/// Arguments of `import carries`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file, with a header row.
    file: PathBuf,
    /// The binary, by its id in the plan; needed only where there are several.
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    #[command(flatten)]
    by: By,
}

impl Arguments {
    pub(super) fn dry_run(&self) -> bool {
        self.by.dry_run
    }
}

/// A row with its number.
type Row = (u64, BroughtCarry);

/// Records what the file says: all of it, or nothing.
pub(super) async fn run(store: &Postgres, arguments: &Arguments) -> anyhow::Result<Imported> {
    let file = File::open(&arguments.file).context(opening(&arguments.file))?;
    let (by, why) = arguments.by.read()?;
    let plans = CompanyReader::new(store.clone()).plans().await?;
    let now = Clock::system().now();
    let (plan, binary) = binary_of(&plans, arguments.component.as_deref(), now)?;
    let Carry::Forward { cap, .. } = binary.carry else {
        anyhow::bail!(
            "the binary {} carries nothing from one period to the next (policy flush): there is nothing to \
             bring along",
            binary.id
        );
    };
    By::before_the_first_close(store, &plan, "a position's own orders").await?;
    let (rows, mut refused) = read(file, cap)?;
    let names: Vec<&str> = rows.iter().map(|(_, row)| row.position.as_str()).collect();
    let placed = store.placed_among(&binary.tree, &names).await?;
    for (row, BroughtCarry { position, .. }) in &rows {
        if !placed.contains(position.as_str()) {
            let reason = format!(
                "position {position} is not placed in tree {}: `upline import placements` places it",
                binary.tree
            );
            refused.push(Refused { row: *row, reason });
        }
    }
    refused.sort_by_key(|refused| refused.row);
    let rows: Vec<BroughtCarry> = rows.into_iter().map(|(_, row)| row).collect();
    let of = OfBinary { plan: &plan, component: &binary.id, tree: &binary.tree };
    let dry_run = arguments.by.dry_run || !refused.is_empty();
    let imported = store.bring_carries(of, &rows, Bringer { by: &by, why: &why }, dry_run).await;
    let imported =
        imported.map_err(|error| anyhow::anyhow!("{}; nothing is written", error.chain()));
    Ok(Imported { refused, ..imported? })
}

/// The binary that is named, or the only one that there is, and its plan.
fn binary_of<'a>(
    plans: &'a PlanBook,
    wanted: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<(Box<str>, &'a Binary)> {
    let mut found = Vec::new();
    for plan in plans.iter() {
        let id = &plan.reference.id;
        if plans.in_force(id, now).is_none_or(|now| now.reference != plan.reference) {
            continue;
        }
        found.extend(plan.components.iter().filter_map(|component| {
            let Component::Binary(binary) = component else { return None };
            Some((id.clone(), binary))
        }));
    }
    let names: BTreeSet<&str> = found.iter().map(|(_, binary)| binary.id.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    anyhow::ensure!(
        !found.is_empty(),
        "no plan in the books has a binary: `upline plan store` stores the plans of the pipeline files"
    );
    let mut fitting = found
        .into_iter()
        .filter(|(_, binary)| wanted.is_none_or(|wanted| binary.id.as_str() == wanted));
    match (fitting.next(), fitting.next(), wanted) {
        (Some(only), None, _) => Ok(only),
        (None, _, Some(wanted)) => {
            anyhow::bail!("no plan has a binary {wanted}; there are {names}")
        }
        _ => anyhow::bail!("there are several binaries, say which by --component: {names}"),
    }
}

/// Reads what positions carry. A leg cannot bring more than the plan lets it carry.
fn read(
    source: impl std::io::Read,
    cap: Limit<Volume>,
) -> anyhow::Result<(Vec<Row>, Vec<Refused>)> {
    let needed = ["position", "left", "right"];
    let mut seen = HashSet::new();
    records(source, &needed, &needed, |row, fields| {
        let position = PositionId::parse(fields.need("position")?);
        let position = position.map_err(|error| format!("position: {error}"))?;
        let leg = |column: &str| {
            let volume = fields.volume(column)?.map(Volume::from_decimal).transpose();
            let volume = volume.map_err(|error| format!("{column}: {error}"))?;
            let volume =
                volume.ok_or_else(|| format!("{column} is empty: write 0 where nothing waits"))?;
            match cap.at().filter(|cap| volume > *cap) {
                Some(cap) => Err(format!(
                    "{column} is {volume}, and the plan lets a leg carry {cap} at most"
                )),
                None => Ok(volume),
            }
        };
        let legs = Legs { left: leg("left")?, right: leg("right")? };
        if !seen.insert(position.clone()) {
            return Err(format!("position {position} is in the file twice"));
        }
        Ok((row, BroughtCarry { position, legs }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Plan, tests::whole::WHOLE};

    #[test]
    fn legs_are_read_and_bad_rows_named() {
        let file = "position,left,right\na,10.5,0\nb,,1\nc,-1,0\na,1,1\nd,0,101\n";
        let (rows, refused) = read(file.as_bytes(), Limit::At(Volume::points(100))).unwrap();
        let [(2, a)] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(a.legs, Legs { left: Volume::parse("10.5").unwrap(), right: Volume::ZERO });
        let told: Vec<(u64, &str)> = refused.iter().map(|r| (r.row, &*r.reason)).collect();
        for ((line, told), (wanted, says)) in told.iter().zip([
            (3, "left is empty: write 0"),
            (4, "left is \"-1\""),
            (5, "position a is in the file twice"),
            (6, "right is 101, and the plan lets a leg carry 100 at most"),
        ]) {
            assert!(*line == wanted && told.contains(says), "{line}: {told}");
        }
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn the_binary_is_the_one_that_is_named_or_the_only_one() {
        let now = "2026-05-01T00:00:00Z".parse().unwrap();
        let mut plans = PlanBook::default();
        let none = binary_of(&plans, None, now).unwrap_err().to_string();
        assert!(none.contains("no plan in the books has a binary"), "{none}");
        plans.add(Plan::parse(WHOLE).unwrap());
        let (_, only) = binary_of(&plans, None, now).unwrap();
        assert_eq!(binary_of(&plans, Some(only.id.as_str()), now).unwrap().1.id, only.id);
        let other = binary_of(&plans, Some("x"), now).unwrap_err().to_string();
        assert!(other.contains("no plan has a binary x"), "{other}");
    }
}
