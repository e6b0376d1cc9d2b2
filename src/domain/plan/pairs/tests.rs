use std::collections::BTreeMap;

use super::*;
use crate::domain::id::RankId;

/// 10 % of the weaker leg, carried forward.
pub(crate) const WEAKER_LEG: &str = r#"
    id = "binary"
    tree = "main"
    volume = "cv"
    owner_cap = "none"
    unqualified = "breakage"
    pays = { kind = "percentage", rate = "10 %", matching = { conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" } }
    carry = { policy = "forward", cap = "none", expires_after = "none" }
    cap = { semantics = "none" }
    qualification = { own_active = true, enrolled_each_side = false }
"#;

/// Three wide, three high, 5 % a level.
pub(crate) const THREE_BY_THREE: &str = r#"
    id = "matrix"
    tree = "main"
    volume = "cv"
    width = 3
    height = 3
    conversion = "0.40"
    rates = ["5 %", "5 %", "5 %"]
    spillover = "breadth_first"
    compression = "none"
    unlocks = { by = "activity" }
    line = "order"
"#;

pub(crate) fn binary(text: &str) -> Binary {
    let plan: Binary = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    plan.check().unwrap();
    plan
}

pub(crate) fn matrix(text: &str) -> Matrix {
    let plan: Matrix = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    plan.check().unwrap();
    plan
}

/// The text with one piece replaced, which must be there.
pub(crate) fn with(text: &str, piece: &str, other: &str) -> String {
    assert!(text.contains(piece), "{piece} is not in {text}");
    text.replace(piece, other)
}

#[test]
fn every_choice_of_a_binary_must_be_stated() {
    binary(WEAKER_LEG);
    for line in WEAKER_LEG.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(toml::from_str::<Binary>(&with(WEAKER_LEG, line, "")).is_err(), "{line}");
    }
    for field in [
        "conversion = \"1\", ",
        "ratio = \"one_to_one\", ",
        "base = \"weaker\", ",
        "lot = \"none\", ",
        "share = \"100 %\", ",
        "rate = \"10 %\", ",
        ", consumes = \"matched\"",
        ", cap = \"none\"",
        ", expires_after = \"none\"",
        "own_active = true, ",
        ", enrolled_each_side = false",
    ] {
        let error = toml::from_str::<Binary>(&with(WEAKER_LEG, field, "")).unwrap_err();
        assert!(error.to_string().contains("missing field"), "{field}: {error}");
    }
}

#[test]
fn every_choice_of_a_matrix_must_be_stated() {
    matrix(THREE_BY_THREE);
    for line in THREE_BY_THREE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let error = toml::from_str::<Matrix>(&with(THREE_BY_THREE, line, "")).unwrap_err();
        assert!(error.to_string().contains("missing field"), "{line}: {error}");
    }
}

#[test]
fn a_misspelt_choice_is_refused_wherever_it_stands() {
    for (piece, other) in [
        ("semantics = \"none\"", "semantics = \"none\", limit = \"5\""),
        ("expires_after", "expired_after"),
        ("share", "shares"),
        ("cap = \"none\", exp", "cap = \"never\", exp"),
        ("expires_after = \"none\"", "expires_after = \"0\""),
        ("policy = \"forward\", ", "policy = \"flush\", "),
    ] {
        assert!(toml::from_str::<Binary>(&with(WEAKER_LEG, piece, other)).is_err(), "{other}");
    }
}

#[test]
fn figures_that_cannot_hold_are_refused() {
    let refused = |piece: &str, other: &str| {
        let plan: Binary = toml::from_str(&with(WEAKER_LEG, piece, other)).unwrap();
        plan.check().unwrap_err().to_string()
    };
    assert!(refused("conversion = \"1\"", "conversion = \"0\"").contains("`conversion`"));
    assert!(refused("share = \"100 %\"", "share = \"101 %\"").contains("`share`"));
    assert!(refused("lot = \"none\"", "lot = \"0\"").contains("`lot`"));
    assert!(refused("owner_cap = \"none\"", "owner_cap = \"0\"").contains("`owner_cap`"));
    let limit = "semantics = \"pay_cap\", limit = \"-1\"";
    assert!(refused("semantics = \"none\"", limit).contains("`cap.limit`"));
    assert!(refused("cap = \"none\", exp", "cap = \"0\", exp").contains("`carry.cap`"));
    let pays = WEAKER_LEG.lines().find(|line| line.contains("pays =")).unwrap();
    let cycle =
        "pays = { kind = \"cycles\", weaker = \"300\", stronger = \"200\", amount = \"5\" }";
    assert!(refused(pays, cycle).contains("swap"));
    let tiers = |list: &str| {
        let kind = with(
            pays,
            "kind = \"percentage\", rate = \"10 %\"",
            &format!("kind = \"tiers\", span = \"whole\", tiers = [{list}]"),
        );
        refused(pays, &kind)
    };
    assert!(tiers("").contains("no tiers"));
    let falling = "{ from = \"1\", rate = \"5 %\" }, { from = \"2\", rate = \"4 %\" }";
    assert!(tiers(falling).contains("tier 2"));
}

#[test]
fn a_matrix_has_a_shape_and_a_rate_for_each_level() {
    let refused = |piece: &str, other: &str| {
        let plan: Matrix = toml::from_str(&with(THREE_BY_THREE, piece, other)).unwrap();
        plan.check().unwrap_err().to_string()
    };
    assert!(refused("width = 3", "width = 1").contains("1 x 3"));
    assert!(refused("height = 3", "height = 4").contains("3 rates for 4 levels"));
    assert!(refused("conversion = \"0.40\"", "conversion = \"0\"").contains("`conversion`"));
}

#[test]
fn levels_are_unlocked_by_activity_or_by_rank() {
    let rank = |name: &str| RankId::parse(name).unwrap();
    let by_rank = Unlocks::Rank { levels: BTreeMap::from([(rank("gold"), 9)]) };
    assert_eq!(Unlocks::Activity {}.reach(true, None, 3), 3);
    assert_eq!(Unlocks::Activity {}.reach(false, None, 3), 0);
    assert_eq!(by_rank.reach(true, Some(&rank("gold")), 3), 3);
    assert_eq!(by_rank.reach(true, Some(&rank("silver")), 3), 0);
    assert_eq!(by_rank.reach(true, None, 3), 0);
}
