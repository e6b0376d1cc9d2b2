//! Published and constructed examples with their figures, and what a calculation says about them.

use super::*;
use crate::domain::id::RankId;

/// A plan with these ranks and one component.
fn plan(ranks: &str, component: &str) -> Plan {
    let ranks: Vec<String> =
        ranks.split_whitespace().map(|rank| format!("{{ id = \"{rank}\" }}")).collect();
    let text = format!(
        "id = \"p\"\nversion = 1\neffective_from = \"1970-01-01T00:00:00Z\"\n\
         rounding = \"half_even\"\nrank = [{}]\n[[component]]\nid = \"c\"\n{component}",
        ranks.join(", ")
    );
    Plan::parse(&text).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// The upline from the top down: each by a name, a rank or `-`, and `!` if not active.
fn company(upline: &str) -> (Genealogy, RankBook) {
    let people: Vec<(&str, &str)> =
        upline.split_whitespace().map(|person| person.split_once(':').unwrap()).collect();
    let mut tree = chain(&people.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut ranks = RankBook::default();
    for (name, rank) in people {
        if rank.ends_with('!') {
            append(&mut tree, name, Change::Status(DistributorStatus::Inactive), 0);
        }
        let rank = Some(rank.trim_end_matches('!')).filter(|rank| *rank != "-");
        let fact = RankFact {
            seq: ranks.version() + 1,
            distributor: id(name),
            paid_as: rank.map(|rank| RankId::parse(rank).unwrap()),
            effective_at: at(0),
            source: RankSource::PeriodClose,
        };
        ranks.record(&fact, &tree).unwrap();
    }
    (tree, ranks)
}

/// The run of an order of one class that somebody referred.
fn of(plan: &Plan, upline: &str, referrer: &str, net: &str) -> Run {
    let (tree, ranks) = company(upline);
    let mut order = order(&tree, plan, referrer, &[("kit", net)]);
    order.locks.ranks = Some(ranks.version());
    super::super::run(order, &tree, &ranks, plan).unwrap()
}

/// Level, account and amount of every line, in one text.
fn paid(run: &Run) -> String {
    let line = |line: &CommissionLine| {
        let account = line.account.to_string().replace("distributor:", "");
        let why = line.breakage.map(|why| format!("({})", why.as_str())).unwrap_or_default();
        format!("{} {account}{why} {}", line.level, line.amount)
    };
    run.lines.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Everybody on the way: the level taken, or why not.
fn walk(run: &Run) -> String {
    let step = |step: &Step| {
        let rank = step.rank.as_ref().map(|rank| format!("({rank})")).unwrap_or_default();
        let level = step.level.map(|level| format!("={level}")).unwrap_or_default();
        let why = step.why.map(|why| format!(" {why:?}")).unwrap_or_default();
        let more = step.more.map(|more| format!(" +{more}")).unwrap_or_default();
        format!("{}{rank}{level}{why}{more}", step.distributor)
    };
    run.walks.values().flatten().map(step).collect::<Vec<_>>().join(", ")
}

const FOUR: &str = "kind = \"unilevel\"\nfirst_level = \"referrer\"\n\
                    rates = { kit = [\"2 %\", \"2 %\", \"2 %\", \"2 %\"] }\n";

/// 200 CV at 5 % a level of a pool of 40 %: four levels of 4.00. (2 % of 200 is what 5 % of the pool
/// of 40 % is.)
#[test]
fn a_unilevel_of_200_cv_pays_four_levels_of_4() {
    let plan = plan("", &format!("{FOUR}compression = \"none\"\n"));
    let run = of(&plan, "Top:- Sponsor:- A:- B:-", "B", "200");
    assert_eq!(paid(&run), "1 B 4.00, 2 A 4.00, 3 Sponsor 4.00, 4 Top 4.00");
}

#[test]
fn young_living_pays_5_at_level_2_of_100() {
    let rates = "[\"8 %\", \"5 %\", \"4 %\", \"4 %\", \"4 %\"]";
    let component =
        format!("kind = \"unilevel\"\ncompression = \"none\"\nrates = {{ kit = {rates} }}\n");
    let run = of(&plan("", &component), "e:- d:- c:- b:- a:- x:-", "x", "100");
    assert_eq!(paid(&run), "1 a 8.00, 2 b 5.00, 3 c 4.00, 4 d 4.00, 5 e 4.00");
}

/// Levels are unlocked by rank: who stands at level 3 and may earn three gets 5.00 of 100.
#[test]
fn doterra_pays_5_at_level_3_to_a_rank_that_has_unlocked_it() {
    let component = "kind = \"unilevel\"\ncompression = \"none\"\n\
        unlocked = { unranked = 1, manager = 2, director = 3, silver = 7 }\n\
        rates = { kit = [\"2 %\", \"3 %\", \"5 %\", \"5 %\", \"6 %\", \"6 %\", \"7 %\"] }\n";
    let plan = plan("manager director silver", component);
    let run = of(&plan, "c:director b:manager a:- x:-", "x", "100");
    let rest = "4 breakage(end_of_upline) 5.00, 5 breakage(end_of_upline) 6.00, \
                6 breakage(end_of_upline) 6.00, 7 breakage(end_of_upline) 7.00";
    assert_eq!(paid(&run), format!("1 a 2.00, 2 b 3.00, 3 c 5.00, {rest}"));
    let run = of(&plan, "c:manager b:manager a:- x:-", "x", "100");
    assert!(paid(&run).starts_with("1 a 2.00, 2 b 3.00, 3 breakage(not_unlocked) 5.00, "));
    assert_eq!(walk(&run), "a=1, b(manager)=2, c(manager)=3 NotUnlocked");
    assert_eq!(run.lines[2].rank.as_ref().unwrap().as_str(), "manager");
}

/// 200 CV, levels of 4.00, upline B, A (inactive), Sponsor, Top and one more.
#[test]
fn the_compressions_of_one_order() {
    let paid_under = |mode: &str| {
        let plan = plan("gold", &format!("{FOUR}compression = {mode}\n"));
        paid(&of(&plan, "Next:gold Top:gold Sponsor:gold A:-! B:-", "B", "200"))
    };
    assert_eq!(
        paid_under("\"none\""),
        "1 B 4.00, 2 breakage(inactive) 4.00, 3 Sponsor 4.00, 4 Top 4.00"
    );
    assert_eq!(paid_under("\"roll_up\""), "1 B 4.00, 2 Sponsor 4.00, 3 Top 4.00, 4 Next 4.00");
    assert_eq!(
        paid_under(
            "{ skip_below_rank = { threshold = \"gold\", inactive = \"passed_over\", walk_limit = 100 } }"
        ),
        "1 Sponsor 4.00, 2 Top 4.00, 3 Next 4.00, 4 breakage(end_of_upline) 4.00"
    );
}

/// Somebody of the rank who is not active: two readings.
#[test]
fn below_rank_the_plan_says_whether_an_inactive_leader_keeps_the_level() {
    for (inactive, expected) in [
        ("passed_over", "1 Top 4.00, 2 breakage(end_of_upline) 4.00"),
        ("keeps_place", "1 breakage(inactive) 4.00, 2 Top 4.00"),
    ] {
        let mode = format!(
            "{{ skip_below_rank = {{ threshold = \"gold\", inactive = \"{inactive}\", walk_limit = 9 }} }}"
        );
        let plan = plan("gold", &format!("{FOUR}compression = {mode}\n"));
        let run = of(&plan, "Top:gold Sponsor:gold! B:-", "B", "200");
        assert!(paid(&run).starts_with(expected), "{inactive}: {}", paid(&run));
    }
}

/// The public example: title 6 may earn levels 1-4, 5: 1-3, 4: 1-2, 3: 1. H buys; upline G(6) F(3) E(0)
/// D(6) C(4) B(6) A(6).
#[test]
fn dynamic_compression_of_the_public_example() {
    let component = |mode: &str| {
        format!(
            "{FOUR}compression = {mode}\nunlocked = {{ unranked = 0, t1 = 0, t2 = 0, t3 = 1, t4 = 2, \
             t5 = 3, t6 = 4 }}\n"
        )
    };
    let ranks = "t1 t2 t3 t4 t5 t6";
    let upline = "A:t6 B:t6 C:t4 D:t6 E:- F:t3 G:t6";
    let run = of(&plan(ranks, &component("\"none\"")), upline, "G", "200");
    assert_eq!(
        paid(&run),
        "1 G 4.00, 2 breakage(not_unlocked) 4.00, 3 breakage(not_unlocked) 4.00, 4 D 4.00"
    );
    let dynamic = component("{ dynamic = { walk_limit = 1000 } }");
    let run = of(&plan(ranks, &dynamic), upline, "G", "200");
    assert_eq!(paid(&run), "1 G 4.00, 2 D 4.00, 3 B 4.00, 4 A 4.00");
    assert_eq!(
        walk(&run),
        "G(t6)=1, F(t3) NotUnlocked, E NotUnlocked, D(t6)=2, C(t4) NotUnlocked, B(t6)=3, A(t6)=4"
    );
    let near = component("{ dynamic = { walk_limit = 5 } }");
    let run = of(&plan(ranks, &near), upline, "G", "200");
    assert_eq!(
        paid(&run),
        "1 G 4.00, 2 D 4.00, 3 breakage(walk_limit) 4.00, 4 breakage(walk_limit) 4.00"
    );
}

#[test]
fn rates_by_rank_leave_the_rest_of_the_highest_as_breakage() {
    let component = "kind = \"unilevel\"\ncompression = \"none\"\n\
        rates_by_rank = { kit = { unranked = [\"1 %\"], gold = [\"3.3 %\", \"1 %\"] } }\n";
    let run = of(&plan("gold", component), "b:- a:- x:-", "x", "33.33");
    // 1.09989 and 0.3333 rounded, and the difference of the two: nothing is lost between them.
    assert_eq!(paid(&run), "1 a 0.33, 1 breakage(lower_rate) 0.77, 2 breakage(not_unlocked) 0.33");
    let component = "kind = \"direct\"\ninactive_referrer = \"roll_up\"\n\
        rates_by_rank = { kit = { unranked = \"20 %\", gold = \"25 %\" } }\n";
    let plan = plan("gold", component);
    assert_eq!(
        paid(&of(&plan, "b:gold x:-", "x", "100")),
        "0 x 20.00, 0 breakage(lower_rate) 5.00"
    );
    assert_eq!(paid(&of(&plan, "b:gold x:-!", "x", "100")), "0 b 25.00");
}

const STAIRS: &str = "kind = \"differential\"\nstarts_at = \"sponsor\"\nwalk_limit = 100\n\
    rates = { kit = { unranked = \"0 %\", P = \"1 %\", D = \"2 %\", C = \"3 %\" } }\n";

/// 1/2/3 % for Platinum/Diamond/Crown on 1,000 CV, upline P, D, D2, C: 10, 10, 0, 10 = 30 = top % x CV.
#[test]
fn a_differential_pays_10_10_0_10_of_1000() {
    let component = format!("{STAIRS}inactive = \"passed_over\"\nequal_rank = \"nothing\"\n");
    let differential = of(&plan("P D C", &component), "z:C c:C d2:D d:D p:P m:- x:-", "x", "1000");
    assert_eq!(paid(&differential), "1 p 10.00, 2 d 10.00, 3 c 10.00");
    assert_eq!(walk(&differential), "m BelowThreshold, p(P)=1, d(D)=2, d2(D) SameRank, c(C)=3");
    assert_eq!(differential.paid().to_string(), "30.00");
    assert_eq!(differential.lines[1].own, Some(Rate::parse("2 %").unwrap()));
    let infinity = "kind = \"infinity\"\nstarts_at = \"sponsor\"\ninactive = \"passed_over\"\n\
        walk_limit = 100\n[component.model.differential]\nequal_rank = \"nothing\"\n\
        rates = { kit = { unranked = \"0 %\", P = \"1 %\", D = \"2 %\", C = \"3 %\" } }\n";
    let infinity = of(&plan("P D C", infinity), "z:C c:C d2:D d:D p:P m:- x:-", "x", "1000");
    assert_eq!(infinity.lines, differential.lines);
}

#[test]
fn a_minimum_override_comes_out_of_the_top_rate() {
    let equal = "equal_rank = { minimum_override = { rate = \"0.5 %\", times = 1 } }\n";
    let plan = plan("P D C", &format!("{STAIRS}inactive = \"passed_over\"\n{equal}"));
    let run = of(&plan, "c:C d3:D d2:D d:D p:P x:-", "x", "1000");
    assert_eq!(paid(&run), "1 p 10.00, 2 d 10.00, 3 d2 5.00, 4 c 5.00");
    assert_eq!(walk(&run), "p(P)=1, d(D)=2, d2(D)=3, d3(D) SameRank, c(C)=4");
    let run = of(&plan, "p2:P d:D p:P x:-", "x", "1000");
    assert_eq!(paid(&run), "1 p 10.00, 2 d 10.00, 3 breakage(end_of_upline) 10.00");
    assert_eq!(walk(&run), "p(P)=1, d(D)=2, p2(P) HigherRankBelow");
}

#[test]
fn the_share_of_an_inactive_leader_goes_on_up_or_is_kept_as_the_plan_says() {
    for (inactive, expected) in [
        ("passed_over", "1 p 10.00, 2 c 20.00"),
        ("keeps_place", "1 p 10.00, 2 breakage(inactive) 10.00, 3 c 10.00"),
    ] {
        let component = format!("{STAIRS}inactive = \"{inactive}\"\nequal_rank = \"nothing\"\n");
        let run = of(&plan("P D C", &component), "c:C d:D! p:P x:-", "x", "1000");
        assert_eq!(paid(&run), expected);
    }
}

/// Three shares of a third of a cent each: together the top rate, not a cent more.
#[test]
fn shares_of_a_differential_add_up_to_the_top_rate() {
    let component = format!("{STAIRS}inactive = \"passed_over\"\nequal_rank = \"nothing\"\n");
    let run = of(&plan("P D C", &component), "c:C d:D p:P x:-", "x", "0.50");
    // 0.005, 0.010 and 0.015, half to even: 0.00, 0.01, 0.02.
    assert_eq!(paid(&run), "1 p 0.00, 2 d 0.01, 3 c 0.01");
}

#[test]
fn a_pure_override_ends_at_a_leader_of_the_rank() {
    let component = |by: &str| {
        format!(
            "kind = \"infinity\"\nstarts_at = \"sponsor\"\ninactive = \"passed_over\"\n\
             walk_limit = 100\n[component.model.pure_override]\nblocked_by = \"{by}\"\n\
             rates = {{ kit = {{ unranked = \"0 %\", P = \"1 %\", D = \"2 %\", C = \"3 %\" }} }}\n"
        )
    };
    let upline = "p2:P p:P d2:D d:D m:- x:-";
    let run = of(&plan("P D C", &component("same_rank")), upline, "x", "100");
    assert_eq!(paid(&run), "1 p 1.00, 2 d 2.00, 3 breakage(end_of_upline) 3.00");
    let run = of(&plan("P D C", &component("same_or_higher_rank")), upline, "x", "100");
    assert_eq!(paid(&run), "1 breakage(blocked) 1.00, 2 d 2.00, 3 breakage(end_of_upline) 3.00");
    assert_eq!(
        walk(&run),
        "m BelowThreshold, d(D)=2, d2(D) SameRank, p(P) HigherRankBelow, p2(P) HigherRankBelow"
    );
}

fn generations(fields: &str) -> String {
    format!(
        "kind = \"generation\"\nstarts_at = \"referrer\"\nwalk_limit = 100\n{fields}\n\
         rates = {{ kit = [\"10 %\", \"7 %\", \"5 %\"] }}\n"
    )
}

const FIXED: &str = "boundary = { fixed_rank = \"director\" }\n";
const DEFAULTS: &str = "empty_generation = \"uses_no_number\"\nineligible_leader = \"boundary\"";

/// Eve 100 CV under Director Dave under Director Alice: Dave gen 1 10.00, Alice gen 2 7.00.
#[test]
fn dave_earns_generation_1_and_alice_generation_2() {
    let plan = plan("director", &generations(&format!("{FIXED}{DEFAULTS}")));
    let run = of(&plan, "Alice:director Dave:director Eve:-", "Eve", "100");
    assert_eq!(paid(&run), "1 Dave 10.00, 2 Alice 7.00, 3 breakage(end_of_upline) 5.00");
    assert_eq!(walk(&run), "Eve BelowThreshold, Dave(director)=1, Alice(director)=2");
}

#[test]
fn an_ineligible_leader_uses_up_a_number_only_as_the_plan_says() {
    let upline = "Alice:director Dave:director! Eve:-";
    let run = |empty: &str, leader: &str| {
        let fields =
            format!("{FIXED}empty_generation = \"{empty}\"\nineligible_leader = \"{leader}\"");
        paid(&of(&plan("director", &generations(&fields)), upline, "Eve", "100"))
    };
    let used = "1 breakage(inactive) 10.00, 2 Alice 7.00, 3 breakage(end_of_upline) 5.00";
    let unused = "1 Alice 10.00, 2 breakage(end_of_upline) 7.00, 3 breakage(end_of_upline) 5.00";
    for empty in ["uses_number", "uses_no_number"] {
        assert_eq!(run(empty, "boundary"), used);
        assert_eq!(run(empty, "no_boundary"), unused);
    }
    // A leader whose rank has not unlocked the number is there all the same.
    let locked = |empty: &str| {
        let fields = format!(
            "{FIXED}empty_generation = \"{empty}\"\nineligible_leader = \"no_boundary\"\n\
             unlocked = {{ unranked = 0, director = 0, star = 3 }}"
        );
        paid(&of(
            &plan("director star", &generations(&fields)),
            "A:star D:director E:-",
            "E",
            "100",
        ))
    };
    assert!(locked("uses_number").starts_with("1 breakage(not_unlocked) 10.00, 2 A 7.00"));
    assert!(locked("uses_no_number").starts_with("1 A 10.00, 2 breakage(end_of_upline) 7.00"));
}

/// Each rank counts its own generations: a gold leader does not see the silver ones below.
#[test]
fn with_the_own_rank_as_boundary_each_rank_counts_for_itself() {
    let fields = format!("boundary = {{ own_rank = \"silver\" }}\n{DEFAULTS}");
    let plan = plan("silver gold", &generations(&fields));
    let run = of(&plan, "g2:gold s2:silver g:gold s:silver x:-", "x", "100");
    assert_eq!(paid(&run), "1 s 10.00, 1 g 10.00, 3 s2 5.00, 2 g2 7.00");
    let run = of(&plan, "s5:silver s4:silver s3:silver s2:silver s:silver x:-", "x", "100");
    assert_eq!(paid(&run), "1 s 10.00, 2 s2 7.00, 3 s3 5.00");
    assert!(walk(&run).ends_with("s4(silver) BeyondGenerations, s5(silver) BeyondGenerations"));
}

/// A company of four in one line, of whom the last enrolled on day 10, and their order.
fn first_days(component: &str, day: i64, own: bool) -> Run {
    let text = format!(
        "id = \"p\"\nversion = 1\neffective_from = \"1970-01-01T00:00:00Z\"\n\
         rounding = \"half_even\"\n[[component]]\nid = \"unilevel\"\nkind = \"unilevel\"\n\
         compression = \"none\"\nrates = {{ kit = [\"5 %\"], book = [\"5 %\"] }}\n\
         [[component]]\nid = \"fast\"\nkind = \"fast_start\"\ndays = 30\nwalk_limit = 9\n\
         inactive = \"passed_over\"\nrates = {{ kit = [\"25 %\", \"10 %\", \"5 %\"] }}\n{component}\n"
    );
    let plan = Plan::parse(&text).unwrap();
    let mut tree = chain(&["c", "b", "a"]);
    append(&mut tree, "new", Change::Enrolled(Some(id("a"))), 10 * 86_400);
    let mut order = order(&tree, &plan, "new", &[("kit", "100"), ("book", "10")]);
    order.placed_at = at(day * 86_400);
    if own {
        order.attribution = Attribution { own_purchase: Some(id("new")), ..Attribution::default() };
    }
    run(order, &tree, &plan).unwrap()
}

#[test]
fn a_fast_start_pays_the_first_three_enrollers_for_thirty_days() {
    let fields = "orders = \"own\"";
    let run = first_days(fields, 39, true);
    assert_eq!(paid(&run), "1 a 5.00, 1 a 0.50, 1 a 25.00, 2 b 10.00, 3 c 5.00");
    assert!(run.idle.is_empty());
    let run = first_days(fields, 40, true);
    assert_eq!(paid(&run), "1 a 5.00, 1 a 0.50", "the thirty days are over");
    let fast = ComponentId::parse("fast").unwrap();
    assert_eq!(run.idle[&fast], Idle::OutsideWindow(at(40 * 86_400)));
    // An order before the enrolment counts for a day, not without end.
    let eve = first_days(fields, 9, true);
    assert_eq!(paid(&eve), paid(&first_days(fields, 10, true)));
    let early = first_days(fields, 8, true);
    assert_eq!(early.idle[&fast], Idle::BeforeEnrolment(at(9 * 86_400)));
    assert_eq!(paid(&first_days(fields, 39, false)), "1 a 5.00, 1 a 0.50", "a customer's order");
    let run = first_days("orders = \"own_and_referred\"", 39, false);
    assert!(paid(&run).ends_with("1 a 25.00, 2 b 10.00, 3 c 5.00"));
}

#[test]
fn a_fast_start_takes_lines_or_the_whole_order_from_the_unilevel() {
    let unilevel = ComponentId::parse("unilevel").unwrap();
    for (lines, expected) in [
        ("paid_here", "1 a 0.50, 1 a 25.00, 2 b 10.00, 3 c 5.00"),
        ("all", "1 a 25.00, 2 b 10.00, 3 c 5.00"),
    ] {
        let fields = format!(
            "orders = \"own\"\nexcludes = {{ components = [\"unilevel\"], lines = \"{lines}\" }}"
        );
        let run = first_days(&fields, 39, true);
        assert_eq!(paid(&run), expected);
        assert_eq!(run.idle[&unilevel], Idle::ExcludedBy(ComponentId::parse("fast").unwrap()));
        assert_eq!(paid(&first_days(&fields, 40, true)), "1 a 5.00, 1 a 0.50");
    }
}

#[test]
fn an_order_locked_to_ranks_that_are_not_loaded_waits() {
    let plan = plan("gold", &format!("{FOUR}compression = \"none\"\n"));
    let (tree, ranks) = company("a:gold");
    let mut early = order(&tree, &plan, "a", &[]);
    early.locks.ranks = Some(2);
    let error = super::super::run(early, &tree, &ranks, &plan);
    assert_eq!(error, Err(NotLoaded::Ranks { wanted: 2, loaded: 1 }));
}

/// Without a limit, too: the inactive of a deep leg do not swell the calculation.
#[test]
fn a_roll_up_over_hundreds_is_told_briefly() {
    let upline = |passed: usize| {
        let inactive: Vec<String> = (0..passed).map(|n| format!("d{n}:-!")).collect();
        format!("top:- {} x:-", inactive.join(" "))
    };
    let plan = plan("gold", &format!("{FOUR}compression = \"roll_up\"\n"));
    for (passed, named, more) in [(29, 29, None), (30, 30, None), (300, 30, Some(270))] {
        let run = of(&plan, &upline(passed), "x", "100");
        let steps = &run.walks[&ComponentId::parse("c").unwrap()];
        assert_eq!(steps.len(), named + 2, "{passed} passed over, the referrer and the top");
        assert_eq!(steps.iter().find_map(|step| step.more), more);
    }
}

/// A walk of hundreds names thirty of those that it passes, and counts the others.
#[test]
fn a_long_walk_ends_at_its_limit_and_is_told_briefly() {
    let names: Vec<String> = (0..600).map(|n| format!("d{n}")).collect();
    let tree = chain(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let component = "kind = \"generation\"\nstarts_at = \"referrer\"\nwalk_limit = 500\n\
        boundary = { fixed_rank = \"gold\" }\nempty_generation = \"uses_number\"\n\
        ineligible_leader = \"boundary\"\nrates = { kit = [\"10 %\", \"7 %\"] }\n";
    let plan = plan("gold", component);
    let mut ranks = RankBook::default();
    for (seq, who) in [(1, "d300"), (2, "d50")] {
        let gold = RankId::parse("gold").ok();
        let (distributor, source) = (id(who), RankSource::PeriodClose);
        let fact = RankFact { seq, distributor, paid_as: gold, effective_at: at(0), source };
        ranks.record(&fact, &tree).unwrap();
    }
    let mut order = order(&tree, &plan, "d599", &[("kit", "100")]);
    order.locks.ranks = Some(ranks.version());
    let run = super::super::run(order, &tree, &ranks, &plan).unwrap();
    assert_eq!(paid(&run), "1 d300 10.00, 2 breakage(walk_limit) 7.00");
    let steps = &run.walks[&ComponentId::parse("c").unwrap()];
    assert_eq!(steps.len(), 32);
    let more: Vec<u32> = steps.iter().filter_map(|step| step.more).collect();
    assert_eq!(more, [269, 199], "below the leader and above");
    let seen = steps.len() + more.iter().map(|more| usize::try_from(*more).unwrap()).sum::<usize>();
    assert_eq!(seen, 500);
}
