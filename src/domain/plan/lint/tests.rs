//! For each finding a plan that has it, and the one beside it that has not.

mod cost;
mod doubted;
mod texts;
mod versions;

use super::*;
use crate::domain::plan::tests::{PLAN, RANKED, whole::WHOLE};

fn findings(text: &str) -> Vec<Finding> {
    lint(text, None).findings
}

fn rules(text: &str) -> Vec<&'static str> {
    findings(text).iter().map(|finding| finding.rule).collect()
}

/// The whole plan with a text changed.
fn changed(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    WHOLE.replacen(from, to, 1)
}

/// Checks that only the changed plan has the finding, and gives it.
fn found(text: &str, without: &str, rule: &str) -> Finding {
    let clean = findings(without);
    assert!(!clean.iter().any(|f| f.rule == rule), "{rule} without a reason: {clean:?}");
    let found = findings(text);
    let Some(finding) = found.iter().find(|f| f.rule == rule) else {
        panic!("{rule} is not found: {found:?}")
    };
    finding.clone()
}

fn line_of(text: &str, what: &str) -> usize {
    text[..text.find(what).unwrap()].matches('\n').count() + 1
}

#[test]
fn plans_that_are_in_order_have_no_error() {
    // All kinds of components at once cost more than is sold.
    let limit = Rate::parse("200 %").unwrap();
    for text in [PLAN, RANKED, WHOLE] {
        let report = lint(text, Some(limit));
        assert!(!report.failed(), "{:?}", report.findings);
    }
    assert_eq!(rules(PLAN), [""; 0], "a small plan has nothing to tell");
}

#[test]
fn every_choice_that_is_not_stated_is_told_at_once() {
    let open = [
        "starts_at = \"referrer\"\n",
        "empty_generation = \"uses_no_number\"\n",
        "ineligible_leader = \"boundary\"\n",
        "inactive_referrer = \"roll_up\"\n",
        "days = 30\n",
    ];
    let text = open.iter().fold(RANKED.to_owned(), |text, field| text.replace(field, ""));
    let report = lint(&text, None);
    let stated: Vec<String> = report
        .findings
        .iter()
        .map(|f| format!("{} {} {}", f.rule, f.component.as_ref().unwrap(), f.field))
        .collect();
    let mut wanted = vec![
        "unstated stairs starts_at",
        "unstated generation starts_at",
        "unstated generation empty_generation",
        "unstated generation ineligible_leader",
        "unstated retail inactive_referrer",
        "unstated fast-start days",
    ];
    let mut stated: Vec<&str> = stated.iter().map(String::as_str).collect();
    stated.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(stated, wanted, "each once: the first that the reader meets is not told twice");
    let empty = report.findings.iter().find(|f| &*f.field == "empty_generation").unwrap();
    assert_eq!(empty.line, line_of(&text, "id = \"generation\"") - 2);
    assert!(empty.fix.contains("uses_number, uses_no_number"), "{}", empty.fix);
    assert!(report.plan.is_none() && report.failed());
}

#[test]
fn words_that_nobody_knows_are_told_beside_what_is_wrong_elsewhere() {
    let text = RANKED
        .replacen("days = 30", "days = 30\ndayz = 3", 1)
        .replacen("gold = \"9 %\"", "gold = \"4 %\"", 1)
        .replacen("fixed_rank = \"gold\"", "fixed_rank = \"gould\"", 1);
    let found = findings(&text);
    let told: Vec<(usize, &str)> = found.iter().map(|f| (f.line, f.rule)).collect();
    let wanted = [
        (line_of(&text, "rates = { kit = { unranked"), "does_not_hold"),
        (line_of(&text, "boundary = "), "unknown_rank"),
        (line_of(&text, "dayz"), "unknown_field"),
    ];
    assert_eq!(told, wanted, "{found:#?}");
    assert!(found[0].message.contains("gold has a lower rate"), "{}", found[0].message);
    assert_eq!(found[1].message, "the plan has no rank gould");
    assert_eq!(found[1].fix, "did you mean gold? its ranks are silver, gold");
}

#[test]
fn a_bracket_table_with_an_overlap_and_a_cap_after_nothing_are_errors() {
    for (from, to, rule, says) in [
        ("from = \"200\"", "from = \"50\"", "bad_table", "row 2, from 50, does not begin above"),
        (
            "after = \"matching\"",
            "after = \"x\"",
            "unknown_component",
            "the plan has no component x",
        ),
        (
            "on = [\"pairs\", \"levels\"]",
            "on = [\"matching\"]",
            "unknown_component",
            "must be a component that stands before",
        ),
    ] {
        let finding = found(&changed(from, to), WHOLE, rule);
        assert_eq!(finding.severity, Severity::Error);
        assert!(format!("{} {}", finding.message, finding.fix).contains(says), "{finding:?}");
    }
}

