//! Ranks, legs and activity.

use super::*;
use crate::domain::{
    close::oracle::{Oracle, Stand},
    genealogy::DistributorStatus,
    id::{DistributorId, Operator, RankId, Reason},
    plan::rank::RankLevel,
};

/// Own groups end at the first rank already.
const STAR: &str = "leader = \"star\"";

fn ranked(plan: &ClosePlan, population: &Population) -> Close {
    evaluate(plan, population, &Inputs::default()).unwrap()
}

#[test]
fn gold_passes_and_platinum_fails_in_the_young_living_table() {
    let text = format!("{BASE}{YOUNG_LIVING}\ncomponent = []").replace("leader = \"silver\"", STAR);
    let plan = plan_of(&text);
    // Legs of 20,000, 7,000, 6,500 and 3,000; three people without a rank are the own group.
    let legs = [20_000, 7_000, 6_500, 3_000, 2_300, 360, 360, 360].map(|volume| (0, volume));
    let people: Vec<_> = std::iter::once((NOBODY, 120)).chain(legs).collect();
    let population = population(&people);
    let close = ranked(&plan, &population);
    assert_eq!(rank(&plan, &close, &population, 0), "gold");
    let story = close.explain(&plan, &population, 0).unwrap();
    assert_eq!((story.gv, story.pgv), (Volume::points(40_000), Volume::points(1_200)));
    assert_eq!(story.next.unwrap().as_str(), "platinum");
    let missing = serde_json::to_value(&story.missing).unwrap();
    assert_eq!(
        missing,
        serde_json::json!([
            { "requirement": "gv", "needs": "100000", "has": "40000" },
            { "requirement": "legs", "needs": 4, "has": 1, "gv": "8000", "rank": null }
        ])
    );
}

#[test]
fn the_own_group_ends_at_the_next_leader() {
    let plan = plan(&format!("{YOUNG_LIVING}\ncomponent = []"));
    // 1 is silver (two legs of 4,000, an own group of 8,000 besides the 2,000 of their own).
    let people = [(NOBODY, 200), (0, 2_000), (1, 4_000), (1, 4_000), (0, 700), (4, 300)];
    let population = population(&people);
    let close = ranked(&plan, &population);
    assert_eq!(rank(&plan, &close, &population, 1), "silver");
    let story = close.explain(&plan, &population, 0).unwrap();
    assert_eq!((story.gv, story.pgv), (Volume::points(11_200), Volume::points(1_200)));
    let leader = close.explain(&plan, &population, 1).unwrap();
    assert_eq!(leader.pgv, Volume::points(10_000), "who is no leader yet is part of the group");
}

#[test]
fn a_leg_counts_up_to_the_cap() {
    let plan = plan(
        "component = []\nrank = [{ id = \"silver\", active = false, gv = \"4350\", leg_cap = \"40 %\" }]",
    );
    let legs = |third: i32| population(&[(NOBODY, 0), (0, 3_000), (0, 1_200), (0, third)]);
    let population = legs(900);
    let close = ranked(&plan, &population);
    assert_eq!(rank(&plan, &close, &population, 0), "");
    let story = close.explain(&plan, &population, 0).unwrap();
    let gv = |points| Volume::points(points);
    assert_eq!(story.missing, [Shortfall::Gv { needs: gv(4_350), has: gv(3_840) }]);
    let enough = legs(1_410);
    assert_eq!(rank(&plan, &ranked(&plan, &enough), &enough, 0), "silver");
}

const CHAIN: &str = r#"
    component = []
    [[rank]]
    id = "silver"
    active = true
    pv = "100"
    [[rank]]
    id = "gold"
    active = true
    legs = [{ count = 2, rank = "silver" }]
    [[rank]]
    id = "platinum"
    active = true
    legs = [{ count = 1, rank = "gold" }]
"#;

#[test]
fn one_pass_in_the_order_of_enrolment_undercounts() {
    let people = [(NOBODY, 10), (0, 10), (1, 100), (1, 100)];
    let population = population(&people);
    let plan = plan(CHAIN);
    let close = ranked(&plan, &population);
    let ranks: Vec<String> = (0..4).map(|m| rank(&plan, &close, &population, m)).collect();
    assert_eq!(ranks, ["platinum", "gold", "silver", "silver"]);

    let mut columns = people_columns(&people);
    columns.pv = people.iter().map(|(_, v)| Volume::points(*v)).collect();
    let (rounding, currency, inputs) = (plan.rounding, plan.currency, Inputs::default());
    let stands = vec![Stand::default(); 4];
    let parts = &plan.parts;
    let mut naive =
        Oracle { columns: &columns, parts, inputs: &inputs, rounding, currency, stands };
    naive.pass();
    let once: Vec<u8> = naive.stands.iter().map(|stand| stand.paid_as.0).collect();
    assert_eq!(once, [0, 0, 1, 1], "those above were looked at before those below had a rank");
    naive.settle();
    let settled: Vec<u8> = naive.stands.iter().map(|stand| stand.paid_as.0).collect();
    assert_eq!(settled, [3, 2, 1, 1]);
}

