//! Brackets of a group, legs that break away and the override on them, and volume below zero.

use super::*;
use crate::domain::close::column::at;

const US_BRACKETS: &str = r#"
    [[component]]
    kind = "bracket"
    id = "performance"
    picks = "pv"
    breakaway = "never"
    inactive = "breakage"
    table = [
        { from = "100", rate = "3 %" }, { from = "300", rate = "6 %" },
        { from = "600", rate = "9 %" }, { from = "1000", rate = "12 %" },
        { from = "1500", rate = "15 %" },
    ]
"#;

const AMWAY_EU: &str = r#"
    [[component]]
    kind = "bracket"
    id = "performance"
    picks = "pv"
    breakaway = "top_bracket"
    inactive = "breakage"
    table = [
        { from = "200", rate = "3 %" }, { from = "600", rate = "6 %" },
        { from = "1200", rate = "9 %" }, { from = "2400", rate = "12 %" },
        { from = "4000", rate = "15 %" }, { from = "7000", rate = "18 %" },
        { from = "10000", rate = "21 %" },
    ]
"#;

#[test]
fn pv_picks_the_bracket_and_bv_carries_the_money_as_in_lopez() {
    // US Tax Court, 2003: 1,000 PV with a BV of 2,500 at 12 %: a gross of 300.
    let plan = plan(&format!("{SILVER}{US_BRACKETS}"));
    let points = |own: &[i32]| own.iter().map(|v| Volume::points(*v)).collect::<Vec<_>>();
    let mut columns = people(&[NOBODY, 0]);
    columns.pv = points(&[400, 600]);
    columns.cv = points(&[1_000, 1_500]);
    let population = Population::new(&columns).unwrap();
    let close = closed(&plan, &population);
    // 300.00 less 9 % of 1,500 that the frontline's group is owed.
    assert_eq!(paid(&close, &population, "performance"), ["165.00", "135.00"]);
    let lines: Vec<Earning> = close.lines(&component("performance"), &population).collect();
    let gross = lines.iter().find(|line| line.member == 0).unwrap();
    assert_eq!((gross.amount, gross.base), (money("300"), Base::Volume(Volume::points(2_500))));
    assert_eq!(close.components()[0].totals.pool, money("300"));
    // The cliff: at 1,000 the next bracket is 500 away.
    let story = close.explain(&plan, &population, 0).unwrap();
    let standing = story.components[0].bracket.unwrap();
    assert_eq!(standing.group, Volume::points(1_000));
    assert_eq!(standing.next.unwrap().from, Volume::points(1_500));
}

#[test]
fn the_brackets_of_amway_eu_have_no_gap() {
    let plan = plan(&format!("{SILVER}{AMWAY_EU}"));
    let rate = |parts: i64| {
        let mut columns = people(&[NOBODY]);
        columns.pv = vec![Volume::from_parts(parts)];
        columns.cv = vec![Volume::points(100)];
        let population = Population::new(&columns).unwrap();
        let close = closed(&plan, &population);
        let unpaid = unpaid(&plan, &close, &population, 0);
        (paid(&close, &population, "performance").remove(0), unpaid)
    };
    let steps = [(200, "3.00"), (600, "6.00"), (1_200, "9.00"), (2_400, "12.00"), (4_000, "15.00")];
    for (from, pays) in steps.into_iter().chain([(7_000, "18.00"), (10_000, "21.00")]) {
        assert_eq!(rate(from * 10_000), (pays.to_owned(), None));
        assert_ne!(rate(from * 10_000 - 1).0, pays, "a ten-thousandth below {from}");
    }
    assert_eq!(rate(1_999_999), ("0.00".to_owned(), Some(Unpaid::BelowFirstBracket)));
}

#[test]
fn a_leg_at_the_top_breaks_away_with_its_volume() {
    let plan = plan(&format!("{SILVER}{AMWAY_EU}"));
    let people = [(NOBODY, 200), (0, 400), (0, 10_000)];
    let population = population(&people);
    let close = closed(&plan, &population);
    // 6 % of 600 less 3 % of 400: the broken leg is neither group nor owed anything.
    assert_eq!(paid(&close, &population, "performance"), ["24.00", "12.00", "2100.00"]);
    assert_eq!(close.components()[0].totals.pool, money("2136"));
}

