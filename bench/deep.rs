//! What an order costs at the end of a long leg, for each kind of component that walks an upline.
//!
//! One distributor in ten has the lowest rank and nobody a higher one: whoever looks for leaders finds
//! none, and goes as far as the plan lets it (`walk_limit`). Beside it stands the same order in a leg of
//! fourteen.

use std::fmt::Write as _;

use jiff::Timestamp;
use upline::domain::{
    commission::{MappedOrder, RankBook, RankFact, RankSource, run},
    digest::Digest,
    genealogy::{Change, Genealogy, GenealogyEvent},
    id::{DistributorId, RankId},
    plan::Plan,
};

use crate::{micros, sample::Sample, timed};

const RULE: &str = "starts_at = \"sponsor\"\ninactive = \"passed_over\"\n";
const STAIRS: &str = "rates = { kit = { unranked = \"0 %\", low = \"0 %\", high = \"9 %\" } }\n";

/// The components, each with a limit of so many.
fn components(limit: u32) -> [(&'static str, String); 6] {
    let levels = "rates = { kit = [\"5 %\", \"4 %\", \"3 %\"] }\n";
    let skip = format!(
        "kind = \"unilevel\"\n{levels}compression = {{ skip_below_rank = {{ threshold = \"high\", \
         inactive = \"passed_over\", walk_limit = {limit} }} }}\n"
    );
    let dynamic = format!(
        "kind = \"unilevel\"\n{levels}unlocked = {{ unranked = 1, low = 1, high = 3 }}\n\
         compression = {{ dynamic = {{ walk_limit = {limit} }} }}\n"
    );
    let differential = format!(
        "kind = \"differential\"\n{RULE}{STAIRS}equal_rank = \"nothing\"\nwalk_limit = {limit}\n"
    );
    let pure = format!(
        "kind = \"infinity\"\n{RULE}walk_limit = {limit}\n[component.model.pure_override]\n\
         blocked_by = \"same_rank\"\n{STAIRS}"
    );
    let generation = format!(
        "kind = \"generation\"\nstarts_at = \"sponsor\"\n{levels}walk_limit = {limit}\n\
         boundary = {{ fixed_rank = \"high\" }}\nempty_generation = \"uses_number\"\n\
         ineligible_leader = \"boundary\"\n"
    );
    [
        ("unilevel, roll_up", format!("kind = \"unilevel\"\n{levels}compression = \"roll_up\"\n")),
        ("unilevel, skip_below_rank", skip),
        ("unilevel, dynamic", dynamic),
        ("differential", differential),
        ("infinity, pure_override", pure),
        ("generation", generation),
    ]
}

fn plan(component: &str) -> Plan {
    let text = format!(
        "id = \"deep\"\nversion = 1\neffective_from = \"2020-01-01T00:00:00Z\"\n\
         rounding = \"half_even\"\nrank = [{{ id = \"low\" }}, {{ id = \"high\" }}]\n\
         [[component]]\nid = \"c\"\n{component}"
    );
    Plan::parse(&text).unwrap()
}

fn id(number: u64) -> DistributorId {
    DistributorId::parse(&format!("L{number:07}")).unwrap()
}

/// A line of distributors, and their ranks.
fn line(depth: u64) -> (Genealogy, RankBook) {
    let (mut tree, mut ranks) = (Genealogy::default(), RankBook::default());
    for number in 0..depth {
        let version = tree.version();
        let mut event = GenealogyEvent {
            seq: version.seq + 1,
            distributor: id(number),
            change: Change::Enrolled(number.checked_sub(1).map(id)),
            effective_at: Timestamp::UNIX_EPOCH,
            recorded_at: Timestamp::UNIX_EPOCH,
            hash: Digest::ZERO,
        };
        event.hash = event.chained(&version.hash);
        tree.apply(&event).unwrap();
        if number % 10 == 0 {
            let fact = RankFact {
                seq: number + 1,
                distributor: id(number),
                paid_as: RankId::parse("low").ok(),
                effective_at: Timestamp::UNIX_EPOCH,
                source: RankSource::PeriodClose,
            };
            ranks.record(&fact, &tree).unwrap();
        }
    }
    (tree, ranks)
}

/// The order, of whoever stands at the end of the line.
fn at_the_end(order: &MappedOrder, tree: &Genealogy, ranks: &RankBook, plan: &Plan) -> MappedOrder {
    let mut order = order.clone();
    order.attribution.referrer = Some(id(u64::try_from(tree.len()).unwrap() - 1));
    order.locks.genealogy = tree.version();
    order.locks.ranks = Some(ranks.version());
    order.locks.plan = plan.reference.clone();
    order
}

/// Each component at both depths.
pub(crate) fn deep(rounds: usize, quick: bool) {
    let order = Sample::new(1).mapped(1);
    let (short, long) = (line(14), line(if quick { 5_000 } else { 500_000 }));
    println!(
        "\n{:<42} {:>10} {:>10} {:>6}",
        "a leg of 14 / of hundreds of thousands", "us", "us", "ratio"
    );
    let mut name = String::new();
    for limit in [100, 1_000, 2_000] {
        for (kind, component) in components(limit) {
            let plan = plan(&component);
            let [one, other] = [&short, &long].map(|(tree, ranks)| {
                let order = at_the_end(&order, tree, ranks, &plan);
                assert!(!run(order.clone(), tree, ranks, &plan).unwrap().lines.is_empty());
                order
            });
            let mut near = timed(|| one.clone(), |o| run(o, &short.0, &short.1, &plan).unwrap());
            let mut far = timed(|| other.clone(), |o| run(o, &long.0, &long.1, &plan).unwrap());
            let [near, far] = micros(rounds, [&mut near, &mut far]);
            name.clear();
            write!(name, "{kind}, limit {limit}").unwrap();
            println!("{name:<42} {near:>10.2} {far:>10.2} {:>6.2}", far / near);
        }
    }
}
