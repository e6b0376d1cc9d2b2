//! From whom money was withheld, why, and who has it instead.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    close::{column::index, random},
    genealogy::DistributorStatus,
};

fn story(plan: &ClosePlan, close: &Close, population: &Population, member: u32) -> ComponentStory {
    close.explain(plan, population, member).unwrap().components.pop().unwrap()
}

/// What is withheld, as `level reason amount -> who`.
fn withheld(plan: &ClosePlan, close: &Close, population: &Population, member: u32) -> Vec<String> {
    let line = |part: &Withheld| {
        let to = match part.to {
            Instead::Member(member) => format!("member {member}"),
            Instead::Rose(member) => format!("rose to {member}"),
            Instead::Company | Instead::Nobody | Instead::Earlier | Instead::Later => {
                format!("{:?}", part.to)
            }
        };
        format!("{} {} {} -> {to}", part.level, part.reason.as_str(), part.amount)
    };
    story(plan, close, population, member).withheld.iter().map(line).collect()
}

const LEVELS: &str = r#"
    rank = [
        { id = "silver", active = false, pv = "10" }, { id = "gold", active = false, pv = "50" },
    ]
    [[component]]
    kind = "unilevel_volume"
    id = "levels"
    rank = "paid_as"
    compression = "none"
    rates = [{ rates = ["10 %"] }, { from = "gold", rates = ["10 %", "5 %", "2 %"] }]
"#;

#[test]
fn the_story_says_level_locked_where_the_totals_do() {
    // Level 1 of member 0 is open and empty; 100 stand at level 2, behind one active leg of two.
    let unlock = "unlock = [{ active_legs = 1, levels = 1 }, { active_legs = 2, levels = 3 }]";
    let plan = plan(&format!("{LEVELS}{unlock}"));
    let mut columns = people(&[NOBODY, 0, 1]);
    columns.pv = [50, 1, 1].map(Volume::points).to_vec();
    columns.cv = [0, 0, 100].map(Volume::points).to_vec();
    let population = Population::new(&columns).unwrap();
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    assert_eq!(close.components()[0].totals.breakage[&Unpaid::LevelLocked], money("5"));
    assert_eq!(story(&plan, &close, &population, 0).unpaid, Some(Unpaid::LevelLocked));
    let told = withheld(&plan, &close, &population, 0);
    assert_eq!(told, ["2 level_locked 5.00 -> Company"]);
    // Who is paid hears of it too.
    columns.cv[1] = Volume::points(30);
    let population = Population::new(&columns).unwrap();
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    let told = story(&plan, &close, &population, 0);
    assert_eq!((told.paid, told.unpaid), (money("3"), None));
    assert_eq!(withheld(&plan, &close, &population, 0), ["2 level_locked 5.00 -> Company"]);
}

#[test]
fn who_is_passed_over_hears_who_has_the_money() {
    let text = LEVELS.replace("\"none\"", "\"dynamic\"");
    let plan = plan(&text);
    // 4 sold 100 below 3 (inactive), 2 (silver), 1 (gold), 0 (gold).
    let mut columns = people(&[NOBODY, 0, 1, 2, 3]);
    columns.pv = [50, 50, 10, 0, 1].map(Volume::points).to_vec();
    columns.cv = [0, 0, 0, 0, 100].map(Volume::points).to_vec();
    let population = Population::new(&columns).unwrap();
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    assert_eq!(paid(&close, &population, "levels"), ["2.00", "5.00", "10.00", "0.00", "0.00"]);
    let told = |member| withheld(&plan, &close, &population, member);
    assert_eq!(told(3), ["1 not_active 10.00 -> member 2"]);
    assert_eq!(told(2), Vec::<String>::new(), "2 held level 1, above it the volume is past 2");
    assert_eq!(story(&plan, &close, &population, 3).unpaid, Some(Unpaid::NotActive));
    // Without gold above, what rises past 2 and 1 reaches nobody.
    columns.pv = [10, 10, 0, 1, 1].map(Volume::points).to_vec();
    columns.cv = [0, 0, 0, 0, 100].map(Volume::points).to_vec();
    let population = Population::new(&columns).unwrap();
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    let told = |member| withheld(&plan, &close, &population, member);
    assert_eq!(paid(&close, &population, "levels")[3], "10.00");
    assert_eq!(told(2), ["2 not_active 5.00 -> Nobody"]);
    assert_eq!(told(1), ["2 rank_too_low 5.00 -> Nobody"]);
    assert_eq!(told(0), ["2 rank_too_low 5.00 -> Nobody"]);
}