#[test]
fn ranks_that_need_each_other_are_never_reached() {
    let legs = |of: &str| format!("gv = \"1000\"\nlegs = [{{ count = 2, rank = \"{of}\" }}]");
    let below = changed("gv = \"1000\"", &legs("silver"));
    let own = changed("gv = \"1000\"", &legs("gold"));
    let finding = found(&own, &below, "unreachable_rank");
    assert_eq!((finding.severity, finding.line), (Severity::Error, line_of(&own, "legs = [{")));
    assert!(finding.message.contains("nobody reaches gold"), "{}", finding.message);
    // Step by step whoever is gold is silver first, so silver must not wait for gold.
    let circle =
        changed("pv = \"100\"\n\n[[rank]]", "legs = [{ count = 1, rank = \"gold\" }]\n\n[[rank]]");
    let both = findings(&circle);
    assert_eq!(both.iter().filter(|f| f.rule == "unreachable_rank").count(), 2, "{both:?}");
    let free = circle.replacen("\"each_step\"", "\"highest_met\"", 1);
    assert!(!rules(&free).contains(&"unreachable_rank"), "gold is reached without silver");
}

#[test]
fn a_rank_that_asks_for_no_more_than_the_one_below_is_told() {
    let same = changed("gv = \"1000\"", "pv = \"100\"");
    let finding = found(&same, WHOLE, "rank_not_above");
    assert!(finding.message.contains("nobody is paid as silver"), "{}", finding.message);
    let text = changed("gv = \"1000\"", "pv = \"60\"\ngv = \"1000\"");
    let weaker = text.replacen("\"each_step\"", "\"highest_met\"", 1);
    let finding = found(&weaker, &text, "weaker_than_lower_rank");
    assert_eq!((&*finding.field, finding.line), ("pv", line_of(&weaker, "pv = \"60\"")));
}

#[test]
fn requirements_that_others_bring_along_decide_nothing() {
    let rule = "requirement_decides_nothing";
    assert_eq!(
        &*found(&changed("pv = \"100\"\n\n[[rank]]", "pv = \"50\"\n\n[[rank]]"), WHOLE, rule).field,
        "pv"
    );
    let legs = |each: &str| {
        changed(
            "gv = \"1000\"",
            &format!("gv = \"1000\"\nlegs = [{{ count = 2, gv = \"{each}\" }}]"),
        )
    };
    assert_eq!(&*found(&legs("500"), &legs("400"), rule).field, "gv");
    let own = |pgv: &str| {
        changed("gv = \"1000\"", &format!("gv = \"1000\"\npgv = \"{pgv}\"")).replacen(
            "leg_rank = \"paid_as\"",
            "leg_rank = \"paid_as\"\nleader = \"gold\"",
            1,
        )
    };
    assert_eq!(&*found(&own("1000"), &own("900"), rule).field, "gv");
}

#[test]
fn levels_out_of_reach_and_tables_that_change_nothing_are_told() {
    let cut = RANKED.replacen("gold = 4 }", "gold = 3 }", 1);
    let finding = found(&cut, RANKED, "level_out_of_reach");
    assert!(finding.message.contains("level 4 to 4"), "{}", finding.message);
    let more = RANKED.replacen("gold = 4 }", "gold = 5 }", 1);
    assert_eq!(found(&more, RANKED, "unlocks_nothing").severity, Severity::Note);
    found(&changed("silver = 1, gold = 2", "silver = 1, gold = 1"), WHOLE, "level_out_of_reach");
    found(&changed("silver = 1, gold = 2", "silver = 1, gold = 3"), WHOLE, "unlocks_nothing");
    let volume = |levels: &str| {
        let part = format!(
            "[[component]]\nkind = \"unilevel_volume\"\nid = \"volume\"\nrank = \"paid_as\"\n\
             compression = \"none\"\nrates = [{{ rates = [\"5 %\", \"4 %\"] }}]\n\
             unlock = [{{ active_legs = 2, levels = {levels} }}]\n\n[[cap]]"
        );
        changed("[[cap]]", &part)
    };
    found(&volume("1"), &volume("2"), "level_out_of_reach");
    found(&volume("3"), &volume("2"), "unlocks_nothing");
    found(&changed("rate = \"6 %\" }]", "rate = \"3 %\" }]"), WHOLE, "step_changes_nothing");
    let tiers = |rate: &str| {
        let tiers = format!(
            "kind = \"tiers\"\nspan = \"whole\"\n\
             tiers = [{{ from = \"1\", rate = \"5 %\" }}, {{ from = \"9\", rate = \"{rate}\" }}]"
        );
        changed("kind = \"percentage\"\nrate = \"10 %\"", &tiers)
    };
    found(&tiers("5 %"), &tiers("6 %"), "step_changes_nothing");
    let jump = &lint(&tiers("6 %"), None).cliffs;
    let jump = jump.iter().find(|cliff| cliff.at == "9 payable volume").unwrap();
    assert_eq!(jump.jump.to_string(), "0.09", "6 % of 9 instead of 5 %");
}

