//! Figures, names and cases that are hardly meant, and what each error says.

use super::*;

#[test]
fn figures_of_the_wrong_type_name_component_field_and_the_right_text() {
    let rate = "rates = { supplement = \"20 %\"";
    assert!(PLAN.contains(rate), "{PLAN}");
    for (to, fix) in [("0.04", "write \"4 %\""), ("5", "write \"5 %\"")] {
        let text = PLAN.replacen(rate, &format!("rates = {{ supplement = {to}"), 1);
        let told = findings(&text);
        let [only] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((only.rule, &*only.fix), ("not_text", fix));
        assert_eq!(&*only.field, "rates.supplement");
        assert_eq!(only.component.as_ref().map(ComponentId::as_str), Some("direct"));
        assert_eq!(only.line, line_of(&text, "rates = { supplement"));
    }
    for (from, to, rule, fix) in [
        (
            "\"2020-01-01T00:00:00Z\"",
            "\"2020-01-01\"",
            "bad_value",
            "write \"2020-01-01T00:00:00Z\"",
        ),
        ("\"2020-01-01T00:00:00Z\"", "2020-01-01", "not_text", "write \"2020-01-01T00:00:00Z\""),
        ("version = 1", "version = \"1\"", "not_a_number", "write 1"),
        ("version = 1", "version = 0", "out_of_bounds", "write 1 or more"),
        ("wellness = [\"5 %\"", "wellness = [5", "not_text", "write \"5 %\""),
    ] {
        assert!(PLAN.contains(from), "{from}");
        let told = findings(&PLAN.replacen(from, to, 1));
        let [only] = told.as_slice() else { panic!("{from}: {told:?}") };
        assert_eq!(only.rule, rule);
        assert!(only.fix.starts_with(fix), "{only:?}");
    }
    let finding = found(&changed("day_starts = \"", "day_starts = \"3 h "), WHOLE, "bad_value");
    assert_eq!(&*finding.field, "period.day_starts");
}

#[test]
fn a_whole_number_as_a_rate_is_doubted_and_more_than_all_sales_is_an_error() {
    let text = PLAN.replacen("[\"5 %\"", "[\"5\"", 1);
    let bare = found(&text, PLAN, "rate_without_percent");
    assert_eq!(bare.severity, Severity::Warning);
    assert_eq!(bare.message, "\"5\" is 500 %: did you mean 5 %?");
    let all = found(&text, PLAN, "above_all_sales");
    assert_eq!(all.severity, Severity::Error);
    let meant = lint(&text, Some(Rate::parse("600 %").unwrap()));
    assert!(!meant.failed(), "{:?}", meant.findings);
    assert!(meant.findings.iter().any(|f| f.rule == "rate_without_percent"));
}

#[test]
fn currencies_and_ids_are_as_the_schema_says() {
    let lower = found(&changed("currency = \"EUR\"", "currency = \"eur\""), WHOLE, "bad_value");
    assert_eq!((lower.severity, &*lower.fix), (Severity::Error, "write \"EUR\""));
    found(&changed("currency = \"EUR\"", "currency = \"EUX\""), WHOLE, "unknown_currency");
    let blank = found(&changed("id = \"silver\"", "id = \" silver\""), WHOLE, "bad_value");
    assert_eq!(&*blank.fix, "write \"silver\"");
    let plan = changed("id = \"", "id = \"my ");
    assert_eq!(&*found(&plan, WHOLE, "bad_value").field, "id");
}

#[test]
fn names_that_nobody_knows_are_told_where_they_stand_with_what_was_meant() {
    let text = changed("from = \"gold\", amount", "from = \"gould\", amount");
    let text = text.replacen("on = [\"pairs\"", "on = [\"pears\"", 1);
    let told = findings(&text);
    let [second, first] = told.as_slice() else { panic!("each once: {told:?}") };
    assert_eq!((first.rule, first.line), ("unknown_rank", line_of(&text, "gould")));
    assert!(first.fix.starts_with("did you mean gold?"), "{first:?}");
    assert_eq!((second.rule, second.line), ("unknown_component", line_of(&text, "pears")));
    assert!(second.fix.starts_with("did you mean pairs?"), "{second:?}");
}