const MATCHING: &str = r#"
    rank = [{ id = "silver", active = false, pv = "100" }]
    [[component]]
    kind = "given"
    id = "binary"
    [[component]]
    kind = "matching"
    id = "matching"
    on = ["binary"]
    rank = "paid_as"
    compression = "roll_up"
    negative_earnings = "match"
    rates = [{ rates = ["10 %"] }, { from = "silver", rates = ["20 %", "7 %"] }]
    [[cap]]
    id = "early"
    after = "binary"
    counts = ["binary"]
    limit = { per = "distributor", amount = "1000", rank = "paid_as" }
    [[cap]]
    id = "late"
    after = "matching"
    counts = ["binary", "matching"]
    limit = { per = "distributor", amount = "400", rank = "paid_as" }
"#;

#[test]
fn a_matching_is_told_with_what_it_saw_and_not_with_what_later_caps_left() {
    // 3 earned 1,500, capped to 1,000 before the matching and to 400 after it; 2 is inactive.
    let plan = plan(MATCHING);
    let population = population(&[(NOBODY, 100), (0, 1), (1, 0), (2, 1)]);
    let earned = ["0", "0", "0", "1500"].iter().map(|amount| money(amount)).collect();
    let given = vec![GivenEarnings { component: component("binary"), earned, unearned: None }];
    let inputs = Inputs { given, ..Inputs::default() };
    let close = evaluate(&plan, &population, &inputs).unwrap();
    assert_eq!(paid(&close, &population, "binary")[3], "400.00");
    assert_eq!(paid(&close, &population, "matching"), ["70.00", "100.00", "0.00", "0.00"]);
    let told = |member| withheld(&plan, &close, &population, member);
    assert_eq!(told(2), ["1 not_active 100.00 -> member 1"]);
    assert_eq!(told(1), ["1 lower_rate 100.00 -> Company"]);
    assert_eq!(told(0), Vec::<String>::new());
}

const GROUPS: &str = r#"
    rank = [{ id = "silver", active = false, pv = "100" }]
    [[component]]
    kind = "bracket"
    id = "performance"
    picks = "pv"
    breakaway = "never"
    inactive = "pass_up"
    table = [{ from = "100", rate = "3 %" }, { from = "600", rate = "6 %" }]
"#;

#[test]
fn what_an_inactive_member_passes_up_and_what_the_frontline_is_owed_has_a_name() {
    let plan = plan(GROUPS);
    let mut columns = people(&[NOBODY, 0, 1]);
    columns.pv = [500, 100, 100].map(Volume::points).to_vec();
    columns.cv.clone_from(&columns.pv);
    columns.status[1] = DistributorStatus::Inactive;
    let population = Population::new(&columns).unwrap();
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    // 6 % of 700 less the 3.00 that reach 2; 1 would have kept 3 % of 200 less 3.00.
    assert_eq!(paid(&close, &population, "performance"), ["39.00", "0.00", "3.00"]);
    let told = |member| withheld(&plan, &close, &population, member);
    let own = ["0 owed_to_frontline 3.00 -> member 2", "0 not_active 3.00 -> member 0"];
    assert_eq!(told(1), own);
    assert_eq!(told(0), ["0 owed_to_frontline 3.00 -> member 1"]);
    let standing = story(&plan, &close, &population, 0).bracket.unwrap();
    assert_eq!((standing.gross, standing.owed), (money("42"), money("3")));
    assert_eq!((standing.cv, standing.broken), (Volume::points(700), false));
}

const OVERRIDE: &str = r#"
    rank = [{ id = "silver", active = false, pv = "100" }]
    [[component]]
    kind = "bracket"
    id = "performance"
    picks = "pv"
    breakaway = "top_bracket"
    inactive = "breakage"
    table = [{ from = "10000", rate = "21 %" }]
    [[component]]
    kind = "breakaway"
    id = "leadership"
    bracket = "performance"
    rate = "4 %"
    own_group = "10000"
    unqualified = "roll_up"
    guarantee = { kind = "passed_up", threshold = "20000" }
