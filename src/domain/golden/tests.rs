use super::*;

const PLAN: &str = r#"
id = "test"
version = 1
effective_from = "2026-01-01T00:00:00Z"
rounding = "half_even"

[[component]]
kind = "direct"
id = "direct"
inactive_referrer = "breakage"
rates = { kit = "10 %", beauty = "20 %" }

[[component]]
kind = "unilevel"
id = "levels"
compression = "none"
rates = { kit = ["5 %", "3 %"] }
"#;

const CASE: &str = r#"
[[case]]
name = "A kit"
source = "[C]"
members = [{ id = "top" }, { id = "you", sponsor = "top" }]
[[case.order]]
referrer = "you"
lines = [{ class = "kit", net = 100 }]
expect = [
    { who = "you", component = "direct", amount = 10 },
    { who = "top", level = 1, amount = "5.00" },
    { who = "breakage", reason = "end_of_upline", amount = "3.00" },
]
totals = { levels = { pool = 8, paid = 5, breakage = 3 } }
"#;

/// The failures of the only case, of a plan with the cases in the file.
fn failures(plan: &str, case: &str) -> Vec<Failure> {
    let text = format!("{plan}{case}");
    let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{error:?}"));
    let mut outcomes = run(&plan, &Cases::parse(&text).unwrap(), |_| true);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0).failures
}

/// The case with one piece replaced, which must be there.
fn with(case: &str, piece: &str, other: &str) -> String {
    assert!(case.contains(piece), "{piece}");
    case.replacen(piece, other, 1)
}

/// The line, the subject and the two sides of the only failure.
fn only(failures: &[Failure]) -> (usize, &str, &str, &str) {
    let [one] = failures else { panic!("{failures:#?}") };
    (one.line, &one.about, &one.expected, &one.got)
}

#[test]
fn a_case_that_holds_says_nothing() {
    assert_eq!(failures(PLAN, CASE), []);
}

#[test]
fn another_amount_names_the_line_both_sides_and_the_calculation() {
    let found = failures(PLAN, &with(CASE, "\"5.00\"", "\"6.00\""));
    let line = format!("{PLAN}{CASE}").lines().position(|l| l.contains("who = \"top\"")).unwrap();
    assert_eq!(only(&found), (line + 1, "top, level 1", "6.00", "5.00"));
    assert_eq!(&*found[0].place, "order 1");
    assert_eq!(found[0].why[0], "levels: level 1, top: 5 % of 100.00 (line 1) = 5.00");
    assert!(found[0].why.contains(&"levels: met top: holds level 1".to_owned()), "{found:?}");
}

#[test]
fn money_that_nobody_named_fails() {
    let case = with(CASE, "{ who = \"top\", level = 1, amount = \"5.00\" },", "");
    let found = failures(PLAN, &case);
    let (_, about, expected, got) = only(&found);
    assert_eq!((about, got), ("top, levels, level 1", "5.00"));
    assert!(expected.starts_with("no such line"), "{expected}");
}

#[test]
fn a_case_may_be_about_some_components() {
    let case = with(CASE, "source = \"[C]\"", "source = \"[C]\"\nonly = [\"levels\"]");
    let found = failures(PLAN, &case);
    let (_, about, _, got) = only(&found);
    assert_eq!(
        (about, got),
        ("it cannot be computed", "the case is not about direct: name it under `only` too")
    );
    let case = with(&case, "{ who = \"you\", component = \"direct\", amount = 10 },", "");
    assert_eq!(failures(PLAN, &case), []);
}

#[test]
fn totals_and_reasons_are_held_against_the_engine() {
    let found = failures(PLAN, &with(CASE, "pool = 8", "pool = 9"));
    assert_eq!(only(&found).1, "levels, pool in all");
    let case = with(CASE, "{ id = \"top\" }", "{ id = \"top\", status = \"inactive\" }");
    let case = with(
        &case,
        "level = 1, amount = \"5.00\"",
        "component = \"levels\", amount = 0, reason = \"inactive\"",
    );
    let case = with(&case, "reason = \"end_of_upline\", amount = \"3.00\"", "amount = \"8.00\"");
    let case = with(&case, "paid = 5, breakage = 3", "paid = 0, breakage = 8");
    assert_eq!(failures(PLAN, &case), []);
    let found = failures(PLAN, &with(&case, "reason = \"inactive\"", "reason = \"not_unlocked\""));
    let (_, _, expected, got) = only(&found);
    assert_eq!(
        (expected, got),
        ("nothing, because of not_unlocked", "nothing, because of inactive")
    );
}

