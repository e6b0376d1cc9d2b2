use super::*;

pub(crate) const PLAN: &str = r#"
    id = "test"
    version = 1
    effective_from = "2020-01-01T00:00:00Z"
    rounding = "half_even"

    [[component]]
    kind = "direct"
    id = "direct"
    inactive_referrer = "breakage"
    rates = { supplement = "20 %", beauty = "15 %" }

    [[component]]
    kind = "unilevel"
    id = "unilevel"
    compression = "roll_up"
    rates = { wellness = ["5 %", "4 %", "3 %"] }
"#;

#[test]
fn a_plan_file_is_read() {
    let plan = Plan::parse(PLAN).unwrap();
    assert_eq!(plan.components.len(), 2);
    assert_eq!(plan.reference.hash, Digest::of(PLAN.as_bytes()));
}

#[test]
fn a_misspelt_field_is_named() {
    let error = Plan::parse(&PLAN.replace("inactive_referrer", "inactive_refferer"));
    let PlanError::Syntax(error) = error.unwrap_err() else { panic!("not a syntax error") };
    assert!(error.to_string().contains("inactive_refferer"), "{error}");
}

#[test]
fn repeated_and_empty_components_are_refused() {
    let twice = PLAN.replace("id = \"unilevel\"", "id = \"direct\"");
    assert!(matches!(Plan::parse(&twice), Err(PlanError::Repeated(_))));
    let empty = PLAN.replace("{ supplement = \"20 %\", beauty = \"15 %\" }", "{}");
    assert!(matches!(Plan::parse(&empty), Err(PlanError::NoRates(_))));
}

#[test]
fn the_version_in_force_is_chosen_by_the_order_time() {
    let mut book = PlanBook::default();
    book.add(Plan::parse(PLAN).unwrap());
    let later = PLAN.replace("version = 1", "version = 2").replace("2020", "2024");
    book.add(Plan::parse(&later).unwrap());
    let version =
        |at: &str| book.in_force("test", at.parse().unwrap()).map(|plan| plan.reference.version);
    assert_eq!(version("2023-12-31T23:59:59Z"), Some(1));
    assert_eq!(version("2024-01-01T00:00:00Z"), Some(2));
    assert_eq!(version("2019-01-01T00:00:00Z"), Some(1));
    assert_eq!(book.in_force("other", Timestamp::UNIX_EPOCH), None);
}

/// A plan with ranks and one component of each new kind, each field stated.
pub(crate) const RANKED: &str = r#"
id = "ranked"
version = 1
effective_from = "2020-01-01T00:00:00Z"
rounding = "half_even"

[[rank]]
id = "silver"
[[rank]]
id = "gold"

[[component]]
kind = "direct"
id = "retail"
inactive_referrer = "roll_up"
rates = { book = "10 %" }
rates_by_rank = { kit = { unranked = "20 %", silver = "22 %", gold = "25 %" } }

[[component]]
kind = "unilevel"
id = "dynamic"
compression = { dynamic = { walk_limit = 1000 } }
unlocked = { unranked = 1, silver = 2, gold = 4 }
rates = { kit = ["2 %", "3 %", "5 %", "5 %"] }

[[component]]
kind = "unilevel"
id = "by-rank"
compression = { skip_below_rank = { threshold = "silver", inactive = "keeps_place", walk_limit = 50 } }
[component.rates_by_rank.kit]
unranked = []
silver = ["2 %"]
gold = ["3 %", "1 %"]

[[component]]
kind = "differential"
id = "stairs"
starts_at = "referrer"
inactive = "passed_over"
equal_rank = { minimum_override = { rate = "0.5 %", times = 1 } }
walk_limit = 1000
rates = { kit = { unranked = "0 %", silver = "5 %", gold = "9 %" } }

[[component]]
kind = "infinity"
id = "infinity"
starts_at = "sponsor"
inactive = "passed_over"
walk_limit = 1000
model = { generational = { threshold = "gold", rates = { kit = ["3 %", "1 %"] } } }

[[component]]
kind = "generation"
id = "generation"
boundary = { fixed_rank = "gold" }
empty_generation = "uses_no_number"
ineligible_leader = "boundary"
starts_at = "referrer"
walk_limit = 1000
rates = { kit = ["10 %", "7 %", "5 %"] }

[[component]]
kind = "fast_start"
id = "fast-start"
days = 30
orders = "own"
inactive = "passed_over"
walk_limit = 1000
rates = { kit = ["25 %", "10 %", "5 %"] }
excludes = { components = ["dynamic"], lines = "paid_here" }
"#;

/// The whole message of the error, as the command line shows it.
fn refused(text: &str) -> String {
    let error = Plan::parse(text).expect_err("a wrong plan was read");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}\n{}", source.unwrap_or_default())
}

/// The line of the first text, from 1 on.
fn line_of(text: &str, what: &str) -> usize {
    text[..text.find(what).unwrap()].matches('\n').count() + 1
}

