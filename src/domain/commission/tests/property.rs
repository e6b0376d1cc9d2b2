//! Random plans of every kind on random trees: the engine gives the lines of the oracle, and no cent is lost.

use std::fmt::Write as _;

use super::{super::oracle, *};
use crate::domain::id::RankId;

const DAY: i64 = 86_400;
/// The day on which orders are placed.
const TODAY: i64 = 60;

/// A table by rank for three ranks.
fn table(values: &[u32], of: impl Fn(u32) -> String) -> String {
    let names = ["unranked", "r1", "r2", "r3"];
    let pairs = names.iter().zip(values).map(|(name, value)| format!("{name} = {}", of(*value)));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// Thousandths, so that there is something to round.
fn rate(thousandths: u32) -> String {
    format!("\"{}.{:03} %\"", thousandths / 1000, thousandths % 1000)
}

fn list(rates: &[u32]) -> String {
    format!("[{}]", rates.iter().map(|r| rate(*r)).collect::<Vec<_>>().join(", "))
}

fn levels() -> impl Strategy<Value = String> {
    let rates = || prop::collection::vec(0u32..9_000, 1..6);
    (rates(), prop::option::of(rates())).prop_map(|(kit, book)| {
        // The first is above zero, so that something is offered.
        let kit = list(&[&[500], &kit[..]].concat());
        let book = book.map(|book| format!(", book = {}", list(&book))).unwrap_or_default();
        format!("{{ kit = {kit}{book} }}")
    })
}

fn rank_rates(rising: bool) -> impl Strategy<Value = String> {
    let rates = prop::collection::vec(0u32..9_000, 4);
    (rates.clone(), prop::option::of(rates)).prop_map(move |(mut kit, mut book)| {
        kit[3] += 1;
        if rising {
            kit.sort_unstable();
            if let Some(book) = &mut book {
                book.sort_unstable();
            }
        }
        let book = book.map(|book| format!(", book = {}", table(&book, rate))).unwrap_or_default();
        format!("{{ kit = {}{book} }}", table(&kit, rate))
    })
}

fn word<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words.to_vec())
}

fn inactive() -> impl Strategy<Value = &'static str> {
    word(["passed_over", "keeps_place"])
}

fn starts_at() -> impl Strategy<Value = &'static str> {
    word(["sponsor", "referrer"])
}

fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![2 => 1u32..7, 3 => Just(1_000u32)]
}

fn unlocked() -> impl Strategy<Value = String> {
    prop::collection::vec(0u32..7, 4).prop_map(|values| table(&values, |levels| levels.to_string()))
}

fn compression() -> impl Strategy<Value = String> {
    let skip =
        (word(["r1", "r2", "r3"]), inactive(), limit()).prop_map(|(rank, inactive, limit)| {
            format!(
                "{{ skip_below_rank = {{ threshold = \"{rank}\", inactive = \"{inactive}\", \
             walk_limit = {limit} }} }}"
            )
        });
    let dynamic = limit().prop_map(|limit| format!("{{ dynamic = {{ walk_limit = {limit} }} }}"));
    prop_oneof![Just("\"none\"".to_owned()), Just("\"roll_up\"".to_owned()), skip, dynamic]
}

fn unilevel() -> impl Strategy<Value = String> {
    let uniform = (levels(), unlocked())
        .prop_map(|(rates, unlocked)| format!("rates = {rates}\nunlocked = {unlocked}\n"));
    // One class, so that dynamic compression takes it too.
    let by_rank =
        prop::collection::vec(prop::collection::vec(0u32..9_000, 0..6), 3).prop_map(|rates| {
            let [a, b, c] = [0, 1, 2].map(|n| list(&rates[n]));
            let top = list(&[&[9_000], &rates[2][..]].concat());
            format!(
                "rates_by_rank = {{ kit = {{ unranked = {a}, r1 = {b}, r2 = {c}, r3 = {top} }} }}\n"
            )
        });
    (compression(), starts_at(), prop_oneof![uniform, by_rank]).prop_map(|(mode, first, rates)| {
        format!("kind = \"unilevel\"\ncompression = {mode}\nfirst_level = \"{first}\"\n{rates}")
    })
}

fn direct() -> impl Strategy<Value = String> {
    (rank_rates(false), word(["roll_up", "breakage"])).prop_map(|(rates, inactive)| {
        format!("kind = \"direct\"\ninactive_referrer = \"{inactive}\"\nrates_by_rank = {rates}\n")
    })
}

