//! Components, caps and their order.

use super::*;
use crate::domain::close::column::at;

fn closed(plan: &ClosePlan, population: &Population) -> Close {
    evaluate(plan, population, &Inputs::default()).unwrap()
}

fn unpaid(plan: &ClosePlan, close: &Close, population: &Population, member: u32) -> Option<Unpaid> {
    close.explain(plan, population, member).unwrap().components.remove(0).unpaid
}

const SILVER: &str = "rank = [{ id = \"silver\", active = false, pv = \"100\" }]\n";

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
    compression = "none"
    negative_earnings = "match"
    rates = [{ from = "silver", rates = ["10 %", "7 %"] }]
"#;

fn given(earned: &[&str]) -> Inputs {
    let earned = earned.iter().map(|amount| money(amount)).collect();
    let given = vec![GivenEarnings { component: component("binary"), earned, unearned: None }];
    Inputs { given, ..Inputs::default() }
}

#[test]
fn matching_pays_a_share_of_the_earnings_of_two_generations() {
    // B earned 1,000 and C, whom B enrolled, 1,200: 10 % and 7 % are 184.
    let population = population(&[(NOBODY, 100), (0, 0), (1, 10)]);
    let plan = plan(MATCHING);
    let close = evaluate(&plan, &population, &given(&["0", "1000", "1200"])).unwrap();
    assert_eq!(paid(&close, &population, "matching"), ["184.00", "0.00", "0.00"]);
    let totals = &close.component(&component("matching")).unwrap().totals;
    // B is not active and C's sponsor: 120.00. The second generation of B ends above A: 70.00.
    assert_eq!(totals.breakage[&Unpaid::NotActive], money("120"));
    assert_eq!(totals.breakage[&Unpaid::EndOfUpline], money("70"));
    assert_eq!(totals.pool, money("374"));
    let why = close.explain(&plan, &population, 2).unwrap().components.remove(1).unpaid;
    assert_eq!(why, Some(Unpaid::RankTooLow));
}

#[test]
fn a_month_of_refunds_closes_and_is_matched_as_the_plan_says() {
    // B gives 500 back, C gives back 50 more than they earned.
    let population = population(&[(NOBODY, 100), (0, 100), (1, 100)]);
    let inputs = given(&["0", "-500", "-50"]);
    let matched = |word: &str| {
        let plan = plan(&MATCHING.replace("\"match\"", &format!("\"{word}\"")));
        let close = evaluate(&plan, &population, &inputs).unwrap();
        assert!(close.components().iter().all(|part| part.totals.is_even()));
        assert_eq!(close.components()[0].totals.paid, money("-550"));
        assert_eq!(close.explain(&plan, &population, 1).unwrap().components[0].unpaid, None);
        paid(&close, &population, "matching")
    };
    assert_eq!(matched("match"), ["-53.50", "-5.00", "0.00"]);
    assert_eq!(matched("ignore"), ["0.00", "0.00", "0.00"]);
    // What is taken back from B and C leaves A more under the limit of the company: 150 + 550.
    for method in ["pro_rata", "rank_priority", "hard_stop"] {
        let cap = format!(
            "{MATCHING}\n[[cap]]\nid = \"company\"\nafter = \"binary\"\ncounts = [\"binary\"]\n\
             limit = {{ per = \"company\", share_of_cv = \"50 %\", method = \"{method}\" }}"
        );
        let inputs = given(&["900", "-500", "-50"]);
        let close = evaluate(&plan(&cap), &population, &inputs).unwrap();
        assert_eq!(paid(&close, &population, "binary"), ["700.00", "-500.00", "-50.00"]);
    }
}

/// A takes back 30 of a closed period, and earned 150 in this one.
#[test]
fn a_cap_of_a_distributor_looks_at_what_the_period_earned_and_not_at_what_it_corrects() {
    let population = population(&[(NOBODY, 100)]);
    let mut inputs = given(&["120"]);
    let corrected = vec![(0, money("-30"))];
    inputs.given[0].unearned = Some(Unearned { corrected, ..Unearned::default() });
    let limit = |limit: &str| {
        let cap = format!(
            "{MATCHING}\n[[cap]]\nid = \"own\"\nafter = \"binary\"\ncounts = [\"binary\"]\nlimit = {limit}"
        );
        let plan = plan(&cap);
        let close = evaluate(&plan, &population, &inputs).unwrap();
        assert!(close.components().iter().all(|part| part.totals.is_even()));
        paid(&close, &population, "binary")
    };
    // 150 down to 100, less 30; 150 below 160 is left alone.
    let of_one = |amount: &str| {
        limit(&format!("{{ per = \"distributor\", amount = \"{amount}\", rank = \"paid_as\" }}"))
    };
    assert_eq!(of_one("100"), ["70.00"]);
    assert_eq!(of_one("160"), ["120.00"]);
    assert_eq!(of_one("0"), ["-30.00"]);
    // The CV of the company is less what came back, so what it pays is less the correction: 120 of 50.
    let of_all = "{ per = \"company\", share_of_cv = \"50 %\", method = \"pro_rata\" }";
    assert_eq!(limit(of_all), ["50.00"]);
}