fn people_columns(members: &[(u32, i32)]) -> Columns {
    let sponsor: Vec<u32> = members.iter().map(|(sponsor, _)| *sponsor).collect();
    people(&sponsor)
}

#[test]
fn a_rank_in_the_depth_of_a_leg_counts_for_it_and_a_leg_counts_once() {
    let plan = plan(CHAIN);
    // Two silvers in one leg are one leg.
    let one_leg = population(&[(NOBODY, 10), (0, 10), (1, 100), (1, 100), (0, 10)]);
    let close = ranked(&plan, &one_leg);
    let story = close.explain(&plan, &one_leg, 0).unwrap();
    assert_eq!(rank(&plan, &close, &one_leg, 0), "platinum", "of the gold below, not of two legs");
    let gold = plan.ranks().missing(&one_leg, &close.ranking, 0, RankLevel(2));
    let rank = Some(RankLevel(1));
    assert_eq!(gold, [Shortfall::Legs { needs: 2, has: 1, gv: None, rank }]);
    assert_eq!(story.next, None, "at the top");
}

#[test]
fn step_by_step_a_rank_above_one_that_is_missed_is_not_held() {
    let plan = plan_of(&format!("{BASE}\n{CHAIN}").replace("highest_met", "each_step"));
    let population = population(&[(NOBODY, 10), (0, 100), (0, 100)]);
    let close = ranked(&plan, &population);
    assert_eq!(rank(&plan, &close, &population, 0), "", "gold is met, silver is not");
}

#[test]
fn the_highest_rank_ever_reached_stays_and_a_forced_one_is_told_apart() {
    let plan = plan(CHAIN);
    let people = [(NOBODY, 10), (0, 100)];
    let mut columns = people_columns(&people);
    columns.pv = people.iter().map(|(_, v)| Volume::points(*v)).collect();
    columns.achieved = vec![RankLevel(3), RankLevel(0)];
    let population = Population::new(&columns).unwrap();
    let force = |member, rank, hold, raises_title| ForcedRank {
        member,
        rank: RankLevel(rank),
        hold,
        raises_title,
        operator: Operator::parse("staff-7").unwrap(),
        reason: Reason::parse("a merger of two positions").unwrap(),
    };
    let close = |forced: Vec<ForcedRank>| {
        let close = evaluate(&plan, &population, &Inputs { forced, ..Inputs::default() }).unwrap();
        let level = |column: &[RankLevel]| column.iter().map(|r| r.0).collect::<Vec<_>>();
        (level(&close.ranking.paid_as), level(&close.ranking.achieved))
    };
    assert_eq!(close(vec![]), (vec![0, 1], vec![3, 1]));
    // A forced gold below lifts whom it qualifies: a forced rank counts as any other.
    let at_least = force(1, 2, Hold::AtLeast, false);
    assert_eq!(close(vec![at_least]), (vec![3, 2], vec![3, 1]));
    let exactly = force(1, 0, Hold::Exactly, false);
    assert_eq!(close(vec![exactly]), (vec![0, 0], vec![3, 0]), "nothing is reached either");
    let title = force(1, 2, Hold::AtLeast, true);
    assert_eq!(close(vec![title]).1, [3, 2]);

    let forced = vec![force(1, 2, Hold::AtLeast, false)];
    let inputs = Inputs { forced: forced.clone(), ..Inputs::default() };
    let close = evaluate(&plan, &population, &inputs).unwrap();
    let story = close.explain(&plan, &population, 1).unwrap();
    assert_eq!(story.forced, forced, "with who decided it and why");

    let nobody = Inputs { forced: vec![force(2, 1, Hold::AtLeast, false)], ..Inputs::default() };
    let error = evaluate(&plan, &population, &nobody).unwrap_err();
    assert_eq!(error, CloseError::Member { what: "a forced rank", member: 2 });
}

#[test]
fn orders_after_a_period_are_paid_by_its_numbers_and_only_what_changes_is_said() {
    let plan = plan(CHAIN);
    let people = [(NOBODY, 10), (0, 100), (0, 100), (0, 10)];
    let population = population(&people);
    let forced = [(1, 0, Hold::Exactly), (3, 1, Hold::AtLeast)].map(|(member, rank, hold)| {
        let (rank, raises_title) = (RankLevel(rank), false);
        let operator = Operator::parse("staff-7").unwrap();
        let reason = Reason::parse("promised").unwrap();
        ForcedRank { member, rank, hold, raises_title, operator, reason }
    });
    let inputs = Inputs { forced: forced.to_vec(), ..Inputs::default() };
    let close = evaluate(&plan, &population, &inputs).unwrap();
    let name = |member: u32| DistributorId::parse(&format!("d{member}")).ok();
    let changes = |known: [Option<&str>; 4]| {
        let known = known.map(|rank| rank.map(|rank| RankId::parse(rank).unwrap()));
        let of = |id: &DistributorId| {
            let place = (0..4).position(|member| name(member).as_ref() == Some(id))?;
            known[place].as_ref()
        };
        let changes = close.rank_changes(&plan, &population, name, of);
        let said = |change: RankChange| {
            let rank = change.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
            format!("{} {rank}", change.distributor)
        };
        changes.map(said).collect::<Vec<_>>()
    };
    // 0 is gold by two legs of a silver: of 2, and of 3, whose forced rank counts as any other; 1 and 3
    // are paid as somebody decided, and their own numbers support silver and nothing.
    let all = ["d0 gold", "d1 silver", "d2 silver"];
    assert_eq!(changes([None; 4]), all);
    let (silver, gold) = (Some("silver"), Some("gold"));
    assert_eq!(changes([gold, silver, silver, None]), [""; 0]);
    assert_eq!(changes([gold, None, silver, silver]), ["d1 silver", "d3 -"]);
    assert_eq!(changes([gold, silver, silver, Some("of-an-earlier-plan")]), ["d3 -"]);
}