#[test]
fn a_cap_without_its_semantics_lists_them() {
    let stated = "cap = { semantics = \"pay_cap\", limit = \"500\" }";
    let finding = found(&changed(stated, "cap = { limit = \"500\" }"), WHOLE, "unstated");
    assert_eq!(&*finding.field, "cap.semantics");
    assert_eq!(&*finding.fix, "one of none, pay_cap, volume_cap, flush_on_cap");
}

#[test]
fn a_cap_that_no_pair_fits_under_is_an_error_and_one_on_steps_is_doubted() {
    let stated = "cap = { semantics = \"pay_cap\", limit = \"500\" }\n";
    let start = WHOLE.find("[component.pays]").unwrap();
    let pays = &WHOLE[start..start + WHOLE[start..].find("\n\n").unwrap()];
    let with = |to: &str, limit: &str, semantics: &str| {
        let cap = format!("cap = {{ semantics = \"{semantics}\", limit = \"{limit}\" }}");
        WHOLE.replacen(pays, "", 1).replacen(stated, &format!("{cap}\n{to}\n"), 1)
    };
    let cycles =
        "pays = { kind = \"cycles\", weaker = \"100\", stronger = \"100\", amount = \"20.00\" }";
    let never = with(cycles, "10", "volume_cap");
    assert_eq!(
        found(&never, &with(cycles, "20", "volume_cap"), "cap_below_pair").severity,
        Severity::Error
    );
    assert!(!rules(&with(cycles, "10", "pay_cap")).contains(&"cap_below_pair"));
    let matching = "conversion = \"1\", ratio = \"one_to_one\", base = \"weaker\", lot = \"none\", \
                    share = \"100 %\", consumes = \"matched\"";
    let tiers = |span: &str| {
        format!(
            "pays = {{ kind = \"tiers\", span = \"{span}\", matching = {{ {matching} }}, tiers = [{{ \
             from = \"0\", rate = \"5 %\" }}, {{ from = \"1000\", rate = \"10 %\" }}] }}"
        )
    };
    let slices = with(&tiers("slices"), "80", "volume_cap");
    found(&with(&tiers("whole"), "80", "volume_cap"), &slices, "volume_cap_on_steps");
}

#[test]
fn figures_that_surely_are_not_meant_are_told() {
    for (from, to, rule) in [
        ("[activity]\npv = \"", "[activity]\npv = \"-", "negative_requirement"),
        ("gv = \"1000\"", "gv = \"-1000\"", "negative_requirement"),
        ("gv = \"1000\"", "active_legs = 60000", "too_many_legs"),
        ("conversion = \"1\"", "conversion = \"0\"", "worthless_points"),
        ("share_of_cv = \"55 %\"", "share_of_cv = \"0 %\"", "cap_of_nothing"),
    ] {
        found(&changed(from, to), WHOLE, rule);
    }
    for (from, to, rule) in [
        ("days = 30", "days = 0", "no_days"),
        ("dynamic = { walk_limit = 1000 }", "dynamic = { walk_limit = 1 }", "walk_too_short"),
        ("silver = 2, gold = 4", "silver = 4, gold = 2", "higher_rank_gets_less"),
    ] {
        assert!(RANKED.contains(from), "{from}");
        found(&RANKED.replacen(from, to, 1), RANKED, rule);
    }
}

#[test]
fn a_later_version_that_begins_within_a_period_is_told_with_both_dates() {
    let from = |day: &str| {
        let start = WHOLE.find("effective_from = \"").unwrap();
        let end = start + WHOLE[start..].find('\n').unwrap();
        let text = format!("{}effective_from = \"{day}\"{}", &WHOLE[..start], &WHOLE[end..]);
        text.replacen("version = 1", "version = 2", 1)
    };
    let plan = Plan::parse(&from("2026-05-20T00:00:00Z")).unwrap();
    let period = plan.period.as_ref().unwrap().at(plan.effective_from).unwrap();
    let at_start = from(&period.start.to_string());
    let within = from("2026-05-20T11:00:00Z");
    let finding = found(&within, &at_start, "begins_within_period");
    assert!(finding.message.contains("2026-05-20T11:00:00Z"), "{finding:?}");
    assert!(finding.message.contains(&period.end.to_string()), "{finding:?}");
    let told = compare(WHOLE, &within).unwrap().warnings;
    assert!(told.iter().any(|warning| warning.contains("begins within period")), "{told:?}");
}

