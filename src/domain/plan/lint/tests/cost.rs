//! What a plan costs at the most, and where one point more lifts what it pays.

use super::*;

fn most(text: &str, component: &str) -> String {
    let report = lint(text, None);
    let worst = report.worst.unwrap_or_else(|| panic!("{:?}", report.findings));
    let part = worst.parts.iter().find(|part| part.component.as_str() == component).unwrap();
    part.in_words()
}

/// 5 + 4 + 3 % of 80 % of the sales at 0.50 a point; and the currency has a use.
#[test]
fn what_pays_on_cv_costs_its_share_of_the_sales_in_points() {
    let text = PLAN
        .replace(
            "id = \"unilevel\"",
            "id = \"unilevel\"\nbase = { cv = { conversion = \"0.50\" } }",
        )
        .replace("rounding = \"half_even\"", "rounding = \"half_even\"\ncurrency = \"EUR\"");
    let text = format!(
        "{text}[volumes]\npv = \"qv\"\ngroup = \"pv\"\nretail_orders = \"nobody\"\nconversion = \"9\"\n\
         negative_volume = \"carry\"\nqv = {{ source = \"net\", rate = \"1\" }}\n\
         cv = {{ source = \"net\", rate = \"80 %\" }}\n"
    );
    assert_eq!(most(&text, "unilevel"), "4.8 %");
    assert_eq!(most(PLAN, "unilevel"), "12 %");
    assert!(!rules(&text).contains(&"section_unused"));
    found(&text.replace("\"0.50\"", "\"0\""), &text, "pays_nothing");
}

#[test]
fn an_override_costs_the_rates_of_all_its_generations() {
    let rate = "kind = \"breakaway\"";
    let deeper =
        format!("{rate}\ndeeper = {{ rates = [\"2 %\", \"1 %\"], leader = \"qualified\" }}");
    // Of the 80 % of a sale that are CV.
    assert_eq!(most(WHOLE, "leadership"), "3.2 %");
    assert_eq!(most(&changed(rate, &deeper), "leadership"), "5.6 %");
}

#[test]
fn the_worst_case_of_each_component_is_what_its_definition_says() {
    for (text, component, words) in [
        (RANKED, "retail", "25 %"),
        (RANKED, "dynamic", "15 %"),
        (RANKED, "by-rank", "4 %"),
        (RANKED, "stairs", "9 %"),
        (RANKED, "infinity", "4 %"),
        (RANKED, "generation", "22 %"),
        (RANKED, "fast-start", "40 %"),
        // CV is 80 % of a sale.
        (WHOLE, "pairs", "4 %, and again"),
        (WHOLE, "matrix", "2.4 %"),
        (WHOLE, "performance", "4.8 %"),
        (WHOLE, "leadership", "3.2 %"),
        // 15 % of what pairs (4 %) and levels (8 %) pay; pairs are open, so it is too.
        (WHOLE, "matching", "1.8 %, and again"),
        (WHOLE, "advancement", "not a share of sales"),
        (WHOLE, "global", "0.8 %"),
    ] {
        assert_eq!(most(text, component), words, "{component}");
    }
    let own = RANKED.replacen("fixed_rank = \"gold\"", "own_rank = \"silver\"", 1);
    assert_eq!(most(&own, "generation"), "44 %", "silver and gold each count their own");
    let cycles = "[component.pays]\nkind = \"cycles\"\nweaker = \"100\"\nstronger = \"200\"\namount = \"30\"\n";
    let start = WHOLE.find("[component.pays]").unwrap();
    let end = WHOLE.find("[[component]]\nkind = \"matrix\"").unwrap();
    let text = format!("{}{cycles}\n{}", &WHOLE[..start], &WHOLE[end..]);
    assert_eq!(most(&text, "pairs"), "8 %, and again", "30 for 300 points, of 0.80 points a unit");
}

#[test]
fn the_worst_case_of_all_counts_what_excludes_and_caps_leave() {
    let total = |text: &str| lint(text, None).worst.unwrap().total_in_words();
    // Retail 25, stairs 9, infinity 4, generation 22, by rank 4, and fast start 40 in the place of
    // the 15 of the dynamic unilevel.
    assert_eq!(total(RANKED), "104 %");
    let weak = RANKED.replacen("[\"25 %\", \"10 %\", \"5 %\"]", "[\"1 %\"]", 1);
    assert_eq!(total(&weak), "79 %", "after the first days the unilevel costs more");
    // Retail 10, levels 8, pairs 4, matrix 2.4, leadership 3.2, pool 0.8, and the cap of the two others.
    assert_eq!(total(WHOLE), "at least 72.4 %", "what the cap leaves can be filled: 44 % of sales");
    let bonus = WHOLE.find("[[component]]\nkind = \"rank_bonus\"").unwrap();
    let pool = WHOLE.find("[[component]]\nkind = \"pool\"").unwrap();
    let capped = format!("{}{}", &WHOLE[..bonus], &WHOLE[pool..]).replacen(
        "counts = [\"performance\", \"matching\"]",
        "counts = [\"levels\", \"pairs\", \"matrix\", \"performance\", \"matching\"]",
        1,
    );
    // The cap is 55 % of CV, which is 44 % of sales; beside it retail, leadership and the pool.
    assert_eq!(total(&capped), "58 %");
}

#[test]
fn a_limit_is_a_warning_where_the_plan_costs_more() {
    let limit = |text: &str, limit: &str| {
        let report = lint(text, Some(Rate::parse(limit).unwrap()));
        report.findings.into_iter().map(|f| f.rule).collect::<Vec<_>>()
    };
    assert!(limit(RANKED, "103.9 %").contains(&"above_limit"));
    assert!(!limit(RANKED, "104 %").contains(&"above_limit"));
    assert!(limit(WHOLE, "99 %").contains(&"unbounded"), "a binary without a cap of the company");
    assert!(!limit(RANKED, "99 %").contains(&"unbounded"));
}

#[test]
fn one_more_point_lifts_the_bracket() {
    let cliffs = lint(WHOLE, None).cliffs;
    let told: Vec<(&str, String)> =
        cliffs.iter().map(|cliff| (cliff.at.as_str(), cliff.jump.to_string())).collect();
    let wanted = [
        ("rank gold (1000 GV)", "500".to_owned()),
        ("200 points of group volume", "6".to_owned()),
        ("100 points of group volume", "3".to_owned()),
    ];
    assert_eq!(told, wanted);
    assert_eq!(lint(PLAN, None).cliffs, []);
}
