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
