//! Matching, caps, pools and bonuses, and their order.

use super::*;

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