fn equal_rank() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"nothing\"".to_owned()),
        (0u32..4_000, 1u16..4).prop_map(|(minimum, times)| {
            format!("{{ minimum_override = {{ rate = {}, times = {times} }} }}", rate(minimum))
        })
    ]
}

fn common() -> impl Strategy<Value = String> {
    (inactive(), starts_at(), limit()).prop_map(|(inactive, first, limit)| {
        format!("inactive = \"{inactive}\"\nstarts_at = \"{first}\"\nwalk_limit = {limit}\n")
    })
}

fn differential() -> impl Strategy<Value = String> {
    (common(), rank_rates(true), equal_rank()).prop_map(|(common, rates, equal)| {
        format!("kind = \"differential\"\n{common}rates = {rates}\nequal_rank = {equal}\n")
    })
}

fn infinity() -> impl Strategy<Value = String> {
    let pure =
        (rank_rates(false), word(["same_rank", "same_or_higher_rank"])).prop_map(|(rates, by)| {
            format!("{{ pure_override = {{ rates = {rates}, blocked_by = \"{by}\" }} }}")
        });
    let generational = (word(["r1", "r2", "r3"]), levels()).prop_map(|(rank, rates)| {
        format!("{{ generational = {{ threshold = \"{rank}\", rates = {rates} }} }}")
    });
    let stairs = (rank_rates(true), equal_rank()).prop_map(|(rates, equal)| {
        format!("{{ differential = {{ rates = {rates}, equal_rank = {equal} }} }}")
    });
    (common(), prop_oneof![pure, generational, stairs])
        .prop_map(|(common, model)| format!("kind = \"infinity\"\n{common}model = {model}\n"))
}

fn generation() -> impl Strategy<Value = String> {
    (
        (word(["fixed_rank", "own_rank"]), word(["r1", "r2", "r3"]), prop::option::of(unlocked())),
        word(["uses_number", "uses_no_number"]),
        word(["boundary", "no_boundary"]),
        (starts_at(), limit(), levels()),
    )
        .prop_map(|((boundary, rank, unlocked), empty, leader, (first, limit, rates))| {
            let unlocked = unlocked.map(|u| format!("unlocked = {u}\n")).unwrap_or_default();
            format!(
                "kind = \"generation\"\nboundary = {{ {boundary} = \"{rank}\" }}\n\
                 empty_generation = \"{empty}\"\nineligible_leader = \"{leader}\"\n\
                 starts_at = \"{first}\"\nwalk_limit = {limit}\nrates = {rates}\n{unlocked}"
            )
        })
}

fn fast_start() -> impl Strategy<Value = String> {
    (
        levels(),
        1u32..60,
        word(["own", "own_and_referred"]),
        (inactive(), limit()),
        prop::option::of(word(["paid_here", "all"])),
    )
        .prop_map(|(rates, days, orders, (inactive, limit), lines)| {
            let excludes = lines.map(|lines| {
                format!("excludes = {{ components = [\"u\"], lines = \"{lines}\" }}\n")
            });
            format!(
                "kind = \"fast_start\"\nrates = {rates}\ndays = {days}\norders = \"{orders}\"\n\
                 inactive = \"{inactive}\"\nwalk_limit = {limit}\n{}",
                excludes.unwrap_or_default()
            )
        })
}

/// What a component pays on: nothing said, the net amount, or CV at so much a point.
fn base() -> impl Strategy<Value = String> {
    let cv = (0u32..2_500).prop_map(|thousandths| {
        let conversion = Decimal::new(thousandths.into(), 3);
        format!("base = {{ cv = {{ conversion = \"{conversion}\" }} }}\n")
    });
    prop_oneof![Just(String::new()), Just("base = \"net\"\n".to_owned()), cv]
}

/// What the CV of a line is.
fn cv() -> impl Strategy<Value = String> {
    let net = (1u32..150_000)
        .prop_map(|thousandths| format!("{{ source = \"net\", rate = {} }}", rate(thousandths)));
    let catalogue = word(["zero", "net"])
        .prop_map(|missing| format!("{{ source = \"catalogue\", missing = \"{missing}\" }}"));
    prop_oneof![net, catalogue]
}