/// What is returned counts where it lies and no lower: not against the volume of others.
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

#[test]
fn base_caps_matching_caps_is_the_order_that_the_plan_states() {
    let population = population(&[(NOBODY, 100), (0, 100), (1, 100)]);
    let cap = |after: &str, counts: &str| {
        let limit = "{ per = \"distributor\", amount = \"1000\", rank = \"paid_as\" }";
        plan(&format!(
            "{MATCHING}\n[[cap]]\nid = \"own\"\nafter = \"{after}\"\ncounts = {counts}\nlimit = {limit}"
        ))
    };
    let inputs = given(&["0", "1500", "0"]);
    let before = evaluate(&cap("binary", "[\"binary\"]"), &population, &inputs).unwrap();
    assert_eq!(paid(&before, &population, "binary"), ["0.00", "1000.00", "0.00"]);
    assert_eq!(paid(&before, &population, "matching"), ["100.00", "0.00", "0.00"]);
    let totals = &before.components()[0].totals;
    assert_eq!(totals.capped[&component("own")], money("500"));
    let after = evaluate(&cap("matching", "[\"binary\"]"), &population, &inputs).unwrap();
    assert_eq!(paid(&after, &population, "matching"), ["150.00", "0.00", "0.00"]);
    assert_eq!(paid(&after, &population, "binary"), ["0.00", "1000.00", "0.00"]);
}

#[test]
fn the_company_pays_no_more_than_its_share_of_cv() {
    let capped = |method: &str| {
        let plan = plan(&format!(
            "{MATCHING}\n[[cap]]\nid = \"company\"\nafter = \"binary\"\ncounts = [\"binary\"]\n\
             limit = {{ per = \"company\", share_of_cv = \"50 %\", method = \"{method}\" }}"
        ));
        // CV 201 x 50 % = 100.50 for earnings of 200.
        let population = population(&[(NOBODY, 1), (0, 100), (0, 100)]);
        let close = evaluate(&plan, &population, &given(&["100", "60", "40"])).unwrap();
        assert!(close.components()[0].totals.is_even());
        assert_eq!(close.components()[0].totals.paid, money("100.50"));
        paid(&close, &population, "binary")
    };
    assert_eq!(capped("pro_rata"), ["50.25", "30.15", "20.10"]);
    // 1 and 2 are silver, 0 has no rank and gets what they leave.
    assert_eq!(capped("rank_priority"), ["0.50", "60.00", "40.00"]);
    assert_eq!(capped("hard_stop"), ["100.00", "0.50", "0.00"]);
}

fn pool(size: &str) -> ClosePlan {
    plan(&format!(
        "{SILVER}\n[[component]]\nkind = \"pool\"\nid = \"pool\"\nsize = {size}\nrank = \"paid_as\"\n\
         shares = [{{ from = \"silver\", shares = 1 }}]\nnobody = \"carry\""
    ))
}

#[test]
fn a_pool_is_shared_to_the_last_cent() {
    let one_percent = pool("{ kind = \"share_of_cv\", rate = \"1 %\" }");
    // Fifty who qualify and one big buyer who does not, for their status.
    let mut columns = people(&[NOBODY; 51]);
    columns.pv = vec![Volume::points(100); 51];
    columns.cv = vec![Volume::points(0); 51];
    columns.cv[50] = Volume::points(1_000_000);
    columns.status[50] = crate::domain::genealogy::DistributorStatus::Terminated;
    let population = Population::new(&columns).unwrap();
    let close = closed(&one_percent, &population);
    let all = paid(&close, &population, "pool");
    assert!(all.iter().take(50).all(|share| share == "200.00"), "{all:?}");
    assert_eq!(unpaid(&one_percent, &close, &population, 50), Some(Unpaid::NotActive));

    let fixed = pool("{ kind = \"fixed\", amount = \"10000\" }");
    let three = super::population(&[(1, 100), (2, 100), (NOBODY, 100)]);
    let close = closed(&fixed, &three);
    let shares = ["3333.34", "3333.33", "3333.33"];
    assert_eq!(paid(&close, &three, "pool"), shares, "by member number, not by place in the tree");
}

#[test]
fn a_pool_for_which_nobody_qualifies_is_carried() {
    let plan = pool("{ kind = \"fixed\", amount = \"10000\" }");
    let population = population(&[(NOBODY, 10)]);
    let close = closed(&plan, &population);
    let totals = &close.components()[0].totals;
    assert_eq!((totals.carried, totals.paid), (money("10000"), Money::ZERO));
    assert!(totals.is_even());
    let carried = vec![Carried { component: component("pool"), amount: money("0.01") }];
    let next = evaluate(&plan, &population, &Inputs { carried, ..Inputs::default() }).unwrap();
    assert_eq!(next.components()[0].totals.pool, money("10000.01"));
}

