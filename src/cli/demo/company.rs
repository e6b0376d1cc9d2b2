//! The sample company: its distributors and its articles.
//!
//! Everything is invented and depends on the seed alone. The tree has the shape of a real one: a
//! few long legs, many short ones, most people with nobody below them, some who stopped.

mod articles;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub(crate) use self::articles::{ARTICLES, Article, LATE, SkuRow, late_sku, sku_rows};
use super::rng::Rng;

/// How many distributors there are, the named ones included.
pub(crate) const DISTRIBUTORS: usize = 400;
/// Levels of the longest leg, the top included.
const LEG: usize = 14;
/// No leg is longer than this.
const DEEPEST: usize = 16;
/// Distributors who are named in the sample orders and therefore active: they are enrolled at this
/// place of the sequence, below the distributor at that place.
const NAMED: [(usize, &str, usize); 3] =
    [(120, "11043", 7), (200, "ABC123", 12), (260, "11150", 89)];
/// Distributors of the sequence who are named in the sample orders.
const ALWAYS_ACTIVE: [usize; 2] = [0, 89];
/// Passed over by compression in the longest leg.
const INACTIVE_IN_LEG: [usize; 2] = [5, 9];

/// Whether a distributor can earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Earns.
    Active,
    /// Keeps the place in the tree but does not earn.
    Inactive,
    /// Has left.
    Terminated,
}

impl Standing {
    /// The name in the table `distributors`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Terminated => "terminated",
        }
    }
}

/// One row of the table `distributors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distributor {
    /// The id.
    pub(crate) id: String,
    /// Who enrolled them; `None` at the top.
    pub(crate) sponsor: Option<String>,
    /// Whether they earn: from their enrolment on.
    pub(crate) status: Standing,
    /// ISO 3166 code of the country.
    pub(crate) country: &'static str,
    /// When they enrolled; later than their sponsor.
    pub(crate) created_at: Timestamp,
}

/// The distributors, a sponsor always before those that they enrolled. All enrolled in the two
/// years that end a month before `base`, the time at which the traffic ends.
pub(crate) fn distributors(seed: u64, base: Timestamp) -> Vec<Distributor> {
    let mut rng = Rng::new(seed, 1);
    let mut list: Vec<Distributor> = Vec::with_capacity(DISTRIBUTORS);
    let mut depths: Vec<usize> = Vec::with_capacity(DISTRIBUTORS);
    for index in 0..DISTRIBUTORS {
        let named = NAMED.iter().find(|(at, _, _)| *at == index);
        let sponsor = match named {
            Some((_, _, sponsor)) => Some(*sponsor),
            None => sponsor_of(index, &depths, &mut rng),
        };
        let sponsor_row = sponsor.and_then(|at| list.get(at));
        let country = match sponsor_row {
            Some(row) if rng.per_mille(850) => row.country,
            _ => rng.pick(&["US", "DE", "MX", "CA", "AT", "ES"]).copied().unwrap_or("US"),
        };
        let above = sponsor.and_then(|at| depths.get(at)).copied().unwrap_or_default();
        let row = Distributor {
            id: named.map_or_else(
                || index.saturating_add(10_001).to_string(),
                |(_, id, _)| (*id).to_owned(),
            ),
            sponsor: sponsor_row.map(|row| row.id.clone()),
            status: standing(index, named.is_some(), &mut rng),
            country,
            created_at: enrolled_at(index, base, &mut rng),
        };
        depths.push(above.saturating_add(1));
        list.push(row);
    }
    list
}

/// The place of the sponsor: for the first the leg itself, then mostly somebody who enrolled
/// recently, since new people recruit, and sometimes anybody.
fn sponsor_of(index: usize, depths: &[usize], rng: &mut Rng) -> Option<usize> {
    if index < LEG {
        return index.checked_sub(1);
    }
    let length = u64::try_from(index).unwrap_or(u64::MAX);
    loop {
        let back = if rng.per_mille(450) { rng.below(length.min(40)) } else { rng.below(length) };
        let at = usize::try_from(length.saturating_sub(1).saturating_sub(back)).unwrap_or_default();
        if depths.get(at).is_some_and(|depth| *depth < DEEPEST) {
            return Some(at);
        }
    }
}

fn standing(index: usize, named: bool, rng: &mut Rng) -> Standing {
    let chance = rng.below(1000);
    if named || ALWAYS_ACTIVE.contains(&index) {
        Standing::Active
    } else if INACTIVE_IN_LEG.contains(&index) || chance < 80 {
        Standing::Inactive
    } else if chance < 95 {
        Standing::Terminated
    } else {
        Standing::Active
    }
}