#[test]
fn a_case_that_cannot_be_computed_says_why() {
    for (piece, other, why) in [
        ("referrer = \"you\"", "referrer = \"me\"", "no member is called me"),
        ("referrer = \"you\"", "referrer = \"you\"\nbuyer = \"top\"", "not both"),
        ("sponsor = \"top\"", "sponsor = \"boss\"", "no member is called boss"),
        ("{ id = \"top\" }", "{ id = \"top\" }, { id = \"top\" }", "two members are called top"),
        ("id = \"top\" }", "id = \"top\", rank = \"gold\" }", "the plan has no rank gold"),
        ("net = 100", "net = 100, cv = 5", "the plan has no [volumes]"),
        ("{ id = \"top\" }", "{ id = \"breakage\" }", "no member can be called breakage"),
        ("component = \"direct\"", "component = \"pairs\"", "the plan has no component pairs"),
        ("amount = 10", "amount = 10, reason = \"inactive\"", "why a member gets nothing"),
        ("[[case.order]]", "[[case.period]]\n[[case.order]]", "nothing that a period computes"),
    ] {
        let found = failures(PLAN, &with(CASE, piece, other));
        let (line, about, _, got) = only(&found);
        assert_eq!(about, "it cannot be computed");
        assert!(got.contains(why), "{got}");
        assert!(line > PLAN.matches('\n').count(), "{line}");
    }
    let empty = CASE.split("[[case.order]]").next().unwrap();
    assert!(only(&failures(PLAN, empty)).3.contains("it computes nothing"));
}

#[test]
fn a_case_that_is_misspelt_is_refused_with_its_line() {
    let refused = |case: &str| Cases::parse(case).unwrap_err();
    for (piece, other, named) in [
        ("referrer = ", "refferer = ", "refferer"),
        ("source = \"[C]\"", "", "source"),
        ("amount = 10", "amount = 10.5", "in quotes"),
        ("net = 100", "net = \"a lot\"", "not a decimal number"),
        ("lines = [", "placed = \"soon\"\nlines = [", "is no instant"),
    ] {
        let error = format!("{:?}", anyhow::Error::from(refused(&with(CASE, piece, other))));
        assert!(error.contains(named) && error.contains("line "), "{error}");
    }
    let twice = format!("{CASE}{CASE}");
    let second = CASE.matches('\n').count() + 2;
    assert!(refused(&twice).to_string().starts_with(&format!("line {second}: there is a case")));
    let many = with(
        CASE,
        "net = 100 }",
        &format!("net = 100 }}{}", ", { class = \"kit\", net = 1 }".repeat(1000)),
    );
    assert!(refused(&many).to_string().contains("1001 lines of an order, at most 1000"));
}

#[test]
fn a_file_of_cases_names_its_plan_and_nothing_else() {
    let file = format!("plan = \"test.toml\"\n{CASE}");
    let (plan, cases) = Cases::parse_beside(&file).unwrap();
    assert_eq!((&*plan, cases.iter().count()), ("test.toml", 1));
    assert!(Cases::stand_beside(&file) && !Cases::stand_beside(PLAN));
    assert!(Cases::parse_beside(CASE).is_err());
    assert!(Cases::parse_beside(&format!("plan = \"a\"\nversion = 2\n{CASE}")).is_err());
}

#[test]
fn a_fast_start_counts_from_the_enrolment_to_the_instant() {
    let plan = PLAN.to_owned()
        + "\n[[component]]\nkind = \"fast_start\"\nid = \"start\"\ndays = 30\norders = \"own\"\n\
           inactive = \"passed_over\"\nwalk_limit = 100\nrates = { box = [\"25 %\"] }\n";
    let case = |placed: &str, amount: &str| {
        format!(
            "[[case]]\nname = \"n\"\nsource = \"[C]\"\nmembers = [{{ id = \"top\" }}, \
             {{ id = \"new\", sponsor = \"top\", enrolled = \"2026-01-01\" }}]\n[[case.order]]\n\
             buyer = \"new\"\nplaced = \"{placed}\"\nlines = [{{ class = \"box\", net = 100 }}]\n\
             expect = [{{ who = \"top\", amount = {amount} }}]\n"
        )
    };
    assert_eq!(failures(&plan, &case("2026-01-30T23:59:59Z", "25")), []);
    assert_eq!(failures(&plan, &case("2026-01-31", "0")), []);
    let found = failures(&plan, &case("2026-01-31", "25"));
    assert!(found[0].why[0].contains("looked for nobody"), "{found:?}");
}