#[test]
fn a_rank_bonus_is_paid_once_and_a_car_every_month() {
    let bonus = |pays: &str, passed: &str| {
        plan(&format!(
            "rank = [{{ id = \"silver\", active = true, pv = \"100\" }}, {{ id = \"gold\", active = \
             true, pv = \"200\" }}]\n[[component]]\nkind = \"rank_bonus\"\nid = \"bonus\"\nrank = \
             \"paid_as\"\npays = \"{pays}\"\npassed = \"{passed}\"\namounts = [{{ from = \"silver\", \
             amount = \"100\" }}, {{ from = \"gold\", amount = \"500\" }}]"
        ))
    };
    let population = population(&[(NOBODY, 200)]);
    let paid = |plan: &ClosePlan, ranks: &[u8]| {
        let rank = |rank: &u8| PaidRank {
            component: component("bonus"),
            member: 0,
            rank: RankLevel(*rank),
        };
        let paid_ranks = ranks.iter().map(rank).collect();
        let close =
            evaluate(plan, &population, &Inputs { paid_ranks, ..Inputs::default() }).unwrap();
        (paid(&close, &population, "bonus").remove(0), unpaid(plan, &close, &population, 0))
    };
    let once = bonus("once", "all");
    assert_eq!(paid(&once, &[]).0, "600.00");
    assert_eq!(paid(&once, &[1]).0, "500.00");
    assert_eq!(paid(&once, &[1, 2]), ("0.00".to_owned(), Some(Unpaid::AlreadyPaid)));
    let highest = bonus("once", "highest");
    assert_eq!(paid(&highest, &[]).0, "500.00");
    assert_eq!(
        paid(&highest, &[2]).0,
        "0.00",
        "the silver that was passed over is not made up for"
    );
    assert_eq!(paid(&bonus("every_period", "highest"), &[1, 2]).0, "500.00");
}

#[test]
fn a_bonus_paid_once_waits_for_whoever_is_not_active() {
    let bonus = |pays: &str| {
        plan(&format!(
            "{SILVER}[[component]]\nkind = \"rank_bonus\"\nid = \"bonus\"\nrank = \"achieved\"\n\
             pays = \"{pays}\"\npassed = \"all\"\n\
             amounts = [{{ from = \"silver\", amount = \"100\" }}]"
        ))
    };
    let totals = |pays: &str, pv: i32| {
        let mut columns = people(&[NOBODY]);
        columns.pv = vec![Volume::points(pv)];
        columns.achieved = vec![RankLevel(1)];
        let population = Population::new(&columns).unwrap();
        let (plan, inputs) = (bonus(pays), Inputs::default());
        let close = evaluate(&plan, &population, &inputs).unwrap();
        let totals = close.components()[0].totals.clone();
        (totals.pool, totals.paid, unpaid(&plan, &close, &population, 0))
    };
    let not_active = Some(Unpaid::NotActive);
    assert_eq!(totals("once", 0), (Money::ZERO, Money::ZERO, not_active), "no breakage: still due");
    assert_eq!(totals("once", 1), (money("100"), money("100"), None));
    assert_eq!(totals("every_period", 0), (money("100"), Money::ZERO, not_active));
}

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

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let plan = plan(MATCHING);
    let population = population(&[(NOBODY, 1)]);
    let refused = |inputs: &Inputs| evaluate(&plan, &population, inputs).unwrap_err();
    assert_eq!(refused(&Inputs::default()), CloseError::NotGiven(component("binary")));
    assert!(matches!(refused(&given(&["1", "1"])), CloseError::Length { found: 2, .. }));
    assert!(matches!(refused(&given(&["0.001"])), CloseError::Amount { .. }));
    let mut below = given(&["1"]);
    below.carried = vec![Carried { component: component("pool"), amount: money("-1") }];
    let text = format!(
        "{MATCHING}\n[[component]]\nkind = \"pool\"\nid = \"pool\"\n\
        size = {{ kind = \"fixed\", amount = \"1\" }}\nrank = \"paid_as\"\nnobody = \"carry\"\n\
        shares = [{{ from = \"silver\", shares = 1 }}]\n"
    );
    let error = evaluate(&super::plan(&text), &population, &below).unwrap_err();
    assert!(matches!(error, CloseError::Amount { what: "`carried`", .. }));
    let mut twice = given(&["1"]);
    twice.given.extend(twice.given.clone());
    assert!(matches!(refused(&twice), CloseError::Component { .. }));
    let mut carried = given(&["1"]);
    carried.carried = vec![Carried { component: component("matching"), amount: money("1") }];
    assert!(matches!(refused(&carried), CloseError::Component { what: "`carried`", .. }));
    let mut paid = given(&["1"]);
    let rank = PaidRank { component: component("bonus"), member: 0, rank: RankLevel(2) };
    paid.paid_ranks = vec![rank];
    assert!(matches!(refused(&paid), CloseError::Rank { rank: 2, ranks: 1, .. }));
}