"#;

#[test]
fn an_override_that_rises_past_a_small_group_and_a_guarantee_name_who_has_them() {
    let plan = plan(OVERRIDE);
    let told = |members: &[(u32, i32)], member| {
        let population = population(members);
        let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
        withheld(&plan, &close, &population, member)
    };
    let small = [(NOBODY, 10_000), (0, 500), (1, 25_000)];
    assert_eq!(told(&small, 1), ["0 own_group_too_small 1000.00 -> member 0"]);
    let guaranteed = [(NOBODY, 30_000), (0, 15_000), (1, 25_000)];
    assert_eq!(told(&guaranteed, 1), ["0 passed_up 200.00 -> member 0"]);
}

#[test]
fn a_bonus_that_was_paid_or_waits_says_so() {
    let text = r#"
        rank = [{ id = "silver", active = false, pv = "0", qv = "100" }]
        [[component]]
        kind = "rank_bonus"
        id = "advancement"
        pays = "once"
        passed = "all"
        rank = "paid_as"
        amounts = [{ from = "silver", amount = "25.00" }]
    "#;
    let mut columns = people(&[NOBODY, 0]);
    columns.qv = vec![Volume::points(100); 2];
    columns.pv = vec![Volume::points(1), Volume::ZERO];
    let (plan, population) = (plan(text), Population::new(&columns).unwrap());
    let paid =
        |member| PaidRank { component: component("advancement"), member, rank: RankLevel(1) };
    let inputs = Inputs { paid_ranks: vec![paid(0)], ..Inputs::default() };
    let close = evaluate(&plan, &population, &inputs).unwrap();
    let told = |member| withheld(&plan, &close, &population, member);
    assert_eq!(told(0), ["1 already_paid 25.00 -> Earlier"]);
    assert_eq!(told(1), ["1 not_active 25.00 -> Later"]);
}