#[test]
fn a_rank_that_earns_nothing_is_told() {
    let rule = "rank_earns_nothing";
    let all = changed("{ from = \"silver\", rates", "{ rates");
    let told = found(WHOLE, &all, rule);
    assert!(told.message.contains("who is below silver"), "{}", told.message);
    found(&all.replacen("silver = 1, ", "", 1), &all, rule);
}

#[test]
fn a_leg_that_breaks_away_for_nobody_is_told() {
    let start = WHOLE.find("[[component]]\nkind = \"breakaway\"").unwrap();
    let end = WHOLE.find("[[component]]\nkind = \"matching\"").unwrap();
    let text = format!("{}{}", &WHOLE[..start], &WHOLE[end..]);
    found(&text, WHOLE, "breakaway_unpaid");
}

#[test]
fn an_order_of_evaluation_that_is_hardly_meant_is_told() {
    let second = |on: &str| {
        let part = format!(
            "[[component]]\nkind = \"matching\"\nid = \"again\"\non = [\"{on}\"]\nrank = \"paid_as\"\n\
             compression = \"none\"\nnegative_earnings = \"match\"\n\
             rates = [{{ rates = [\"1 %\"] }}]\n\n[[cap]]"
        );
        changed("[[cap]]", &part)
    };
    found(&second("matching"), &second("pairs"), "matching_of_matching");
    let late = changed("counts = [\"performance\", \"matching\"]", "counts = [\"pairs\"]");
    let early = late.replacen("after = \"matching\"", "after = \"pairs\"", 1);
    found(&late, &early, "matched_before_cap");
}

#[test]
fn an_amount_that_cannot_be_paid_is_an_error() {
    let text = changed("currency = \"EUR\"", "currency = \"JPY\"");
    assert!(!lint(&text, None).failed(), "500.00 is 500 yen");
    for (from, to) in [
        ("\"500.00\"", "\"500.50\""),
        ("limit = \"500\"", "limit = \"500.5\""),
        ("owner_cap = \"none\"", "owner_cap = \"10.1\""),
        (
            "size = { kind = \"share_of_cv\", rate = \"1 %\" }",
            "size = { kind = \"fixed\", amount = \"0.5\" }",
        ),
        (
            "limit = { per = \"company\", share_of_cv = \"55 %\", method = \"pro_rata\" }",
            "limit = { per = \"distributor\", amount = \"9.9\", rank = \"paid_as\" }",
        ),
    ] {
        let wrong = text.replacen(from, to, 1);
        let finding = found(&wrong, &text, "too_fine");
        assert!(finding.message.contains("finer than the minor unit of JPY"), "{finding:?}");
    }
}

#[test]
fn a_class_without_a_rate_and_a_section_without_use_are_told() {
    let text = PLAN.replacen("beauty = \"15 %\"", "beauty = \"0 %\"", 1);
    let finding = found(&text, PLAN, "class_unpaid");
    assert!(finding.message.contains("class beauty"), "{}", finding.message);
    let head = PLAN.replacen(
        "rounding = \"half_even\"",
        "rounding = \"half_even\"\ncurrency = \"EUR\"",
        1,
    );
    assert_eq!(&*found(&head, PLAN, "section_unused").field, "currency");
    let early = changed("distribution_days = 10", "distribution_days = 2");
    found(&early, WHOLE, "paid_before_close");
}

#[test]
fn a_component_that_never_pays_is_told() {
    let rates = changed("rates = [\"2 %\", \"1 %\"]", "rates = [\"0 %\", \"0 %\"]");
    let finding = found(&rates, WHOLE, "pays_nothing");
    assert_eq!(finding.component.unwrap().as_str(), "matrix");
    found(&changed("conversion = \"1\"\nqv", "conversion = \"0\"\nqv"), WHOLE, "pays_nothing");
}

#[test]
fn qualifying_volume_that_pays_is_told() {
    for (from, to) in [
        ("tree = \"legs\"\nvolume = \"cv\"", "tree = \"legs\"\nvolume = \"qv\""),
        ("tree = \"levels\"\nvolume = \"cv\"", "tree = \"levels\"\nvolume = \"qv\""),
    ] {
        let finding = found(&changed(from, to), WHOLE, "qualifying_volume_pays");
        assert_eq!(finding.severity, Severity::Warning);
    }
    assert!(
        !rules(&changed("volume = \"cv\"", "volume = \"pv\"")).contains(&"qualifying_volume_pays")
    );
}

/// Every plan of the repository.
fn plans() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/plans");
    let mut plans = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A file of cases beside a plan is no plan.
        let toml = path.extension().is_some_and(|ending| ending == "toml");
        if toml && !name.contains(".cases.") {
            plans.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(!plans.is_empty());
    plans
}

#[test]
fn every_plan_of_the_repository_is_without_error_and_as_the_schema_says() {
    for (path, text) in plans() {
        let report = lint(&text, None);
        assert!(!report.failed(), "{path}: {:#?}", report.findings);
        assert_eq!(stated::open(&text), [], "{path}");
        let file: serde_json::Value = toml::from_str(&text).unwrap();
        assert!(stated::fits(&file), "{path}");
    }
}
