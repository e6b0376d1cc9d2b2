//! Which orders are locked to ranks.

use super::*;
use crate::domain::commission::{RankLine, RankSource};

/// A company with a plan whose only component is this.
fn paying(component: &str) -> Company {
    let (head, _) = PLAN.split_once("[[component]]").unwrap();
    let ranks = "[[rank]]\nid = \"gold\"\n";
    let text = format!("{head}{ranks}[[component]]\nid = \"c\"\n{component}");
    let mut company = company();
    company.plans = PlanBook::default();
    company.plans.add(Plan::parse(&text).unwrap());
    company
}

/// Appends a fact: somebody is gold in a plan.
fn gold(company: &mut Company, plan: &str, who: &str) {
    let version = company.ranks.version();
    let mut line = RankLine {
        seq: version.seq + 1,
        plan,
        distributor: who,
        rank: Some("gold"),
        source: RankSource::PeriodClose,
        raises_title: false,
        effective_at: at(10),
        period: Some("2026-01"),
        by: None,
        why: None,
        highest: None,
        bonuses: None,
        recorded_at: at(10),
        hash: Digest::ZERO,
    };
    line.hash = line.chained(&version.hash);
    company.ranks.apply(&line, &company.genealogy).unwrap();
}

const STAIRS: &str = r#"
    kind = "differential"
    starts_at = "referrer"
    inactive = "passed_over"
    equal_rank = "nothing"
    walk_limit = 10
    rates = { kit = { unranked = "1 %", gold = "9 %" } }
"#;

#[test]
fn an_order_is_locked_to_the_ranks_of_its_own_plan_once() {
    let mut company = paying(STAIRS);
    let (state, terms) = (state(snapshot("100")), Terms::of_plan("p"));
    let mapped = |company: &Company, locks: Option<&Locks>| ready(&state, locks, company, &terms);
    let early = mapped(&company, None).locks;
    assert_eq!(early.ranks, None, "there is nothing to lock");
    gold(&mut company, "q", "d2");
    assert_eq!(mapped(&company, None).locks.ranks, None, "of another plan");
    gold(&mut company, "p", "d2");
    let order = mapped(&company, None);
    assert_eq!(order.locks.ranks, Some(2));
    gold(&mut company, "p", "d1");
    assert_eq!(mapped(&company, Some(&order.locks)).locks.ranks, Some(2), "it keeps them");
    assert_eq!(mapped(&company, None).locks.ranks, Some(3));

    let plan = company.plans.get(&order.locks.plan).unwrap();
    let paid = |locks: &Locks| {
        let order = mapped(&company, Some(locks));
        run(order, &company.genealogy, company.ranks.of("p"), plan).unwrap().paid()
    };
    assert_eq!([paid(&early), paid(&order.locks)], [money("1.00"), money("9.00")]);
}

#[test]
fn only_orders_that_pay_by_rank_are_locked_to_ranks() {
    let levels = "kind = \"unilevel\"\nrates = { kit = [\"5 %\"] }\n";
    let boundary = "kind = \"generation\"\nboundary = { fixed_rank = \"gold\" }\n\
        empty_generation = \"uses_number\"\nineligible_leader = \"boundary\"\n\
        starts_at = \"referrer\"\nwalk_limit = 10\nrates = { kit = [\"5 %\"] }\n";
    for (component, asks) in [
        (STAIRS.to_owned(), true),
        (boundary.to_owned(), true),
        (format!("{levels}compression = \"none\"\n"), false),
        (
            format!("{levels}compression = \"none\"\nunlocked = {{ unranked = 0, gold = 1 }}\n"),
            true,
        ),
        (
            "kind = \"direct\"\ninactive_referrer = \"breakage\"\nrates = { kit = \"5 %\" }".into(),
            false,
        ),
        (
            "kind = \"direct\"\ninactive_referrer = \"breakage\"\n\
             rates_by_rank = { kit = { unranked = \"5 %\", gold = \"6 %\" } }"
                .into(),
            true,
        ),
    ] {
        let mut company = paying(&component);
        gold(&mut company, "p", "d2");
        let order = ready(&state(snapshot("100")), None, &company, &Terms::of_plan("p"));
        assert_eq!(order.locks.ranks, asks.then_some(1), "{component}");
    }
}