#[test]
fn every_kind_is_read_and_its_ranks_are_found() {
    let plan = Plan::parse(RANKED).unwrap();
    assert_eq!((plan.components.len(), plan.ranks.len()), (7, 2));
    let Component::Unilevel(by_rank) = &plan.components[2] else { panic!("not the unilevel") };
    let kit = CommissionClass::parse("kit").unwrap();
    let offered: Vec<String> = by_rank.rates[&kit].iter().map(ToString::to_string).collect();
    assert_eq!(offered, ["3 %", "1 %"], "the highest of any rank at each level");
    let Component::Generation(generation) = &plan.components[5] else { panic!("not it") };
    assert_eq!(generation.boundary.threshold(), rank::RankLevel(2));
}

#[test]
fn a_choice_that_is_not_stated_is_refused_with_its_name_and_line() {
    let fields = [
        "inactive_referrer = \"roll_up\"\n",
        "starts_at = \"referrer\"\n",
        "inactive = \"passed_over\"\n",
        "equal_rank = { minimum_override = { rate = \"0.5 %\", times = 1 } }\n",
        "walk_limit = 1000\n",
        "model = { generational = { threshold = \"gold\", rates = { kit = [\"3 %\", \"1 %\"] } } }\n",
        "boundary = { fixed_rank = \"gold\" }\n",
        "empty_generation = \"uses_no_number\"\n",
        "ineligible_leader = \"boundary\"\n",
        "days = 30\n",
        "orders = \"own\"\n",
        "compression = { dynamic = { walk_limit = 1000 } }\n",
        ", lines = \"paid_here\"",
        ", inactive = \"keeps_place\"",
        ", walk_limit = 50",
        ", times = 1",
    ];
    for field in fields {
        let name = field.trim_start_matches(", ").split_whitespace().next().unwrap();
        let message = refused(&RANKED.replacen(field, "", 1));
        assert!(message.contains(&format!("missing field `{name}`")), "{name}: {message}");
        assert!(message.contains("line "), "{name}: {message}");
    }
}

#[test]
fn a_word_that_nobody_knows_is_refused_with_its_line_and_the_known_ones() {
    let wrong = [
        ("starts_at = \"referrer\"", "starts_at = \"buyer\"", "`sponsor` or `referrer`"),
        ("walk_limit = 1000\nrates", "walk_limt = 1000\nrates", "walk_limit"),
        ("fixed_rank", "fixd_rank", "`fixed_rank` or `own_rank`"),
        ("\"uses_no_number\"", "\"no\"", "`uses_number` or `uses_no_number`"),
        ("{ dynamic =", "{ dynamics =", "`dynamic`"),
        ("threshold = \"silver\"", "treshold = \"silver\"", "threshold"),
        ("walk_limit = 50", "walk_limit = 0", "between 1 and 10000"),
        ("walk_limit = 50", "walk_limit = 10001", "between 1 and 10000"),
        ("\"5 %\" } }", "\"5 pc\" } }", "not a decimal number"),
        ("kind = \"infinity\"", "kind = \"infinite\"", "direct, unilevel, differential, infinity"),
        ("kind = \"infinity\"\n", "", "direct, unilevel, differential, infinity"),
    ];
    for (right, other, says) in wrong {
        let text = match right {
            "\"5 %\" } }" => RANKED.replace("silver = \"5 %\"", "silver = \"5 pc\""),
            _ => RANKED.replacen(right, other, 1),
        };
        assert_ne!(text, RANKED, "{right}");
        let message = refused(&text);
        assert!(message.contains(says), "{other}: {message}");
        assert!(message.contains("line "), "{other}: {message}");
    }
    let text = RANKED.replacen("ineligible_leader = \"boundary\"", "ineligible_leader = \"?\"", 1);
    let line = line_of(&text, "ineligible_leader");
    assert!(refused(&text).contains(&format!("line {line}")), "{}", refused(&text));
}