fn plan() -> impl Strategy<Value = Plan> {
    let rounding = word(["half_even", "half_up", "half_down", "down", "up"]);
    let parts = (direct(), unilevel(), differential(), infinity(), generation(), fast_start());
    let bases = prop::collection::vec(base(), 6);
    (rounding, parts, bases, cv()).prop_map(|(rounding, (d, u, s, i, g, f), bases, cv)| {
        let mut text = format!(
            "id = \"p\"\nversion = 1\neffective_from = \"1970-01-01T00:00:00Z\"\n\
             rounding = \"{rounding}\"\nrank = [{{ id = \"r1\" }}, {{ id = \"r2\" }}, {{ id = \"r3\" }}]\n\
             currency = \"EUR\"\n[volumes]\nqv = {cv}\ncv = {cv}\npv = \"qv\"\ngroup = \"pv\"\n\
             retail_orders = \"referrer\"\nconversion = \"1\"\nnegative_volume = \"carry\"\n"
        );
        let parts = [("d", d), ("u", u), ("s", s), ("i", i), ("g", g), ("f", f)];
        for ((id, part), base) in parts.into_iter().zip(bases) {
            writeln!(text, "[[component]]\nid = \"{id}\"\n{base}{part}").unwrap();
        }
        Plan::parse(&text).unwrap_or_else(|error| panic!("{error}: {error:?}\n{text}"))
    })
}

/// A distributor: the number of the sponsor, the day of the enrolment, the status and the rank.
#[derive(Debug, Clone)]
struct Row {
    sponsor: Option<usize>,
    enrolled: i64,
    active: bool,
    rank: u8,
}

fn people() -> impl Strategy<Value = Vec<Row>> {
    let row = (any::<prop::sample::Index>(), 0..TODAY + 4, 0..10u8, 0..9u8);
    prop::collection::vec(row, 1..16).prop_map(|rows| {
        let row =
            |(number, (sponsor, enrolled, dice, rank)): (usize, (prop::sample::Index, _, _, _))| {
                // Mostly one line, so that uplines are long.
                let near = dice % 3 > 0;
                let sponsor = number
                    .checked_sub(1)
                    .map(|last| if near { last } else { sponsor.index(number) });
                Row {
                    sponsor,
                    enrolled,
                    active: dice < 7,
                    rank: [0, 0, 0, 1, 1, 1, 2, 2, 3][usize::from(rank)],
                }
            };
        rows.into_iter().enumerate().map(row).collect()
    })
}

fn name(number: usize) -> String {
    format!("d{number}")
}

fn rank_fact(seq: u64, who: usize, rank: u8) -> RankFact {
    let paid_as = (rank > 0).then(|| RankId::parse(&format!("r{rank}")).unwrap());
    let source = RankSource::PeriodClose;
    RankFact { seq, distributor: id(&name(who)), paid_as, effective_at: at(0), source }
}

fn company(people: &[Row]) -> (Genealogy, RankBook) {
    let mut tree = Genealogy::default();
    let mut ranks = RankBook::default();
    for (number, row) in people.iter().enumerate() {
        let sponsor = row.sponsor.map(|sponsor| id(&name(sponsor)));
        append(&mut tree, &name(number), Change::Enrolled(sponsor), row.enrolled * DAY);
        if !row.active {
            append(&mut tree, &name(number), Change::Status(DistributorStatus::Inactive), 0);
        }
    }
    for (number, row) in people.iter().enumerate() {
        let fact = rank_fact(ranks.version() + 1, number, row.rank);
        ranks.record(&fact, &tree).unwrap();
    }
    (tree, ranks)
}

fn above(people: &[Row], number: usize) -> oracle::Above {
    let row = &people[number];
    oracle::Above { name: name(number), active: row.active, rank: row.rank }
}

/// Somebody and everybody above.
fn behind(people: &[Row], number: usize) -> (oracle::Above, Vec<oracle::Above>) {
    let mut upline = Vec::new();
    let mut next = people[number].sponsor;
    while let Some(sponsor) = next {
        upline.push(above(people, sponsor));
        next = people[sponsor].sponsor;
    }
    (above(people, number), upline)
}

