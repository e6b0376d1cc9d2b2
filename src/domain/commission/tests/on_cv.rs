//! Components of orders that pay on CV: the figures of the field, returns, and what a line says of it.

use super::*;
use crate::domain::volume::{Conversion, Volume};

/// A plan of one component on CV at 0.40 a point, with the CV as the catalogue states it.
fn plan(component: &str) -> Plan {
    let text = format!(
        "id = \"p\"\nversion = 1\neffective_from = \"1970-01-01T00:00:00Z\"\ncurrency = \"EUR\"\n\
         rounding = \"half_even\"\nrank = [{{ id = \"gold\" }}]\n[volumes]\npv = \"qv\"\ngroup = \"pv\"\n\
         retail_orders = \"nobody\"\nconversion = \"7\"\nnegative_volume = \"carry\"\n\
         qv = {{ source = \"net\", rate = \"1 %\" }}\ncv = {{ source = \"catalogue\", missing = \"zero\" }}\n\
         [[component]]\nid = \"c\"\nbase = {{ cv = {{ conversion = \"0.40\" }} }}\n{component}"
    );
    Plan::parse(&text).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

const UNILEVEL: &str = "kind = \"unilevel\"\nfirst_level = \"referrer\"\ncompression = \"none\"\n\
                        rates = { kit = [\"5 %\", \"5 %\", \"5 %\", \"5 %\"] }\n";

/// A line of which `left` of `units` units are left, each of so many points.
fn points(line: &mut MappedLine, unit: &str, (left, net): (i64, &str)) {
    line.volume = Some(VolumeBasis {
        qv: None,
        cv: Some(Volume::parse(unit).unwrap()),
        units: Decimal::from(left),
        units_net: Money::parse(net).unwrap(),
    });
}

fn amounts(run: &Run) -> String {
    let line = |line: &CommissionLine| format!("{} {}", line.account, line.amount);
    run.lines.iter().map(line).collect::<Vec<_>>().join(", ").replace("distributor:", "")
}

#[test]
fn two_hundred_points_pay_four_levels_of_4_and_say_what_they_pay_on() {
    let (tree, plan) = (chain(&["top", "sponsor", "a", "b"]), plan(UNILEVEL));
    let mut order = order(&tree, &plan, "b", &[("kit", "300"), ("kit", "50")]);
    points(&mut order.lines[0], "100", (2, "300"));
    let run = run(order, &tree, &plan).unwrap();
    // The second line has a price and no points: four lines of nothing.
    assert_eq!(
        amounts(&run),
        "b 4.00, a 4.00, sponsor 4.00, top 4.00, b 0.00, a 0.00, sponsor 0.00, top 0.00"
    );
    let (cv, conversion) = (Volume::points(200), Conversion::parse("0.40").unwrap());
    assert_eq!(run.lines[0].volume, Some(PaidVolume { cv, conversion }));
    assert_eq!(run.lines[0].base, Money::parse("80").unwrap(), "the points in money");
    assert_eq!(run.lines[0].volume.unwrap().to_string(), "200 CV x 0.4");
    let totals = &run.totals[&ComponentId::parse("c").unwrap()];
    assert_eq!(totals.pool, Money::parse("16").unwrap());
}

/// A return takes the points of its units, however much money is paid back; money for no units takes its
/// share of the points; and of nothing to earn on, nothing is left.
#[test]
fn what_comes_back_takes_its_points() {
    let (tree, plan) = (chain(&["top", "sponsor", "a", "b"]), plan(UNILEVEL));
    let of = |left: i64, net: &str, base: &str| {
        let mut order = order(&tree, &plan, "b", &[("kit", "300")]);
        points(&mut order.lines[0], "100", (left, net));
        order.lines[0].base = Money::parse(base).unwrap();
        amounts(&run(order, &tree, &plan).unwrap())
    };
    assert_eq!(of(1, "150", "150"), "b 2.00, a 2.00, sponsor 2.00, top 2.00");
    assert_eq!(of(2, "300", "75"), "b 1.00, a 1.00, sponsor 1.00, top 1.00");
    assert_eq!(of(2, "300", "0"), "");
}

/// Rounded once, of the points: 0.0125 is 0.01, but 0.13 of money at 10 % would be 0.01 and at 50 % 0.06.
#[test]
fn an_amount_is_rounded_once_and_not_through_the_money_of_the_points() {
    let tree = chain(&["top", "b"]);
    let direct = "kind = \"direct\"\ninactive_referrer = \"breakage\"\n\
                  rates_by_rank = { kit = { unranked = \"35 %\", gold = \"50 %\" } }\n";
    let plan = plan(direct);
    let mut order = order(&tree, &plan, "b", &[("kit", "300")]);
    points(&mut order.lines[0], "0.3125", (1, "300"));
    let run = run(order, &tree, &plan).unwrap();
    // 0.3125 points are 0.125 of money (0.12 rounded): 50 % of it are 0.0625, 35 % are 0.04375.
    assert_eq!(amounts(&run), "b 0.04, breakage 0.02");
    assert_eq!(run.lines[0].base, Money::parse("0.12").unwrap());
}

#[test]
fn a_differential_on_points_adds_up_to_the_highest_rate_of_them() {
    let tree = chain(&["top", "b"]);
    let plan = plan(
        "kind = \"differential\"\ninactive = \"passed_over\"\nequal_rank = \"nothing\"\n\
         starts_at = \"referrer\"\nwalk_limit = 9\nrates = { kit = { unranked = \"1 %\", gold = \"3 %\" } }\n",
    );
    let mut order = order(&tree, &plan, "b", &[("kit", "20")]);
    points(&mut order.lines[0], "1000", (1, "20"));
    // 1 % and the two that nobody has of 400.00.
    assert_eq!(amounts(&run(order, &tree, &plan).unwrap()), "b 4.00, breakage 8.00");
}
