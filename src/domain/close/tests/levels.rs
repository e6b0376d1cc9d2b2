//! Levels above who bought: what compression moves, and what opens them.

use super::*;

fn levels(compression: &str, more: &str) -> ClosePlan {
    plan(&format!(
        "rank = [{{ id = \"silver\", active = true, gv = \"9999999\" }}]\n[[component]]\nkind = \
         \"unilevel_volume\"\nid = \"levels\"\nrank = \"paid_as\"\ncompression = \"{compression}\"\n\
         rates = [{{ rates = [\"2 %\", \"2 %\", \"2 %\", \"2 %\"] }}]\n{more}"
    ))
}

#[test]
fn compression_moves_levels_and_never_the_sum() {
    // 200 CV, levels of 4.00; upline B, A who is inactive, Sponsor, Top.
    let members = [(NOBODY, 1), (0, 1), (1, 0), (2, 1), (3, 200)];
    let mut columns = people(&members.map(|(sponsor, _)| sponsor));
    columns.pv = members.iter().map(|(_, pv)| Volume::points(*pv)).collect();
    columns.cv[4] = Volume::points(200);
    let population = Population::new(&columns).unwrap();
    let close = |compression: &str| {
        let close = closed(&levels(compression, ""), &population);
        let totals = &close.components()[0].totals;
        assert_eq!(totals.pool, money("16"));
        assert!(totals.is_even());
        (paid(&close, &population, "levels"), totals.breakage.clone())
    };
    let (none, breakage) = close("none");
    assert_eq!(none, ["4.00", "4.00", "0.00", "4.00", "0.00"]);
    assert_eq!(breakage[&Unpaid::NotActive], money("4"));
    let (rolled, breakage) = close("roll_up");
    assert_eq!(rolled, ["4.00", "4.00", "0.00", "4.00", "0.00"]);
    assert_eq!(breakage[&Unpaid::EndOfUpline], money("4"), "no next ancestor takes the fourth");
}

#[test]
fn dynamic_compression_passes_over_who_has_the_level_not_open() {
    // H buys; upline G(6) F(3) E(0) D(6) C(4) B(6) A(6): title 6 earns levels 1 to 4, 5 three, 4 two,
    // 3 one.
    let titles = [6, 6, 4, 6, 0, 3, 6];
    let mut members: Vec<(u32, i32)> = vec![(NOBODY, 6)];
    members.extend((0..).zip(titles.iter().skip(1)).map(|(above, title)| (above, *title)));
    members.push((6, 0));
    let mut columns = people(&members.iter().map(|m| m.0).collect::<Vec<_>>());
    columns.pv = members.iter().map(|(_, title)| Volume::points(title + 1)).collect();
    columns.cv[7] = Volume::points(100);
    let population = Population::new(&columns).unwrap();
    let title = |n: usize| format!("{{ id = \"t{n}\", active = true, pv = \"{}\" }}", n + 1);
    let row = |n: usize| {
        let rates = ["\"1 %\""; 4];
        format!("{{ from = \"t{n}\", rates = [{}] }}", rates[..n - 2].join(", "))
    };
    let plan = |compression: &str| {
        let ranks: Vec<String> = (1..=6).map(title).collect();
        let rows: Vec<String> = (3..=6).map(row).collect();
        let text = format!(
            "{BASE}\nrank = [{}]\n[[component]]\nkind = \"unilevel_volume\"\nid = \"levels\"\nrank = \
             \"paid_as\"\ncompression = \"{compression}\"\nrates = [{}]",
            ranks.join(", "),
            rows.join(", ")
        );
        plan_of(&text.replace("\"silver\"", "\"t6\""))
    };
    let earned = |compression: &str| {
        let close = closed(&plan(compression), &population);
        let lines = close.lines(&component("levels"), &population);
        lines.map(|line| (line.level, line.member)).collect::<Vec<_>>()
    };
    let (a, b, d, g) = (0, 1, 3, 6);
    assert_eq!(earned("none"), [(1, g), (4, d)], "F at level 2 and E at level 3 earn nothing");
    assert_eq!(earned("dynamic"), [(1, g), (2, d), (3, b), (4, a)], "C reaches level 2 only");
}

#[test]
fn a_rank_of_zero_percent_is_passed_over_by_dynamic_compression() {
    let rates = |from: &str, level: &str| {
        let text = format!(
            "{BASE}{SILVER}[[component]]\nkind = \"unilevel_volume\"\nid = \"levels\"\nrank = \"paid_as\"\n\
             compression = \"dynamic\"\nrates = [{{ rates = [\"{from}\", \"{level}\", \"5 %\"] }}, \
             {{ from = \"silver\", rates = [\"10 %\", \"{level}\", \"5 %\"] }}]"
        );
        let plan = plan_of(&text);
        // 0 and 1 are silver, 2 is not, 3 buys 100.
        let mut columns = people(&[NOBODY, 0, 1, 2]);
        columns.pv = [100, 100, 1, 1].map(Volume::points).to_vec();
        columns.cv[3] = Volume::points(100);
        let population = Population::new(&columns).unwrap();
        let close = closed(&plan, &population);
        let lines = close.lines(&component("levels"), &population);
        lines.map(|line| (line.level, line.member)).collect::<Vec<_>>()
    };
    assert_eq!(rates("1 %", "2 %"), [(1, 2), (2, 1), (3, 0)]);
    assert_eq!(rates("0 %", "2 %"), [(1, 1), (2, 0)], "2 has nothing to hold level 1 for");
    assert_eq!(rates("1 %", "0 %"), [(1, 2), (3, 0)], "a level that pays nobody is a level");
}

#[test]
fn active_legs_open_levels() {
    let unlock = "unlock = [{ active_legs = 2, levels = 3 }, { active_legs = 4, levels = 4 }]";
    let plan = levels("none", unlock);
    let earned = |legs: u32| {
        // A chain of four below the first leg, and more legs.
        let mut people = vec![(NOBODY, 1), (0, 1), (1, 1), (2, 1), (3, 100)];
        people.extend((1..legs).map(|_| (0, 1)));
        let population = population(&people);
        let close = closed(&plan, &population);
        let why = unpaid(&plan, &close, &population, 0);
        let lines = close.lines(&component("levels"), &population);
        let levels: Vec<u32> = lines.filter(|l| l.member == 0).map(|l| l.level).collect();
        (levels, why)
    };
    // Whoever is paid hears of the level that was closed, whoever is not of all.
    let closed_to = |people: &[(u32, i32)]| {
        let population = population(people);
        let close = closed(&plan, &population);
        close.explain(&plan, &population, 0).unwrap().components.remove(0).closed
    };
    let legs = [(NOBODY, 1), (0, 100), (0, 1)];
    assert_eq!(closed_to(&legs), [(4, Unpaid::LevelLocked)]);
    assert_eq!(closed_to(&legs[..2]), [1, 2, 3, 4].map(|level| (level, Unpaid::LevelLocked)));
    assert_eq!(earned(1), (vec![], Some(Unpaid::LevelLocked)));
    assert_eq!(earned(2), (vec![1, 2, 3], None));
    assert_eq!(earned(4), (vec![1, 2, 3, 4], None));
}