#[test]
fn what_an_inactive_leader_without_a_group_above_would_keep_is_breakage() {
    let passed = plan(&format!("{SILVER}{AMWAY_EU}").replace("\"breakage\"", "\"pass_up\""));
    let kept = plan(&format!("{SILVER}{AMWAY_EU}"));
    let totals = |plan: &ClosePlan, sponsor: &[u32], own: &[i32], inactive: usize| {
        let mut columns = people(sponsor);
        columns.pv = own.iter().map(|v| Volume::points(*v)).collect();
        columns.cv.clone_from(&columns.pv);
        columns.status[inactive] = crate::domain::genealogy::DistributorStatus::Inactive;
        let population = Population::new(&columns).unwrap();
        closed(plan, &population).components[0].totals.clone()
    };
    // 1 broke away with 21 % of 10,000 = 2,100.00, of which 9 % of 1,200 are owed to 2; 0 has 6.00.
    for plan in [&passed, &kept] {
        let broken = totals(plan, &[NOBODY, 0, 1], &[200, 8_800, 1_200], 1);
        assert_eq!((broken.pool, broken.paid), (money("2106"), money("114")));
        assert_eq!(broken.breakage[&Unpaid::NotActive], money("1992"));
        let at_the_top = totals(plan, &[NOBODY, 0], &[400, 200], 0);
        assert_eq!((at_the_top.pool, at_the_top.paid), (money("36"), money("6")));
        assert_eq!(at_the_top.breakage[&Unpaid::NotActive], money("30"));
    }
    // In a group there is somebody above who keeps it.
    let inside = totals(&passed, &[NOBODY, 0, 1], &[200, 200, 200], 1);
    assert_eq!((inside.paid, inside.breakage.len()), (money("36"), 0));
}

const OVERRIDE: &str = r#"
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
fn the_shortfall_of_the_guaranteed_minimum_moves_up() {
    let plan = plan(&format!("{SILVER}{AMWAY_EU}{OVERRIDE}"));
    // 4 % x 20,000 = 800 is guaranteed; the group of 1 has a BV of 15,000 and generates 600; 200 of
    // the 1,000 that 1 receives on the leg of 2 move up.
    let people = [(NOBODY, 30_000), (0, 15_000), (1, 25_000)];
    let population = population(&people);
    let close = closed(&plan, &population);
    assert_eq!(paid(&close, &population, "leadership"), ["800.00", "800.00", "0.00"]);
    let totals = &close.component(&component("leadership")).unwrap().totals;
    assert_eq!((totals.pool, totals.paid), (money("1600"), money("1600")));
    let lines: Vec<_> = close.lines(&component("leadership"), &population).collect();
    let of = |title| lines.iter().filter(move |line| line.title == title);
    assert_eq!(of(Title::Guarantee).map(|l| (l.member, l.amount)).next(), Some((1, money("-200"))));
    assert_eq!(of(Title::Guaranteed).map(|l| l.source).next(), Some(Some(1)));
    let story = close.explain(&plan, &population, 2).unwrap();
    assert_eq!(story.components[1].unpaid, Some(Unpaid::NoLegBrokeAway));
}

#[test]
fn what_a_sponsor_may_not_receive_goes_to_the_next_who_may() {
    let people = [(NOBODY, 10_000), (0, 500), (1, 25_000)];
    let population = population(&people);
    let text = format!("{SILVER}{AMWAY_EU}{OVERRIDE}");
    let rolled = closed(&plan(&text), &population);
    assert_eq!(paid(&rolled, &population, "leadership"), ["1000.00", "0.00", "0.00"]);
    let kept = plan(&text.replace("roll_up", "breakage"));
    let close = closed(&kept, &population);
    let totals = &close.component(&component("leadership")).unwrap().totals;
    assert_eq!(totals.breakage[&Unpaid::OwnGroupTooSmall], money("1000"));
}

#[test]
fn volume_below_zero_is_carried_or_forgiven() {
    let text = |word: &str| {
        format!("{BASE}{SILVER}{AMWAY_EU}").replace("\"carry\"", &format!("\"{word}\""))
    };
    let (carry, forgive) = (plan_of(&text("carry")), plan_of(&text("forgive")));
    // B bought 1,200, C returned 1,000 of the period before.
    let mut columns = people(&[NOBODY, 0, 0]);
    let months = [[0, 1_200, -1_000], [0, 0, 1_300], [0, 0, 200]];
    let mut carried = Vec::new();
    let mut groups = Vec::new();
    for month in months {
        columns.pv = month.map(Volume::points).to_vec();
        columns.cv.clone_from(&columns.pv);
        columns.carry_in(&carried).unwrap();
        let population = Population::new(&columns).unwrap();
        let forgiven = closed(&forgive, &population);
        assert!(forgiven.carried_volume.is_empty());
        let close = closed(&carry, &population);
        assert!(close.components()[0].totals.is_even());
        groups.push(at(&close.ranking.gv, population.position(0).unwrap()));
        carried = close.carried_volume;
    }
    assert_eq!(groups, [1_200, 300, 200].map(Volume::points));
    let nobody = BelowZero { member: 3, pv: -Volume::points(1), ..below(2) };
    assert_eq!(columns.carry_in(&[nobody]), Err(PopulationError::Carried(3)));
}

fn below(member: u32) -> BelowZero {
    BelowZero { member, pv: Volume::ZERO, qv: Volume::ZERO, cv: Volume::ZERO }
}
