use proptest::prelude::*;

use super::*;
use crate::domain::{
    money::Rate,
    placement::{MatrixTree, Owner},
    plan::pairs::{
        MatrixLine,
        tests::{THREE_BY_THREE, matrix, with},
    },
};

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

#[test]
fn the_fourth_recruit_of_three_by_three_pays_the_first_and_the_root() {
    let plan = matrix(THREE_BY_THREE);
    let mut tree = MatrixTree::new(plan.width, plan.height, plan.spillover).unwrap();
    let root = tree.place_top(Owner(0)).unwrap();
    let recruits: Vec<Position> =
        (1..=4).map(|owner| tree.place_below(Owner(owner), root).unwrap()).collect();
    let climb = Climb::new(&plan, Rounding::HalfEven, eur(), tree.parents(), &[3; 5]).unwrap();
    let lines = climb.order(recruits[3], Volume::points(100));
    let paid: Vec<_> = lines.iter().map(|l| (l.position, l.level, l.paid, l.breakage)).collect();
    let (two, none) = (money("2"), Money::ZERO);
    assert_eq!(
        paid,
        [(Some(recruits[0]), 1, two, none), (Some(root), 2, two, none), (None, 3, none, two)]
    );
    assert_eq!(lines[2].unclaimed, Some(Unclaimed::NoUpline));
}

#[test]
fn who_is_not_active_keeps_the_level_or_is_passed_by() {
    // A line: 0, 1 (not active), 2, 3; volume at 3.
    let parents = [u32::MAX, 0, 1, 2];
    let reach = [1, 0, 3, 3];
    let lines = |compression: &str| {
        let plan = matrix(&with(THREE_BY_THREE, "compression = \"none\"", compression));
        let climb = Climb::new(&plan, Rounding::HalfEven, eur(), parents, &reach).unwrap();
        let lines = climb.order(Position(3), Volume::points(100));
        lines.iter().map(|l| (l.position.map(|p| p.0), l.unclaimed)).collect::<Vec<_>>()
    };
    assert_eq!(
        lines("compression = \"none\""),
        [(Some(2), None), (Some(1), Some(Unclaimed::Inactive)), (Some(0), Some(Unclaimed::Locked))]
    );
    assert_eq!(
        lines("compression = \"roll_up\""),
        [(Some(2), None), (Some(0), Some(Unclaimed::Locked)), (None, Some(Unclaimed::NoUpline))]
    );
}

#[test]
fn columns_of_another_tree_are_refused() {
    let plan = matrix(THREE_BY_THREE);
    let climb = |reach| Climb::new(&plan, Rounding::HalfEven, eur(), [u32::MAX, 0], reach);
    assert!(climb(&[1]).is_err());
    assert!(climb(&[1, 1]).unwrap().period(&[Volume::ZERO]).is_err());
}

/// Who takes the level, by recursion from the definition: the parent takes it, or, where compression
/// passes them by, whoever takes it from there.
fn takes(parents: &[Option<usize>], passed: &[bool], below: usize, level: u8) -> Option<usize> {
    let parent = parents[below]?;
    if passed[parent] {
        return takes(parents, passed, parent, level);
    }
    if level == 1 { Some(parent) } else { takes(parents, passed, parent, level - 1) }
}

proptest! {
    #[test]
    fn a_matrix_pays_what_the_definition_says(
        rates in prop::collection::vec(0u32..20, 1..5),
        roll_up in any::<bool>(),
        above in prop::collection::vec(any::<prop::sample::Index>(), 0..14),
        reach in prop::collection::vec(0u8..5, 15),
        orders in prop::collection::vec((any::<prop::sample::Index>(), -9_000i64..90_000), 0..20),
        rounding in prop::sample::select(Rounding::ALL.to_vec()),
    ) {
        let mut plan = matrix(THREE_BY_THREE);
        plan.rates = rates.iter().map(|r| Rate::parse(&format!("{r} %")).unwrap()).collect();
        plan.height = u8::try_from(rates.len()).unwrap();
        plan.line = MatrixLine::Period;
        if roll_up {
            plan.compression = MatrixCompression::RollUp;
        }
        plan.check().unwrap();
        let mut parents: Vec<Option<usize>> = vec![None];
        for pick in above {
            parents.push(Some(pick.index(parents.len())));
        }
        let reach: Vec<u8> = reach[..parents.len()].iter().map(|r| (*r).min(plan.height)).collect();
        let passed: Vec<bool> = reach.iter().map(|r| roll_up && *r == 0).collect();
        let column = parents.iter().map(|p| p.map_or(u32::MAX, |p| u32::try_from(p).unwrap()));
        let climb = Climb::new(&plan, rounding, eur(), column, &reach).unwrap();

        // By period: for each position and level the volume of all whose level it takes.
        let mut volume = vec![Volume::ZERO; parents.len()];
        for (pick, parts) in &orders {
            volume[pick.index(parents.len())] += Volume::from_parts(*parts);
        }
        let mut expected = Vec::new();
        for level in 1..=plan.height {
            let earners = (0..parents.len()).map(Some).chain([None]);
            for earner in earners {
                let sum: Volume = (0..parents.len())
                    .filter(|below| takes(&parents, &passed, *below, level) == earner)
                    .map(|below| volume[below])
                    .sum();
                let may = earner.is_some_and(|e| reach[e] >= level);
                let rate = plan.rates[usize::from(level) - 1];
                let amount = sum.earning(plan.conversion, rate, rounding, eur());
                let (paid, kept) = if may { (amount, Money::ZERO) } else { (Money::ZERO, amount) };
                if sum != Volume::ZERO {
                    expected.push((earner, level, sum, paid, kept));
                }
            }
        }
        let found = climb.period(&volume).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|l| (l.position.map(Position::index), l.level, l.volume, l.paid, l.breakage))
            .collect();
        prop_assert_eq!(found, expected);

        // By order: each level by itself, and the pool is all of it, taken or not.
        for (pick, parts) in &orders {
            let (below, volume) = (pick.index(parents.len()), Volume::from_parts(*parts));
            let lines = climb.order(Position(u32::try_from(below).unwrap()), volume);
            prop_assert_eq!(lines.len(), rates.len());
            for (line, rate) in lines.iter().zip(&plan.rates) {
                let earner = takes(&parents, &passed, below, line.level);
                prop_assert_eq!(line.position.map(Position::index), earner);
                let amount = volume.earning(plan.conversion, *rate, rounding, eur());
                prop_assert_eq!(line.paid + line.breakage, amount);
                let may = earner.is_some_and(|e| reach[e] >= line.level);
                prop_assert_eq!(line.unclaimed.is_none(), may);
                let owed = if may { line.breakage } else { line.paid };
                prop_assert!(owed.is_zero());
            }
            let back = climb.order(Position(u32::try_from(below).unwrap()), -volume);
            for (line, back) in lines.iter().zip(back) {
                prop_assert_eq!(line.paid + back.paid, Money::ZERO);
                prop_assert_eq!(line.breakage + back.breakage, Money::ZERO);
            }
        }
    }
}