/// A plan with a case, and what is told of it.
fn with_case(from: &str, to: &str) -> Vec<Finding> {
    let case = r#"
[[case]]
name = "one order"
source = "[C]"
only = ["direct"]
members = [{ id = "top" }, { id = "low", sponsor = "top" }]
[[case.order]]
referrer = "low"
lines = [{ class = "beauty", net = 100 }]
expect = [{ who = "low", component = "direct", amount = "15.00" }]
"#;
    assert!(case.contains(from), "{from}");
    let head = PLAN.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    findings(&format!("{head}{}", case.replacen(from, to, 1)))
}

#[test]
fn cases_are_looked_at_too() {
    assert_eq!(with_case("one", "one"), []);
    for (from, to, rule, says) in [
        (
            "referrer = \"low\"",
            "referrer = \"nobody\"",
            "case_unusable",
            "no member is called nobody",
        ),
        ("sponsor = \"top\"", "sponsor = \"tip\"", "case_unusable", "no member is called tip"),
        ("only = [\"direct\"]", "only = [\"dirct\"]", "unknown_component", "no component dirct"),
        ("source = ", "sorce = ", "unknown_field", "no field `sorce`"),
        ("class = \"beauty\"", "class = \"beuty\"", "case_class_unrated", "class beuty"),
        ("net = 100", "net = 1.5", "not_text", "it is written as text"),
    ] {
        let told = with_case(from, to);
        assert!(told.iter().any(|f| f.rule == rule && f.message.contains(says)), "{to}: {told:?}");
    }
}

#[test]
fn a_comparison_goes_by_value_and_knows_what_holds_without_a_word() {
    let next = |from: &str, to: &str| {
        let text = changed(from, to).replacen("version = 1", "version = 2", 1);
        compare(WHOLE, &text.replacen("2026-01-01", "2026-02-01", 1)).unwrap()
    };
    let told = |comparison: &Comparison| {
        let own = comparison.changes.iter().filter(|change| change.section != "plan");
        own.map(ToString::to_string).collect::<Vec<_>>()
    };
    // A row in front moves the others, and changes none of them.
    let row = next("table = [{", "table = [{ from = \"50\", rate = \"1 %\" }, {");
    let [only] = &*told(&row) else { panic!("{row:?}") };
    assert!(only.starts_with("component performance, table from 50: "), "{only}");
    let names = next("on = [\"pairs\", \"levels\"]", "on = [\"levels\", \"pairs\"]");
    assert_eq!(told(&names), [""; 0]);
    let stated = next("gv = \"1000\"", "gv = \"1000\"\nactive_legs = 0\nlegs = []");
    assert_eq!(told(&stated), [""; 0]);
    assert!(stated.follows);
    for (from, to, says) in [
        ("currency = \"EUR\"", "currency = \"USD\"", "the currency changes from EUR to USD"),
        ("\"UTC\"", "\"EST5EDT,M3.2.0,M11.1.0\"", "the time zone changes from UTC"),
    ] {
        let comparison = next(from, to);
        assert!(comparison.follows);
        assert!(comparison.warnings.iter().any(|w| w.contains(says)), "{comparison:?}");
    }
    let renamed = WHOLE.replace("\"silver\"", "\"bronze\"").replace("silver =", "bronze =");
    let comparison = compare(WHOLE, &renamed).unwrap();
    assert!(!comparison.follows, "the same version");
    let says = "rank silver is no more, bronze stands in its place";
    assert!(comparison.warnings.iter().any(|w| w.contains(says)), "{comparison:?}");
}
