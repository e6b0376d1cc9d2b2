//! Plans that have a close.

use super::*;
use crate::domain::{close::evaluate, plan::close::CloseComponent};

/// A plan with components of orders and of the close, each section stated.
pub(crate) const WHOLE: &str = r#"
id = "whole"
version = 1
effective_from = "2026-01-01T00:00:00Z"
rounding = "half_even"
currency = "EUR"

[volumes]
pv = "qv"
group = "pv"
retail_orders = "referrer"
negative_volume = "carry"
conversion = "1"
qv = { source = "net", rate = "100 %" }
cv = { source = "net", rate = "80 %" }

[activity]
pv = "100"
look_back = 1
window = "sum"
active_leg = "anyone"

[ladder]
reach = "each_step"
leg_rank = "paid_as"

[period]
every = { kind = "monthly" }
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[rank]]
id = "silver"
active = true
pv = "100"

[[rank]]
id = "gold"
active = true
gv = "1000"

[[component]]
kind = "direct"
id = "retail"
inactive_referrer = "roll_up"
rates = { kit = "10 %" }

[[component]]
kind = "unilevel"
id = "levels"
compression = "roll_up"
rates = { kit = ["5 %", "3 %"] }

[[component]]
kind = "binary"
id = "pairs"
tree = "legs"
volume = "cv"
carry = { policy = "forward", cap = "none", expires_after = "6" }
cap = { semantics = "pay_cap", limit = "500" }
owner_cap = "none"
qualification = { own_active = true, enrolled_each_side = true }
unqualified = "hold"
[component.pays]
kind = "percentage"
rate = "10 %"
matching = { conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" }

[[component]]
kind = "matrix"
id = "matrix"
tree = "levels"
volume = "cv"
width = 2
height = 2
conversion = "1"
rates = ["2 %", "1 %"]
spillover = "breadth_first"
compression = "none"
unlocks = { by = "rank", levels = { silver = 1, gold = 2 } }
line = "period"

[[component]]
kind = "bracket"
id = "performance"
picks = "pv"
breakaway = "top_bracket"
inactive = "pass_up"
table = [{ from = "100", rate = "3 %" }, { from = "200", rate = "6 %" }]

[[component]]
kind = "breakaway"
id = "leadership"
bracket = "performance"
rate = "4 %"
own_group = "200"
unqualified = "breakage"
guarantee = { kind = "none" }

[[component]]
kind = "matching"
id = "matching"
on = ["pairs", "levels"]
rank = "paid_as"
compression = "dynamic"
negative_earnings = "match"
rates = [{ from = "silver", rates = ["10 %", "5 %"] }]

[[component]]
kind = "rank_bonus"
id = "advancement"
pays = "once"
passed = "all"
rank = "paid_as"
amounts = [{ from = "gold", amount = "500.00" }]

[[component]]
kind = "pool"
id = "global"
size = { kind = "share_of_cv", rate = "1 %" }
rank = "paid_as"
shares = [{ from = "gold", shares = 1 }]
nobody = "breakage"

[[cap]]
id = "company"
after = "matching"
counts = ["performance", "matching"]
limit = { per = "company", share_of_cv = "55 %", method = "pro_rata" }
"#;

fn changed(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    WHOLE.replacen(from, to, 1)
}

#[test]
fn a_whole_plan_is_one_file_in_its_order() {
    let plan = Plan::parse(WHOLE).unwrap();
    let kinds: Vec<&str> = plan.components.iter().map(Component::kind).collect();
    let wanted = [
        "direct",
        "unilevel",
        "binary",
        "matrix",
        "bracket",
        "breakaway",
        "matching",
        "rank_bonus",
        "pool",
    ];
    assert_eq!(kinds, wanted);
    assert!(plan.components.iter().take(2).all(Component::of_orders));
    assert!(!plan.components.iter().skip(2).any(Component::of_orders));
    assert_eq!((plan.ranks.len(), plan.requirements.len(), plan.caps.len()), (2, 2, 1));
    let close = plan.close().unwrap().expect("it is closed");
    assert_eq!(close.ladder().len(), 2);
}

#[test]
fn what_is_placed_and_what_orders_earn_where_it_is_named_come_into_the_close() {
    let parts = Plan::parse(WHOLE).unwrap().close_parts().unwrap();
    let ids: Vec<(&str, bool)> = parts
        .components
        .iter()
        .map(|part| (part.id().as_str(), matches!(part, CloseComponent::Given(_))))
        .collect();
    let wanted = [
        ("levels", true),
        ("pairs", true),
        ("matrix", true),
        ("performance", false),
        ("leadership", false),
        ("matching", false),
        ("advancement", false),
        ("global", false),
    ];
    assert_eq!(
        ids, wanted,
        "the matching names the unilevel of orders, and not the direct commission"
    );
}

#[test]
fn a_plan_of_orders_alone_has_no_close() {
    for text in [PLAN, RANKED] {
        let plan = Plan::parse(text).unwrap();
        assert!(!plan.is_closed());
        assert!(plan.close().unwrap().is_none());
    }
    let volumes = WHOLE.split("[volumes]").nth(1).unwrap().split("[activity]").next().unwrap();
    let head = PLAN.find("[[component]]").unwrap();
    let text = format!("{}\n[volumes]{volumes}{}", &PLAN[..head], &PLAN[head..]);
    let plan = Plan::parse(&text).unwrap();
    assert!(plan.volumes.is_some() && !plan.is_closed(), "volumes may be counted without a close");
}

#[test]
fn ranks_alone_are_something_to_close() {
    let start = WHOLE.find("[[component]]\nkind = \"binary\"").unwrap();
    let plan = Plan::parse(&WHOLE[..start]).unwrap();
    let close = plan.close().unwrap().expect("ranks are what the close decides");
    assert_eq!(close.ladder().len(), 2);
}

/// The text between one section and the next, taken out.
fn without(section: &str) -> String {
    let start = WHOLE.find(section).unwrap();
    let rest = &WHOLE[start + 1..];
    let end = start + 1 + rest.find("\n[").unwrap() + 1;
    format!("{}{}", &WHOLE[..start], &WHOLE[end..])
}

#[test]
fn a_section_that_the_close_lacks_is_named_with_line_and_fix() {
    for (section, says) in [
        ("[volumes]", "component pairs, `volumes`: a close computes with volumes: add [volumes]"),
        (
            "[activity]",
            "component pairs, `activity`: only the active earn at a close: add [activity]",
        ),
        (
            "[ladder]",
            "component pairs, `ladder`: the close ranks people: add [ladder] with `reach`",
        ),
        (
            "[period]",
            "component pairs, `period`: a close is of a period: add [period] with `every`",
        ),
    ] {
        let text = without(section);
        let line = line_of(&text, "kind = \"binary\"") - 1;
        let message = refused(&text);
        assert!(message.starts_with(&format!("line {line}, {says}")), "{message}");
    }
    let message = refused(&changed("currency = \"EUR\"\n", ""));
    assert!(message.contains("`currency`: a close pays in one currency"), "{message}");
    let message = refused(&changed("active = true\npv = \"100\"\n", ""));
    let says = "`active`: rank silver states its name alone";
    assert!(message.contains(says), "{message}");
}

#[test]
fn a_part_of_the_close_that_does_not_hold_is_named_with_its_line() {
    let wrong = [
        (
            "on = [\"pairs\", \"levels\"]",
            "on = [\"global\"]",
            "matching names global",
            "kind = \"matching\"",
        ),
        ("from = \"200\"", "from = \"100\"", "component performance, `table`: ", "table = "),
        ("top_bracket", "never", "component leadership, `bracket`: ", "bracket = \"perf"),
        (
            "after = \"matching\"",
            "after = \"x\"",
            "`after`: cap company: `after` names x",
            "after = \"x\"",
        ),
        (
            "from = \"gold\", amount",
            "from = \"star\", amount",
            "no rank star",
            "kind = \"rank_bonus\"",
        ),
        ("gv = \"1000\"", "pgv = \"1000\"", "`pgv`: rank gold asks for PGV", "pgv = "),
        (
            "rate = \"10 %\"\nmatching",
            "rate = \"0 %\"\nmatching",
            "component pairs, `pays`",
            "[component.pays]",
        ),
        (
            "silver = 1, gold",
            "star = 1, gold",
            "component matrix, `unlocks.levels`: the plan has no rank star",
            "unlocks =",
        ),
        ("height = 2", "height = 3", "component matrix, `rates`", "rates = [\"2 %\""),
        (
            "tree = \"levels\"",
            "tree = \"legs\"",
            "component matrix, `tree`: component matrix: tree legs is a matrix 2 wide that spills \
             breadth-first here and a binary in component pairs",
            "",
        ),
        ("id = \"company\"", "id = \"matching\"", "two components are called matching", ""),
        (
            "{ kind = \"monthly\" }",
            "{ kind = \"custom\", periods = [{ id = \"a\", first = \"2026-02-01\", last = \"2026-01-01\" }] }",
            "`period.every`: period a must start",
            "every = ",
        ),
        ("window = \"sum\"\n", "", "missing field `window`", ""),
        ("nobody = \"breakage\"\n", "", "missing field `nobody`", ""),
        ("kind = \"pool\"", "kind = \"given\"", "there is no kind \"given\"", ""),
    ];
    for (right, other, says, at) in wrong {
        let text = changed(right, other);
        let message = refused(&text);
        assert!(message.contains(says), "{other}: {message}");
        if !at.is_empty() {
            let mut line = line_of(&text, at);
            if at.starts_with("kind") {
                line -= 1;
            }
            assert!(message.contains(&format!("line {line}, ")), "{other}: line {line}: {message}");
        }
    }
}

#[test]
fn the_close_of_a_whole_plan_runs() {
    use crate::domain::close::{Columns, GivenEarnings, Inputs, Population};
    let plan = Plan::parse(WHOLE).unwrap().close().unwrap().unwrap();
    let population = Population::new(&Columns::default()).unwrap();
    let given = ["levels", "pairs", "matrix"].map(|id| GivenEarnings {
        component: ComponentId::parse(id).unwrap(),
        earned: Vec::new(),
        unearned: None,
    });
    let inputs = Inputs { given: given.into(), ..Inputs::default() };
    let close = evaluate(&plan, &population, &inputs).unwrap();
    assert_eq!(close.components().len(), 8);
}
