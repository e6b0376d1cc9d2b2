use super::*;
use crate::domain::{
    close::matrix::Climb,
    money::{Currency, Rounding},
    placement::{BinaryTree, MatrixTree},
    plan::pairs::tests::{
        THREE_BY_THREE, WEAKER_LEG, binary as plan_of, matrix as matrix_of, with,
    },
};

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn euros(text: &str) -> Money {
    Money::parse(text).unwrap()
}

fn key(period: &str) -> CloseKey {
    CloseKey { plan: "p".into(), period: PeriodId::parse(period).unwrap() }
}

/// Member 0 at the top, and again as position 3 below member 1 on the left; 2 on the right.
fn tree() -> BinaryTree {
    let mut tree = BinaryTree::default();
    let top = tree.place_top(Owner(0)).unwrap();
    let left = tree.place_at(Owner(1), top, Side::Left).unwrap();
    tree.place_at(Owner(2), top, Side::Right).unwrap();
    let own = tree.place_at(Owner(0), left, Side::Left).unwrap();
    tree.place_at(Owner(3), own, Side::Left).unwrap();
    tree.place_at(Owner(4), own, Side::Right).unwrap();
    tree
}

fn volumes(points: [i32; 6]) -> Vec<Volume> {
    points.map(Volume::points).to_vec()
}

#[test]
fn a_position_with_something_in_its_legs_is_kept_and_the_next_close_opens_with_its_carry() {
    let (tree, plan) = (tree(), plan_of(WEAKER_LEG));
    let rules = Rules::new(plan, Rounding::HalfEven, eur());
    let standing = [Standing::FULL; 6];
    let close = |points, carry: &[Legs]| {
        let volume = volumes(points);
        let input =
            Input { tree: tree.columns(), volume: &volume, recent: None, standing: &standing };
        binary(&rules, &input, carry, 5).unwrap()
    };
    let first = close([0, 0, 100, 0, 30, 0], &[]);
    // Position 0 pairs 30 with 100; 1 and 3 have one leg.
    assert_eq!(first.earned[0], euros("3"));
    let kept: Vec<u32> = first.records.positions.iter().map(|r| r.position.0).collect();
    assert_eq!(kept, [0, 1, 3]);
    let carry = |placed: &Placed| {
        let mut carry = vec![Legs::ZERO; 6];
        for record in &placed.records.positions {
            carry[record.position.index()] = record.carried();
        }
        carry
    };
    let second = close([0, 0, 0, 0, 0, 40], &carry(&first));
    // Position 0 pairs 40 with the 70 that it carried, 3 pairs 30 with 40.
    let top = &second.records.positions[0];
    assert_eq!((top.opening.right, top.paid), (Volume::points(70), euros("4")));
    assert_eq!(second.earned[0], euros("7"));
    let third = close([0; 6], &carry(&second));
    // 70 - 40 and 40 - 30 wait at 0 and 3, 30 + 40 at 1.
    assert_eq!(third.records.positions.len(), 3, "kept without volume of its own");
    assert_eq!(close([0; 6], &[]).records.positions, [], "but not with nothing");
    assert_eq!(third.earned, vec![Money::ZERO; 5]);
    for record in first.records.positions.iter().chain(&second.records.positions) {
        assert_eq!(record.pool, record.paid + record.breakage + record.capped);
        for side in Side::BOTH {
            let [opening, arrived, paired, expired, flushed, carried] = record.leg(side);
            assert_eq!(opening + arrived, paired + expired + flushed + carried);
        }
    }
}

#[test]
fn what_nobody_gets_has_its_reason_and_the_caps_of_the_component_their_part() {
    let (tree, plan) =
        (tree(), plan_of(&with(WEAKER_LEG, "owner_cap = \"none\"", "owner_cap = \"6\"")));
    let rules = Rules::new(plan, Rounding::HalfEven, eur());
    let mut standing = [Standing::FULL; 6];
    let volume = volumes([0, 0, 100, 0, 50, 40]);
    let input = Input { tree: tree.columns(), volume: &volume, recent: None, standing: &standing };
    let placed = binary(&rules, &input, &[], 5).unwrap();
    // 90 with 100 is 9, 40 with 50 is 4: the owner's cap leaves 6 of 13.
    assert_eq!((placed.earned[0], placed.unearned.capped), (euros("6"), euros("7")));
    let sums: Money = placed.records.positions.iter().map(|record| record.capped).sum();
    assert_eq!(sums, euros("7"));
    standing[0] = Standing::NONE;
    let input = Input { tree: tree.columns(), volume: &volume, recent: None, standing: &standing };
    let placed = binary(&rules, &input, &[], 5).unwrap();
    assert_eq!(placed.unearned.breakage, BTreeMap::from([(Unpaid::NotActive, euros("9"))]));
    assert_eq!(placed.earned[0], euros("4"));
}

#[test]
fn orders_on_a_level_are_one_record_and_rounded_each() {
    let plan = matrix_of(THREE_BY_THREE);
    let mut tree = MatrixTree::new(3, 3, plan.spillover).unwrap();
    let top = tree.place_top(Owner(0)).unwrap();
    let below = tree.place_below(Owner(1), top).unwrap();
    let owners = [Owner(0), Owner(1)];
    let reach = [3, 0];
    let climb = Climb::new(&plan, Rounding::HalfEven, eur(), tree.parents(), &reach).unwrap();
    // 40 % of a point is 0.40, 5 % of that 0.02: 0.3 points are 0.006, a cent each.
    let third = Volume::parse("0.3").unwrap();
    let mut orders = MatrixClose::new(&plan.id, &climb);
    for position in [below, below, top] {
        orders.order(position, third);
    }
    let placed = orders.finish(&owners, 2);
    assert_eq!(placed.earned, [euros("0.02"), Money::ZERO]);
    let told = |placed: &Placed| -> Vec<(u8, Option<u32>, String, String)> {
        let levels = placed.records.levels.iter();
        levels
            .map(|l| {
                let at = l.position.map(|position| position.0);
                (l.level, at, l.paid.to_string(), l.breakage.to_string())
            })
            .collect()
    };
    let cents =
        |level, at, paid: &str, broken: &str| (level, at, paid.to_owned(), broken.to_owned());
    assert_eq!(
        told(&placed),
        [
            cents(1, None, "0.00", "0.01"),
            cents(1, Some(0), "0.02", "0.00"),
            cents(2, None, "0.00", "0.03"),
            cents(3, None, "0.00", "0.03"),
        ]
    );
    // As one line of the period 0.6 points are 0.012.
    let mut period = MatrixClose::new(&plan.id, &climb);
    period.period(&[third, third + third]).unwrap();
    let placed = period.finish(&owners, 2);
    assert_eq!(placed.earned[0], euros("0.01"));
    assert_eq!(placed.unearned.breakage[&Unpaid::EndOfUpline], euros("0.05"));
}

#[test]
fn every_record_is_a_leaf_of_its_own_close() {
    let record = CorrectionRecord {
        component: ComponentId::parse("binary").unwrap(),
        corrects: PeriodId::parse("2026-01").unwrap(),
        position: Position(3),
        owner: Owner(0),
        paid: euros("-4"),
        breakage: Money::ZERO,
        capped: euros("-1"),
        refused: None,
    };
    let records = PlacedRecords { corrections: vec![record.clone()], ..PlacedRecords::default() };
    let leaves: Vec<Digest> = records.leaves(&key("2026-03")).collect();
    assert_eq!(leaves, [record.leaf(&key("2026-03"))]);
    assert_ne!(leaves[0], record.leaf(&key("2026-04")));
}