/// A world with its close.
fn closed(
    (columns, parts, inputs): &(Columns, CloseParts, Inputs),
) -> (ClosePlan, Population, Close) {
    let eur = Currency::parse("EUR").unwrap();
    let plan = ClosePlan::new(parts.clone(), Rounding::HalfUp, eur).unwrap();
    let population = Population::new(columns).unwrap();
    let close = evaluate(&plan, &population, inputs).unwrap();
    (plan, population, close)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What the members hear of is the breakage of the component, reason by reason; that of nobody is
    /// withheld from nobody, that of what is placed is kept by position. Who asks alone hears the same as in a story of all, and every line is told once.
    #[test]
    fn what_is_withheld_from_all_is_the_breakage(world in random::worlds()) {
        let (plan, population, close) = closed(&world);
        let stories = close.stories(&plan, &population);
        let mut sums: BTreeMap<(ComponentId, Unpaid), Money> = BTreeMap::new();
        let mut lines: BTreeMap<ComponentId, Vec<Earning>> = BTreeMap::new();
        for member in population.positions() {
            let story = stories.of(member).unwrap();
            prop_assert_eq!(&story, &close.explain(&plan, &population, member).unwrap());
            for part in story.components {
                for withheld in part.withheld.iter().filter(|part| part.to == Instead::Company) {
                    let key = (part.component.clone(), withheld.reason);
                    *sums.entry(key).or_default() += withheld.amount;
                }
                lines.entry(part.component).or_default().extend(part.lines);
            }
        }
        // What nobody gets of a binary or a matrix is kept by position.
        let placed = |id: &ComponentId| {
            world.2.given.iter().any(|given| given.component == *id && given.unearned.is_some())
        };
        for component in close.components() {
            for (reason, amount) in &component.totals.breakage {
                let told = sums.remove(&(component.id.clone(), *reason)).unwrap_or_default();
                let told_elsewhere = reason.of_nobody() || placed(&component.id);
                let owned = if told_elsewhere { Money::ZERO } else { *amount };
                prop_assert_eq!(told, owned, "{} {:?}", component.id, reason);
            }
            let told = lines.remove(&component.id).unwrap_or_default();
            let mut all: Vec<Earning> = close.lines(&component.id, &population).collect();
            all.sort_by_key(|line| line.member);
            prop_assert_eq!(told, all, "{}", component.id);
        }
        prop_assert!(sums.values().all(|sum| sum.is_zero()), "{:?}", sums);
    }

    /// Whose volume stands at a level adds up to what the lines and what was withheld there rest on.
    #[test]
    fn the_sources_of_a_level_are_its_volume(world in random::worlds()) {
        let (plan, population, close) = closed(&world);
        let levels = component("levels");
        for member in population.positions() {
            let mut sums: BTreeMap<u32, Volume> = BTreeMap::new();
            for source in close.level_sources(&plan, &population, &levels, member) {
                *sums.entry(source.level).or_default() += source.volume;
            }
            let story = close.explain(&plan, &population, member).unwrap();
            let part = story.components.iter().find(|part| part.component == levels).unwrap();
            let lines = part.lines.iter().map(|line| (line.level, line.base));
            let kept = part.withheld.iter().filter(|part| part.to == Instead::Company);
            for (level, base) in lines.chain(kept.map(|part| (part.level, part.base))) {
                prop_assert_eq!(base, Base::Volume(sums[&level]), "{} {}", member, level);
            }
        }
    }

    /// Who has it instead stands above (or, of a group, below) and has at least that much to show for it
    /// at that level: paid, withheld from them, or passed on.
    #[test]
    fn who_has_it_instead_has_it(world in random::worlds()) {
        let (plan, population, close) = closed(&world);
        let stories = close.stories(&plan, &population);
        for member in population.positions() {
            let story = stories.of(member).unwrap();
            for (number, part) in story.components.iter().enumerate() {
                for withheld in &part.withheld {
                    let (has, gets) = match withheld.to {
                        Instead::Member(has) => (has, true),
                        Instead::Rose(has) => (has, false),
                        Instead::Company | Instead::Nobody | Instead::Earlier | Instead::Later => {
                            continue;
                        }
                    };
                    let other = stories.of(has).unwrap().components.remove(number);
                    if withheld.reason == Unpaid::OwedToFrontline {
                        prop_assert_eq!(population.sponsor(population.position(has).unwrap()),
                                        population.position(member).unwrap());
                        continue;
                    }
                    let mut above = population.position(member).unwrap();
                    while population.member(above) != has {
                        above = population.sponsor(above);
                        prop_assert!(above != NOBODY, "{} stands above {}", has, member);
                    }
                    if part.bracket.is_some() {
                        continue;
                    }
                    // Not what of it is guaranteed to somebody further up.
                    let lines = other.lines.iter().filter(|line| line.title != Title::Guarantee);
                    let lines = lines.map(|line| (line.level, line.amount)).filter(|_| gets);
                    let kept = other.withheld.iter().filter(|part| part.to == Instead::Company);
                    let kept = kept.map(|part| (part.level, part.amount)).filter(|_| !gets);
                    let at_level = lines.chain(kept).filter(|(level, _)| *level == withheld.level);
                    let has: Money = at_level.map(|(_, amount)| amount).sum();
                    // A part is rounded by itself, and earnings below zero make a sum smaller.
                    let takes_back = component("matching") == part.component;
                    prop_assert!(takes_back || has + money("0.01") >= withheld.amount,
                                 "{:?} {}", withheld, has);
                }
            }
        }
    }

    /// Past whom volume rises, found by walking from each member: the sweep says the same.
    #[test]
    fn what_rises_past_a_member_is_what_a_walk_meets(world in random::worlds(), seed in any::<u64>()) {
        let (_, population, _) = closed(&world);
        let holds = |position: u32| seed.rotate_right(position) & 1 == 1;
        let above = population.next_above(holds);
        let held: Vec<Volume> = population.positions().map(|p| Volume::points((p + 1).cast_signed())).collect();
        let mut walked = vec![Volume::ZERO; population.len()];
        for position in population.positions() {
            let mut at = population.sponsor(position);
            while at != NOBODY && !holds(at) {
                walked[index(at)] += held[index(position)];
                at = population.sponsor(at);
            }
        }
        prop_assert_eq!(crate::domain::close::withheld::passing(&population, &above, &held), walked);
    }
}