/// The plan of a binary and its first case, as the project has them.
fn binary() -> (String, String) {
    let text = include_str!("../../../pipelines/plans/binary.toml");
    let (plan, cases) = text.split_once("\n[[case]]").unwrap();
    let first = cases.split("\n[[case]]").next().unwrap();
    (format!("{plan}\n"), format!("[[case]]{first}"))
}

#[test]
fn a_period_that_cannot_be_computed_says_why() {
    let (plan, case) = binary();
    assert_eq!(failures(&plan, &case), []);
    for (piece, other, why) in [
        ("sponsor = \"you\", side = \"left\"", "sponsor = \"you\"", "a binary has two legs"),
        ("id = \"left\", sponsor = \"you\"", "id = \"left\"", "one top"),
        ("{ id = \"you\" }", "{ id = \"you\", under = \"left\" }", "left is not placed before"),
        ("{ id = \"you\" }", "{ id = \"you\", achieved = \"gold\" }", "no rank gold"),
        ("cv = 200", "retail = true", "no volume"),
        ("cv = 200", "points = 1, net = 200", "drop `points`"),
        ("cv = 200", "cv = 200, retail = true", "`retail` goes with `net`"),
        ("cv = 200", "cv = -200", "the volume of position 1"),
        ("who = \"left\"", "who = \"lefty\"", "no member is called lefty"),
        (", component = \"forward\"", "", "name it as `component`"),
        (
            "volumes = [",
            "given = [{ who = \"you\", component = \"forward\", amount = 1 }]\nvolumes = [",
            "no component of orders",
        ),
        (
            "volumes = [",
            "forced = [{ who = \"you\", rank = \"gold\", hold = \"exactly\" }]\nvolumes = [",
            "no rank gold",
        ),
    ] {
        let found = failures(&plan, &with(&case, piece, other));
        let (line, about, _, got) = only(&found);
        assert_eq!(about, "it cannot be computed");
        assert!(got.contains(why), "{why}: {got}");
        assert!(line > plan.matches('\n').count(), "{line}");
    }
}

#[test]
fn carry_ranks_and_unnamed_money_of_a_period_are_compared() {
    let (plan, case) = binary();
    let found = failures(&plan, &with(&case, "left = 0, right = 300", "left = 0, right = 299"));
    let (_, about, expected, got) = only(&found);
    assert_eq!(about, "you, carry of forward");
    assert_eq!((expected, got), ("left 0, right 299", "left 0, right 300"));
    assert_eq!(
        found[0].why,
        [
            "forward: you: left 0 + 200: 200 paired, 0 carried; right 0 + 500: 200 paired, 300 carried"
        ]
    );
    let found =
        failures(&plan, &with(&case, "expect = [{ who = \"you\", amount = \"20.00\" }]", ""));
    assert_eq!((only(&found).1, only(&found).3), ("you, forward", "20.00"));
    let ranks =
        "ranks = [{ who = \"you\", paid_as = \"none\", active = false, gv = 1 }]\ncarry = [";
    let found = failures(&plan, &with(&case, "carry = [", ranks));
    let about: Vec<_> = found.iter().map(|f| (&*f.about, &*f.expected, &*f.got)).collect();
    assert_eq!(about, [("you, active", "false", "true"), ("you, GV", "1", "0")]);
    assert!(found[0].why[0].starts_with("active, GV 0"), "{found:?}");
}

#[test]
fn an_achieved_rank_goes_in_and_a_rank_of_orders_does_not() {
    let text = include_str!("../../../pipelines/plans/bonuses.toml");
    let plan = format!("{}\n", text.split_once("\n[[case]]").unwrap().0);
    let case = |row: &str| {
        format!(
            "[[case]]\nname = \"n\"\nsource = \"[C]\"\nmembers = [{{ id = \"you\", {row} }}]\n\
             [[case.period]]\nvolumes = [{{ who = \"you\", pv = 99 }}]\n\
             ranks = [{{ who = \"you\", paid_as = \"none\", achieved = \"director\" }}]\n"
        )
    };
    assert_eq!(failures(&plan, &case("achieved = \"director\"")), []);
    let found = failures(&plan, &case("achieved = \"leader\""));
    assert_eq!((only(&found).1, only(&found).3), ("you, achieved", "leader"));
    let found = failures(&plan, &case("rank = \"director\""));
    assert!(only(&found).3.contains("`rank` is that of orders"), "{found:?}");
}