/// Two years are 730 days; each distributor has an equal part of the first 700 and enrols in it.
fn enrolled_at(index: usize, base: Timestamp, rng: &mut Rng) -> Timestamp {
    const DAY: i64 = 86_400;
    let parts = i64::try_from(DISTRIBUTORS).unwrap_or(1);
    let part = DAY.saturating_mul(700).checked_div(parts).unwrap_or_default();
    let jitter = i64::try_from(rng.below(u64::try_from(part).unwrap_or_default()));
    let at = i64::try_from(index).unwrap_or_default().saturating_mul(part);
    let before =
        DAY.saturating_mul(730).saturating_sub(at).saturating_sub(jitter.unwrap_or_default());
    base.checked_sub(SignedDuration::from_secs(before)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The distributors by id, with what the oracle needs to know of them.
pub(crate) fn tree(list: &[Distributor]) -> BTreeMap<&str, &Distributor> {
    list.iter().map(|row| (row.id.as_str(), row)).collect()
}

/// The distributors as the CSV file that `upline import` takes.
pub(crate) fn distributors_csv(list: &[Distributor]) -> String {
    let mut text = String::from("distributor_id,sponsor_id,status,country,created_at\n");
    for row in list {
        text.push_str(&csv_row(&[
            &row.id,
            row.sponsor.as_deref().unwrap_or_default(),
            row.status.as_str(),
            row.country,
            &row.created_at.to_string(),
        ]));
    }
    text
}

/// Rows of the SKU mapping as the CSV file that `upline import` takes.
pub(crate) fn sku_csv(rows: &[SkuRow]) -> String {
    let mut text = String::from("sku_id,platform,platform_sku,name,category,commission_class\n");
    for row in rows {
        text.push_str(&csv_row(&[
            row.sku_id,
            row.platform,
            &row.platform_sku,
            row.name,
            row.category,
            row.commission_class,
        ]));
    }
    text
}

/// One line of CSV. Only a field that needs it is quoted.
fn csv_row(fields: &[&str]) -> String {
    let quoted = fields.iter().map(|field| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    });
    let mut line = quoted.collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn base() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }

    fn depth(tree: &BTreeMap<&str, &Distributor>, id: &str) -> usize {
        1 + tree[id].sponsor.as_deref().map_or(0, |sponsor| depth(tree, sponsor))
    }

    #[test]
    fn the_tree_is_deep_and_holds_who_is_named() {
        for seed in [1, 2, 42] {
            let list = distributors(seed, base());
            let tree = tree(&list);
            assert_eq!(tree.len(), DISTRIBUTORS, "ids are unique");
            let deepest = tree.keys().map(|id| depth(&tree, id)).max().unwrap();
            assert!((14..=DEEPEST).contains(&deepest), "{deepest}");
            for id in ["11043", "10090", "11150", "ABC123"] {
                assert_eq!(tree[id].status, Standing::Active, "{id}");
                assert!(depth(&tree, id) > 3, "{id}: three levels above");
            }
            assert!(!tree.contains_key("11200"), "a buyer who is no distributor");
            let inactive = list.iter().filter(|d| d.status == Standing::Inactive).count();
            assert!((16..60).contains(&inactive), "{inactive}");
            assert!(list.iter().any(|d| d.status == Standing::Terminated));
        }
    }

    #[test]
    fn sponsors_enrolled_first_and_within_two_years() {
        let list = distributors(7, base());
        let mut seen = BTreeSet::new();
        for row in &list {
            assert!(row.sponsor.as_ref().is_none_or(|sponsor| seen.contains(sponsor)));
            seen.insert(row.id.clone());
        }
        assert!(list.windows(2).all(|pair| pair[0].created_at <= pair[1].created_at));
        let days = |row: &Distributor| base().duration_since(row.created_at).as_hours() / 24;
        assert!(list.iter().all(|row| (30..=730).contains(&days(row))));
    }

    #[test]
    fn one_seed_is_one_company() {
        assert_eq!(distributors(3, base()), distributors(3, base()));
        assert_ne!(distributors(3, base()), distributors(4, base()));
    }

    #[test]
    fn the_files_have_a_header_and_a_row_for_each() {
        let list = distributors(3, base());
        let text = distributors_csv(&list);
        assert_eq!(text.lines().count(), DISTRIBUTORS + 1);
        assert!(text.lines().nth(1).unwrap().starts_with("10001,,active,"));
        let rows = sku_rows();
        let text = sku_csv(&rows);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().len(), 6);
        assert_eq!(reader.records().filter_map(Result::ok).count(), rows.len());
        assert_eq!(csv_row(&["a,b", "c\"d"]), "\"a,b\",\"c\"\"d\"\n");
    }

    #[test]
    fn the_articles_are_mapped_but_for_the_late_one() {
        let rows = sku_rows();
        for sku in ["SUPP001", "BEAUTY02", "KIT-STARTER-001"] {
            assert!(rows.iter().any(|row| row.platform == "any" && row.platform_sku == sku));
        }
        assert!(!rows.iter().any(|row| row.sku_id == late_sku().sku_id));
        let keys: BTreeSet<_> = rows.iter().map(|row| (row.platform, &row.platform_sku)).collect();
        assert_eq!(keys.len(), rows.len());
        assert!(rows.len() >= ARTICLES.len());
    }
}
