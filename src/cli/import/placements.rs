//! Placement trees from CSV.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::records;
use crate::{
    domain::{
        id::{DistributorId, PositionId, TreeId},
        placement::Shape,
        plan::PlanBook,
    },
    stage::map::Company,
    store::postgres::{
        CompanyReader, PlacementRow, Postgres,
        import::{Imported, Refused},
    },
};

/// Reads positions, in the order of the file: each below one that stands before it.
pub(super) fn read(
    source: impl std::io::Read,
) -> anyhow::Result<(Vec<PlacementRow>, Vec<Refused>)> {
    let needed = ["position", "distributor"];
    let known = [needed.as_slice(), &["parent", "side", "placed_at"]].concat();
    records(source, &needed, &known, |row, fields| {
        let position = |column: &str, text: &str| {
            PositionId::parse(text).map_err(|error| format!("{column}: {error}"))
        };
        let distributor = DistributorId::parse(fields.need("distributor")?);
        Ok(PlacementRow {
            row,
            position: position("position", fields.need("position")?)?,
            distributor: distributor.map_err(|error| format!("distributor: {error}"))?,
            parent: fields.get("parent").map(|text| position("parent", text)).transpose()?,
            side: fields.get("side").map(str::to_ascii_lowercase),
            placed_at: fields.time("placed_at")?,
        })
    })
}

/// The tree to import into, with the shape that the plans give it: the one that is named, or the only one
/// that there is.
fn tree_of(
    plans: &PlanBook,
    wanted: Option<&TreeId>,
    now: Timestamp,
) -> anyhow::Result<(TreeId, Shape)> {
    let mut trees: BTreeMap<TreeId, Shape> = BTreeMap::new();
    for plan in plans.iter() {
        if plans.in_force(&plan.reference.id, now) != Some(plan) {
            continue;
        }
        for (tree, shape) in plan.trees() {
            let other = *trees.entry(tree.clone()).or_insert(shape);
            anyhow::ensure!(
                shape.grows_as(other),
                "tree {tree} is a {shape} in plan {} and a {other} in another plan",
                plan.reference.id
            );
        }
    }
    let names: Vec<&str> = trees.keys().map(TreeId::as_str).collect();
    let names = names.join(", ");
    let found = match wanted {
        Some(tree) => trees.remove_entry(tree),
        None if trees.len() == 1 => trees.pop_first(),
        None => None,
    };
    found.ok_or_else(|| match wanted {
        _ if names.is_empty() => anyhow::anyhow!(
            "no plan in the books has a binary or a matrix: `upline plan store` stores the plans of the \
             pipeline files, and so does `upline serve` when it starts"
        ),
        Some(tree) => anyhow::anyhow!("no plan pays on a tree {tree}; there are {names}"),
        None => anyhow::anyhow!("there are several trees, say which by --tree: {names}"),
    })
}

/// Places the rows of a file.
pub(super) async fn place(
    store: &Postgres,
    rows: &[PlacementRow],
    wanted: Option<&TreeId>,
    now: Timestamp,
    dry_run: bool,
) -> anyhow::Result<Imported> {
    let mut company = Company::default();
    CompanyReader::new(store.clone()).catch_up(&mut company).await?;
    let (tree, shape) = tree_of(&company.plans, wanted, now)?;
    let genealogy = &company.genealogy;
    let imported = store.import_placements((&tree, shape), genealogy, rows, now, dry_run).await;
    imported.map_err(|error| anyhow::anyhow!("{}; nothing was placed", error.chain()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Plan, tests::whole::WHOLE};

    #[test]
    fn a_position_is_read_and_a_bad_row_named() {
        let file = "position,distributor,parent,side,placed_at\n\
                    P1,10001,,,\nP2,10090,P1,Left,2026-01-31\n,10090,P1,left,\nP3,,P1,left,\n\
                    P4,10090,P1,left,yesterday\nP 5,10090,,,\n";
        let (rows, refused) = read(file.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].side.as_deref(), Some("left"));
        assert_eq!(rows[1].placed_at, "2026-01-31T00:00:00Z".parse().ok());
        let told: Vec<(u64, &str)> = refused.iter().map(|r| (r.row, &*r.reason)).collect();
        for ((line, told), (wanted, says)) in told.iter().zip([
            (4, "position is empty"),
            (5, "distributor is empty"),
            (6, "placed_at is \"yesterday\""),
            (7, "position: position holds the character ' '"),
        ]) {
            assert!(*line == wanted && told.contains(says), "{line}: {told}");
        }
    }

    #[test]
    fn the_tree_is_the_one_that_is_named_or_the_only_one() {
        let now = "2026-05-01T00:00:00Z".parse().unwrap();
        let mut plans = PlanBook::default();
        let none = tree_of(&plans, None, now).unwrap_err().to_string();
        assert!(none.contains("no plan in the books"), "{none}");
        plans.add(Plan::parse(WHOLE).unwrap());
        let several = tree_of(&plans, None, now).unwrap_err().to_string();
        assert!(several.contains("--tree: legs, levels"), "{several}");
        let legs = TreeId::parse("legs").unwrap();
        assert_eq!(tree_of(&plans, Some(&legs), now).unwrap(), (legs, Shape::Binary));
        let other = TreeId::parse("x").unwrap();
        let other = tree_of(&plans, Some(&other), now).unwrap_err().to_string();
        assert!(other.contains("no plan pays on a tree x; there are legs, levels"), "{other}");
    }
}
