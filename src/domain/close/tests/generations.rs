//! The generations of a leadership override: who holds which, who is passed over, and what is told.

use super::*;

const PLAN: &str = r#"
    rank = [{ id = "silver", active = false, pv = "100" }]
    [[component]]
    kind = "bracket"
    id = "performance"
    picks = "pv"
    breakaway = "top_bracket"
    inactive = "breakage"
    table = [{ from = "10000", rate = "21 %" }]
    [[component]]
    kind = "breakaway"
    id = "leadership"
    bracket = "performance"
    rate = "4 %"
    own_group = "12000"
    unqualified = "UNQUALIFIED"
    guarantee = { kind = "none" }
    deeper = { rates = ["2 %", "1 %"], leader = "LEADER" }
"#;

fn of(leader: &str, unqualified: &str, people: &[(u32, i32)]) -> (Vec<String>, Vec<String>) {
    let text = PLAN.replace("LEADER", leader).replace("UNQUALIFIED", unqualified);
    let (plan, population) = (plan(&text), population(people));
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    let part = close.component(&component("leadership")).unwrap();
    assert!(part.totals.is_even());
    let lines = close.lines(&component("leadership"), &population);
    let leg = |line: &Earning| line.source == Some(4);
    let line = |line: Earning| format!("{} to {}: {}", line.level, line.member, line.amount);
    let mut lines: Vec<String> = lines.filter(leg).map(line).collect();
    lines.sort();
    let told = |member| {
        let story = close.explain(&plan, &population, member).unwrap();
        let rows = story.components.into_iter().nth(1).unwrap().withheld;
        let row = |part: Withheld| {
            format!(
                "{}: {} {} {} -> {:?}",
                member,
                part.level,
                part.reason.as_str(),
                part.amount,
                part.to
            )
        };
        rows.into_iter().map(row).collect::<Vec<_>>()
    };
    (lines, (0..4).flat_map(told).collect())
}

/// A line of five: 4 leads the leg of 25,000; 3 may receive; 2 broke away and may not; 1 did not break
/// away; 0 may receive and broke away.
const LINE: [(u32, i32); 5] = [(NOBODY, 20_000), (0, 300), (1, 10_500), (2, 14_000), (3, 25_000)];

/// 4, 2 and 1 % of 25,000.
#[test]
fn a_generation_goes_to_the_next_leader_above_by_the_reading_that_the_plan_states() {
    let on_leg = |told: Vec<String>| -> Vec<String> {
        told.into_iter().filter(|row| row.contains("500.00") || row.contains("250.00")).collect()
    };
    let (lines, told) = of("qualified", "roll_up", &LINE);
    assert_eq!(lines, ["1 to 3: 1000.00", "2 to 0: 500.00"]);
    // Whoever may not receive it is told where it went; generation 3 found nobody.
    assert!(told.contains(&"1: 2 own_group_too_small 500.00 -> Member(0)".to_owned()), "{told:?}");
    assert!(told.contains(&"2: 2 own_group_too_small 500.00 -> Member(0)".to_owned()), "{told:?}");
    let (lines, told) = of("broke_away", "roll_up", &LINE);
    assert_eq!(lines, ["1 to 3: 1000.00", "2 to 0: 500.00"]);
    // 1 leads no leg that broke away and misses nothing.
    assert_eq!(on_leg(told), ["2: 2 own_group_too_small 500.00 -> Member(0)"]);
    let (lines, told) = of("broke_away", "breakage", &LINE);
    // 2 holds generation 2, and the company keeps it.
    assert_eq!(lines, ["1 to 3: 1000.00", "3 to 0: 250.00"]);
    assert_eq!(on_leg(told), ["2: 2 own_group_too_small 500.00 -> Company"]);
}

#[test]
fn an_override_without_deeper_generations_counts_none() {
    let text = PLAN.replace("UNQUALIFIED", "roll_up");
    let text =
        text.replace("    deeper = { rates = [\"2 %\", \"1 %\"], leader = \"LEADER\" }\n", "");
    let (plan, population) = (plan(&text), population(&LINE));
    let close = evaluate(&plan, &population, &Inputs::default()).unwrap();
    let levels = close.lines(&component("leadership"), &population).map(|line| line.level);
    assert_eq!(levels.collect::<Vec<_>>(), [0, 0, 0]);
}