fn got(run: &Run) -> oracle::Rows {
    let mut rows = oracle::Rows::new();
    for line in run.lines.iter().filter(|line| !line.amount.is_zero()) {
        let reason = line.breakage.map(|why| why.as_str().to_owned()).unwrap_or_default();
        let account = line.account.to_string();
        let key = (line.component.to_string(), line.line.to_string(), line.level, account, reason);
        *rows.entry(key).or_default() += line.amount;
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The engine against the oracle, for every kind at once; conservation of each component; and
    /// what is recorded after the lock changes nothing.
    #[test]
    fn the_engine_pays_what_the_oracle_says(
        plan in plan(),
        people in people(),
        lines in prop::collection::vec((word(["kit", "book", "gift"]), 0i64..100_000), 1..4),
        volumes in prop::collection::vec(prop::option::of((0i64..9_000_000, 1i64..4, 0i64..100)), 3),
        (from, who) in (0..8u8, any::<prop::sample::Index>()),
        later in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8), 0..4),
    ) {
        let (tree, ranks) = company(&people);
        let lines: Vec<(&str, String)> =
            lines.iter().map(|(class, cents)| (*class, Decimal::new(*cents, 2).to_string())).collect();
        let lines: Vec<(&str, &str)> = lines.iter().map(|(c, n)| (*c, n.as_str())).collect();
        let who = who.index(people.len());
        let mut order = order(&tree, &plan, &name(who), &lines);
        order.placed_at = at(TODAY * DAY);
        order.locks.ranks = Some(ranks.version());
        for (line, stated) in order.lines.iter_mut().zip(volumes) {
            // What the catalogue states for a unit, and how much of the money for the units came back.
            line.volume = stated.map(|(cv, units, back)| VolumeBasis {
                qv: None,
                cv: Some(crate::domain::volume::Volume::from_parts(cv)),
                units: Decimal::from(units),
                units_net: line.base + Money::from_decimal(Decimal::new(back, 2)).unwrap(),
            });
        }
        let mut field = oracle::Field {
            referrer: Some(behind(&people, who)),
            referrer_age: TODAY - people[who].enrolled,
            ..oracle::Field::default()
        };
        if from < 4 {
            // The distributor buys; or nobody stands behind the order.
            let own = (from > 0).then(|| id(&name(who)));
            field.own_buyer = own.as_ref().and_then(|_| field.referrer.take());
            field.referrer = None;
            field.buyer_age = field.referrer_age;
            order.attribution = Attribution { own_purchase: own, ..Attribution::default() };
        }
        let (rows, pools) = oracle::expected(&plan, &order, &field);
        let run = super::super::run(order.clone(), &tree, &ranks, &plan).unwrap();
        prop_assert_eq!(&got(&run), &rows);
        for (component, totals) in &run.totals {
            prop_assert_eq!(totals.pool, totals.paid + totals.breakage, "{}", component);
            prop_assert_eq!(Some(&totals.pool), pools.get(component.as_str()), "{}", component);
        }
        prop_assert!(run.lines.iter().all(|line| !line.amount.is_negative()));
        let written = serde_json::to_string(&run).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Run>(&written).unwrap(), &run);

        let (mut tree, mut ranks) = (tree, ranks);
        for (who, rank) in later {
            let who = who.index(people.len());
            append(&mut tree, &name(who), Change::Status(DistributorStatus::Terminated), 0);
            append(&mut tree, &name(who), Change::Sponsored(None), 0);
            ranks.record(&rank_fact(ranks.version() + 1, who, rank), &tree).unwrap();
        }
        prop_assert_eq!(super::super::run(order, &tree, &ranks, &plan).unwrap(), run);
    }

    /// What a unilevel offers does not depend on the compression: paid and breakage together are the
    /// same under every mode.
    #[test]
    fn the_pool_is_the_same_under_every_compression(
        people in people(),
        (rates, unlocked) in (levels(), unlocked()),
        modes in prop::collection::vec(compression(), 4),
        net in 1i64..100_000,
        who in any::<prop::sample::Index>(),
    ) {
        let (tree, ranks) = company(&people);
        let net = Decimal::new(net, 2).to_string();
        let mut pools = Vec::new();
        for mode in modes {
            let text = format!(
                "id = \"p\"\nversion = 1\neffective_from = \"1970-01-01T00:00:00Z\"\n\
                 rounding = \"half_even\"\nrank = [{{ id = \"r1\" }}, {{ id = \"r2\" }}, {{ id = \"r3\" }}]\n\
                 [[component]]\nid = \"u\"\nkind = \"unilevel\"\ncompression = {mode}\n\
                 rates = {rates}\nunlocked = {unlocked}\n"
            );
            let plan = Plan::parse(&text).unwrap();
            let who = name(who.index(people.len()));
            let mut order = order(&tree, &plan, &who, &[("kit", &net)]);
            order.locks.ranks = Some(ranks.version());
            let run = super::super::run(order, &tree, &ranks, &plan).unwrap();
            pools.push(run.paid() + run.breakage());
        }
        prop_assert!(pools.iter().all(|pool| *pool == pools[0]), "{:?}", pools);
    }
}
