//! What two versions of a plan differ in.

use super::*;

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

/// What is written out as it would be without a word is no change; another word is one, from that.
#[test]
fn a_default_that_is_written_out_is_no_change() {
    let with =
        |more: &str| PLAN.replace("id = \"unilevel\"", &format!("id = \"unilevel\"\n{more}"));
    let told = |before: &str, after: &str| -> Vec<String> {
        compare(before, after).unwrap().changes.iter().map(ToString::to_string).collect()
    };
    let stated = with("base = \"net\"\nfirst_level = \"sponsor\"");
    assert_eq!(told(PLAN, &stated), [""; 0]);
    assert_eq!(told(&stated, PLAN), [""; 0]);
    let other = with("first_level = \"referrer\"");
    assert_eq!(told(PLAN, &other), ["component unilevel, first_level: sponsor becomes referrer"]);
    let legs = changed("pv = \"100\"\n\n[[rank]]", "pv = \"100\"\nactive_legs = 0\n\n[[rank]]");
    assert_eq!(told(WHOLE, &legs), [""; 0]);
    assert_eq!(
        told(WHOLE, &legs.replace("legs = 0", "legs = 2")),
        ["rank silver, active_legs: 0 becomes 2"]
    );
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