#[test]
fn a_floor_of_zero_asks_for_no_volume() {
    for window in ["any_period", "sum"] {
        let text = format!("{BASE}\ncomponent = []").replace("any_period", window);
        let text = text.replace("pv = \"1\"", "pv = \"0\"").replace("\"silver\"", "\"s\"");
        let plan = plan_of(&format!("{text}\nrank = [{{ id = \"s\", active = true }}]"));
        let population = population(&[(NOBODY, -5)]);
        assert_eq!(ranked(&plan, &population).ranking.active, [true]);
    }
}

/// PV, status and an order: each of them alone is not enough where the plan asks for all.
#[test]
fn a_plan_that_asks_for_an_order_takes_nobody_without_one() {
    let text = format!("{BASE}\ncomponent = []\nrank = [{{ id = \"silver\", active = true }}]");
    let asks = text.replace("window = \"any_period\"", "window = \"any_period\", order = \"own\"");
    let of = |text: &str, pv: i32, status, ordered| {
        let plan = plan_of(text);
        let mut columns = people_columns(&[(NOBODY, pv)]);
        columns.pv = vec![Volume::points(pv)];
        columns.status = vec![status];
        columns.ordered = vec![ordered];
        let population = Population::new(&columns).unwrap();
        let close = ranked(&plan, &population);
        let story = close.explain(&plan, &population, 0).unwrap().activity;
        assert_eq!(story.active, close.ranking.active[0]);
        (story.active, story.order)
    };
    let (may, left) = (DistributorStatus::Active, DistributorStatus::Terminated);
    assert_eq!(of(&asks, 5, may, true), (true, Some(true)));
    assert_eq!(of(&asks, 5, may, false), (false, Some(false)));
    assert_eq!(of(&asks, 0, may, true), (false, Some(true)));
    assert_eq!(of(&asks, 5, left, true), (false, Some(true)));
    assert_eq!(of(&text, 5, may, false), (true, None), "a plan that asks for none");
}

#[test]
fn a_close_without_the_periods_that_it_looks_back_at_is_refused() {
    let text = format!("{BASE}\ncomponent = []\nrank = [{{ id = \"silver\", active = true }}]");
    let plan = plan_of(&text.replace("look_back = 1", "look_back = 3"));
    let close = |earlier: usize| {
        let mut columns = people_columns(&[(NOBODY, 0)]);
        columns.pv = vec![Volume::points(40)];
        columns.earlier_pv = vec![vec![Volume::ZERO]; earlier];
        evaluate(&plan, &Population::new(&columns).unwrap(), &Inputs::default())
    };
    assert_eq!(close(1), Err(CloseError::Earlier { needs: 2, found: 1 }));
    assert!(close(2).is_ok());
    let parts: CloseParts =
        toml::from_str(&text.replace("look_back = 1", "look_back = 0")).unwrap();
    let refused = ClosePlan::new(parts, Rounding::Down, Currency::parse("EUR").unwrap());
    assert!(refused.unwrap_err().to_string().contains("`look_back`"));
}

#[test]
fn activity_looks_back_as_far_as_the_plan_says() {
    let active = |window: &str, look_back: u8, status| {
        let text = format!("{BASE}\ncomponent = []\nrank = [{{ id = \"silver\", active = true }}]")
            .replace("any_period", window)
            .replace("pv = \"1\"", "pv = \"100\"")
            .replace("look_back = 1", &format!("look_back = {look_back}"));
        let plan = plan_of(&text);
        let mut columns = people_columns(&[(NOBODY, 0)]);
        columns.pv = vec![Volume::points(40)];
        columns.earlier_pv = vec![vec![Volume::points(60)], vec![Volume::points(100)]];
        columns.status = vec![status];
        let population = Population::new(&columns).unwrap();
        ranked(&plan, &population).ranking.active == [true]
    };
    let may = DistributorStatus::Active;
    assert!(!active("any_period", 1, may));
    assert!(!active("any_period", 2, may));
    assert!(active("any_period", 3, may));
    assert!(!active("sum", 1, may));
    assert!(active("sum", 2, may));
    assert!(!active("sum", 3, DistributorStatus::Terminated));
}