#[test]
fn what_does_not_fit_together_names_component_line_and_field() {
    let wrong = [
        // A rank that the plan does not have.
        (
            "fixed_rank = \"gold\"",
            "fixed_rank = \"gould\"",
            "component generation, `boundary`: the plan has no rank gould: its ranks are silver, gold",
        ),
        (
            "threshold = \"silver\"",
            "threshold = \"none\"",
            "component by-rank, `compression.skip_below_rank.threshold`: the plan has no rank none",
        ),
        (
            "threshold = \"gold\"",
            "threshold = \"g\"",
            "component infinity, `model.generational.threshold`: the plan has no rank g",
        ),
        // A table that leaves somebody out, or names somebody else.
        ("silver = 2, ", "", "component dynamic, `unlocked`: nothing is said for silver"),
        ("unranked = 1, ", "", "component dynamic, `unlocked`: nothing is said for unranked"),
        (
            "gold = \"9 %\" } }",
            "gold = \"9 %\", star = \"9 %\" } }",
            "component stairs, `rates.kit`: the plan has no rank star",
        ),
        (
            "silver = \"22 %\", ",
            "",
            "component retail, `rates_by_rank.kit`: nothing is said for silver",
        ),
        // Contradictions.
        (
            "gold = \"9 %\"",
            "gold = \"4 %\"",
            "component stairs, `rates.kit.gold`: gold has a lower rate",
        ),
        (
            "rates = { book =",
            "rates = { kit = \"1 %\", book =",
            "component retail, `rates_by_rank.kit`: class kit stands under `rates` too",
        ),
        (
            "unlocked = { unranked = 1, silver = 2, gold = 4 }\n",
            "",
            "component dynamic, `compression`: dynamic compression asks who may earn",
        ),
        (
            "components = [\"dynamic\"]",
            "components = [\"retail\"]",
            "component fast-start, `excludes.components`: retail is no unilevel",
        ),
        (
            "components = [\"dynamic\"]",
            "components = []",
            "component fast-start, `excludes.components`: no component is named",
        ),
        (
            "{ kit = [\"10 %\", \"7 %\", \"5 %\"] }",
            "{ kit = [] }",
            "component generation, `rates`: there are no rates",
        ),
        ("id = \"gold\"", "id = \"silver\"", "`id`: a rank cannot be called silver"),
        ("id = \"gold\"", "id = \"unranked\"", "`id`: a rank cannot be called unranked"),
    ];
    for (right, other, says) in wrong {
        let text = RANKED.replacen(right, other, 1);
        assert_ne!(text, RANKED, "{right}");
        let message = refused(&text);
        assert!(message.contains(says), "{other}: {message}");
    }
}

#[test]
fn what_does_not_fit_is_found_by_its_line() {
    let text = RANKED.replacen("fixed_rank = \"gold\"", "fixed_rank = \"gould\"", 1);
    let line = line_of(&text, "boundary = ");
    assert!(refused(&text).starts_with(&format!("line {line}, component")), "{}", refused(&text));
    let unranked = RANKED.replacen("[[rank]]\nid = \"silver\"\n[[rank]]\nid = \"gold\"\n", "", 1);
    assert!(refused(&unranked).contains("the plan has no ranks: name them lowest first"));
    let deep = format!("kit = [{}]", "\"0.1 %\", ".repeat(101));
    let deep = RANKED.replacen("kit = [\"10 %\", \"7 %\", \"5 %\"]", &deep, 1);
    assert!(refused(&deep).contains("`rates.kit`: 101 levels, at most 100"), "{}", refused(&deep));
}

#[test]
fn dynamic_rates_by_rank_reach_equally_far_in_every_class() {
    let text = |kit: &str, book: &str| {
        format!(
            "id = \"p\"\nversion = 1\neffective_from = \"2020-01-01T00:00:00Z\"\n\
             rounding = \"half_even\"\n[[rank]]\nid = \"gold\"\n[[component]]\nkind = \"unilevel\"\n\
             id = \"u\"\ncompression = {{ dynamic = {{ walk_limit = 9 }} }}\n\
             [component.rates_by_rank]\n{kit}\n{book}\n"
        )
    };
    let kit = "kit = { unranked = [\"1 %\"], gold = [\"1 %\", \"1 %\", \"1 %\"] }";
    let shorter = "book = { unranked = [\"2 %\"], gold = [\"2 %\", \"2 %\"] }";
    assert!(Plan::parse(&text(kit, shorter)).is_ok());
    let uneven = "book = { unranked = [\"2 %\", \"2 %\"], gold = [\"2 %\", \"2 %\"] }";
    let message = refused(&text(kit, uneven));
    assert!(
        message.contains("component u, `rates_by_rank.kit.unranked`: unranked reaches 1"),
        "{message}"
    );
}

/// What pays on CV must know what that is, and which money a point is.
#[test]
fn a_component_on_cv_needs_volumes_and_a_currency() {
    let on_cv = "id = \"unilevel\"\n    base = { cv = { conversion = \"0.40\" } }";
    let text = PLAN.replace("id = \"unilevel\"", on_cv);
    let error = Plan::parse(&text).unwrap_err().to_string();
    assert!(error.starts_with("line 16, component unilevel, `base`: CV is what"), "{error}");
    let volumes = "[volumes]\npv = \"qv\"\ngroup = \"pv\"\nretail_orders = \"nobody\"\n\
                   conversion = \"1\"\nnegative_volume = \"carry\"\nqv = { source = \"net\", rate = \"1\" }\n\
                   cv = { source = \"catalogue\", missing = \"zero\" }\n";
    let text = format!("{text}{volumes}");
    let error = Plan::parse(&text).unwrap_err().to_string();
    assert!(error.contains("add `currency = \"EUR\"`"), "{error}");
    let currency = "rounding = \"half_even\"\n    currency = \"EUR\"";
    let plan = Plan::parse(&text.replace("rounding = \"half_even\"", currency)).unwrap();
    assert_eq!(plan.components[0].base(), Some(PayBase::Net), "as if it said so");
    assert!(plan.components[1].base().unwrap().conversion().is_some());
    let wrong = text.replace("conversion = \"0.40\"", "");
    assert!(matches!(Plan::parse(&wrong), Err(PlanError::Syntax(_))), "a point has no worth");
}

pub(crate) mod whole;
