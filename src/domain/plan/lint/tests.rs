//! For each finding a plan that has it, and the one beside it that has not.

use proptest::prelude::*;

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
    for text in [PLAN, RANKED, WHOLE] {
        let report = lint(text, None);
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
        (line_of(&text, "rates = { kit = { unranked"), "unreadable"),
        (line_of(&text, "boundary = "), "unreadable"),
        (line_of(&text, "dayz"), "unknown_field"),
    ];
    assert_eq!(told, wanted, "{found:#?}");
    assert!(found[0].message.contains("gold has a lower rate"), "{}", found[0].message);
    assert_eq!(found[1].message, "the plan has no rank gould");
    assert_eq!(found[1].fix, "its ranks are silver, gold");
}

#[test]
fn a_bracket_table_with_an_overlap_and_a_cap_after_nothing_are_errors() {
    for (from, to, says) in [
        ("from = \"200\"", "from = \"50\"", "in ascending order"),
        ("after = \"matching\"", "after = \"x\"", "`after` names x, which is no component"),
        (
            "on = [\"pairs\", \"levels\"]",
            "on = [\"matching\"]",
            "must be a component that stands before",
        ),
    ] {
        let finding = found(&changed(from, to), WHOLE, "unreadable");
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
        let finding = found(&wrong, &text, "unreadable");
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

fn most(text: &str, component: &str) -> String {
    let report = lint(text, None);
    let worst = report.worst.unwrap_or_else(|| panic!("{:?}", report.findings));
    let part = worst.parts.iter().find(|part| part.component.as_str() == component).unwrap();
    part.in_words()
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

#[test]
fn a_comparison_names_what_differs_and_warns_of_a_version_that_cannot_follow() {
    let text = WHOLE
        .replacen("version = 1", "version = 2", 1)
        .replacen("2026-01-01", "2026-07-01", 1)
        .replacen("rate = \"6 %\"", "rate = \"8 %\"", 1)
        .replacen("retail_orders = \"referrer\"", "retail_orders = \"nobody\"", 1)
        .replacen("pv = \"100\"\n\n[[rank]]", "pv = \"150.00\"\n\n[[rank]]", 1)
        .replacen("rates = [\"2 %\", \"1 %\"]", "rates = [\"0.02\", \"1.0 %\"]", 1);
    let comparison = compare(WHOLE, &text).unwrap();
    let changes: Vec<String> = comparison.changes.iter().map(ToString::to_string).collect();
    let wanted = [
        "plan, effective_from: 2026-01-01T00:00:00Z becomes 2026-07-01T00:00:00Z",
        "plan, version: 1 becomes 2",
        "volumes, retail_orders: referrer becomes nobody",
        "rank silver, pv: 100 becomes 150.00",
        "component performance, table 2.rate: 6 % becomes 8 %",
    ];
    assert_eq!(changes, wanted, "a rate that is written otherwise is the same rate");
    assert_eq!(comparison.warnings, [""; 0]);
    let fewer = RANKED.replacen("id = \"ranked\"", "id = \"other\"", 1);
    let start = fewer.find("[[component]]\nkind = \"differential\"").unwrap();
    let end = fewer.find("[[component]]\nkind = \"infinity\"").unwrap();
    let fewer = format!("{}{}", &fewer[..start], &fewer[end..]);
    let comparison = compare(RANKED, &fewer).unwrap();
    assert!(comparison.changes.iter().any(|c| c.to_string() == "component stairs: removed"));
    assert_eq!(comparison.warnings.len(), 3, "{:?}", comparison.warnings);
    assert_eq!(comparison.worst_change, "-9 %");
    assert_eq!(compare(RANKED, "id = 1").unwrap_err().0, 1);
}

#[test]
fn a_binary_that_would_begin_anew_is_told() {
    let next =
        WHOLE.replacen("version = 1", "version = 2", 1).replacen("2026-01-01", "2026-07-01", 1);
    let start = next.find("id = \"pairs\"").unwrap();
    let changed = |from: &str, to: &str| {
        let (head, binary) = next.split_at(start);
        let text = format!("{head}{}", binary.replacen(from, to, 1));
        assert_ne!(text, next);
        compare(WHOLE, &text).unwrap().warnings
    };
    let warned = changed("tree = \"legs\"\nvolume = \"cv\"", "tree = \"other\"\nvolume = \"pv\"");
    let says =
        "binary pairs begins anew, as its tree and volume changes: what its legs carry lapses";
    assert!(warned.len() == 1 && warned[0].starts_with(says), "{warned:?}");
    // Rates and caps are changed without that.
    assert_eq!(changed("limit = \"500\"", "limit = \"600\""), [""; 0]);
    let renamed = next.replace("\"pairs\"", "\"couples\"");
    let warned = compare(WHOLE, &renamed).unwrap().warnings;
    assert!(warned.len() == 1 && warned[0].starts_with("binary pairs is gone"), "{warned:?}");
}

#[test]
fn cases_are_compared_by_their_name() {
    let case = |amount: &str| {
        format!("{PLAN}\n[[case]]\nname = \"first\"\nexpect = [{{ amount = \"{amount}\" }}]\n")
    };
    let texts = |before: &str, after: &str| -> Vec<String> {
        // Whether the cases hold is not asked here: only what the files say.
        let file = |text: &str| toml::from_str(text).unwrap();
        let mut changes = Vec::new();
        compare::files(&file(before), &file(after), &mut changes);
        changes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(texts(PLAN, &case("1")), ["case first: added"]);
    assert_eq!(texts(&case("1"), &case("2")), ["case first, expect 1.amount: 1 becomes 2"]);
}

#[test]
fn components_in_another_order_are_told() {
    let at = |kind: &str| WHOLE.find(&format!("[[component]]\nkind = \"{kind}\"")).unwrap();
    let (binary, matrix, bracket) = (at("binary"), at("matrix"), at("bracket"));
    let (head, pairs) = (&WHOLE[..binary], &WHOLE[binary..matrix]);
    let text = format!("{head}{}{pairs}{}", &WHOLE[matrix..bracket], &WHOLE[bracket..]);
    let changes = compare(WHOLE, &text).unwrap().changes;
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((change.section.as_str(), change.field.as_str()), ("components", "order"));
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

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let fits = |text: &str| stated::fits(&toml::from_str(text).unwrap());
    for text in [PLAN, RANKED, WHOLE] {
        assert!(fits(text));
    }
    for (from, to) in [
        ("method = \"pro_rata\"", "method = \"by_turns\""),
        ("kind = \"pool\"", "kind = \"poll\""),
        ("nobody = \"breakage\"\n", ""),
        ("width = 2", "width = \"2\""),
        ("lot = \"none\", ", ""),
        ("version = 1", "version = \"one\""),
        ("id = \"gold\"\nactive = true", "id = \"gold\"\nactiv = true"),
    ] {
        let text = changed(from, to);
        assert!(Plan::parse(&text).is_err(), "{to}");
        assert!(!fits(&text), "{to}");
    }
}

/// A plan with a piece cut out, doubled, or replaced by another piece of a plan.
fn mutated() -> impl Strategy<Value = String> {
    let texts = [PLAN, RANKED, WHOLE, include_str!("../../../../pipelines/plans/sample.toml")];
    let edit = (any::<u32>(), 0usize..60, any::<u32>(), 0usize..60);
    (0usize..texts.len(), prop::collection::vec(edit, 1..6)).prop_map(move |(which, edits)| {
        let mut lines: Vec<String> = texts[which].lines().map(str::to_owned).collect();
        for (from, length, other, cut) in edits {
            let line = usize::try_from(from).unwrap() % lines.len();
            let second = usize::try_from(other).unwrap() % lines.len();
            match cut % 5 {
                0 => drop(lines.remove(line)),
                1 => lines.insert(line, lines[second].clone()),
                2 => lines.swap(line, second),
                3 => {
                    let words = lines[line].char_indices().nth(length).map(|(at, _)| at);
                    lines[line].truncate(words.unwrap_or(usize::MAX));
                }
                _ => {
                    let (left, right) = (lines[line].clone(), lines[second].clone());
                    let value = right.split_once('=').map_or("", |(_, value)| value);
                    let key = left.split_once('=').map_or(left.as_str(), |(key, _)| key);
                    lines[line] = format!("{key}={value}");
                }
            }
            if lines.is_empty() {
                lines.push(String::new());
            }
        }
        lines.join("\n")
    })
}

proptest! {
    /// Whatever stands in a file, it is looked at: a plan, or at least one error and no other word.
    #[test]
    fn lint_answers_for_every_text(text in mutated()) {
        let report = lint(&text, Some(Rate::WHOLE));
        match Plan::parse(&text) {
            Ok(plan) => {
                prop_assert_eq!(report.plan, Some(plan.reference.clone()));
                prop_assert!(report.findings.iter().all(|f| f.rule != "unreadable"));
                let same = compare(&text, &text).unwrap();
                prop_assert!(same.changes.is_empty() && same.worst_change == "0 %");
                prop_assert!(plan.close().is_ok(), "a plan that is read has a close that holds");
                prop_assert_eq!(plan.close().unwrap().is_some(), plan.is_closed());
            }
            Err(_) => {
                prop_assert!(report.failed() && report.plan.is_none());
            }
        }
        let lines = text.lines().count().max(1);
        for finding in &report.findings {
            prop_assert!((1..=lines.saturating_add(1)).contains(&finding.line), "{:?}", finding);
            prop_assert!(!finding.message.is_empty());
        }
    }

    #[test]
    fn lint_answers_for_any_bytes(text in ".{0,200}") {
        let _report = lint(&text, None);
    }
}
