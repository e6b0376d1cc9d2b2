use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    close::matrix::Climb,
    money::Rounding,
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
fn corrections_are_counted_as_earned_and_posted_with_the_period_that_they_correct() {
    let correction = |corrects: &str, position, owner, paid: &str, broken: &str, capped: &str| {
        CorrectionRecord {
            component: ComponentId::parse("binary").unwrap(),
            corrects: PeriodId::parse(corrects).unwrap(),
            position: Position(position),
            owner: Owner(owner),
            paid: euros(paid),
            breakage: euros(broken),
            capped: euros(capped),
            refused: (broken != "0").then_some(binary::Unpaid::Inactive),
            spared: None,
        }
    };
    let mut placed = Placed::new(2);
    placed.earned[0] = euros("10");
    placed.correct(vec![
        correction("2026-01", 0, 0, "-4", "0", "-1"),
        correction("2026-01", 3, 0, "-2", "0", "0"),
        correction("2026-01", 5, 1, "0", "-3", "0"),
        correction("2026-02", 0, 0, "1", "0", "0"),
    ]);
    assert_eq!(placed.earned[0], euros("5"));
    let corrected: Money = placed.unearned.corrected.iter().map(|(_, amount)| *amount).sum();
    assert_eq!(corrected, euros("-5"));
    let name = |member| DistributorId::parse(&format!("D{member}")).ok();
    let entries = placed.records.entries(&key("2026-03"), eur(), name);
    let told: Vec<String> = entries
        .iter()
        .map(|e| format!("{} {} {}", e.to, e.amount, e.corrects.as_ref().unwrap().as_str()))
        .collect();
    assert_eq!(
        told,
        [
            "distributor:D0 -6.00 2026-01",
            "breakage -3.00 2026-01",
            "capped:binary -1.00 2026-01",
            "distributor:D0 1.00 2026-02",
        ]
    );
    let mut ids: Vec<_> = entries.iter().map(|entry| entry.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each has an identity of its own");
    let leaves: Vec<Digest> = placed.records.leaves(&key("2026-03")).collect();
    assert_eq!(leaves.len(), 4);
    assert_ne!(leaves[0], placed.records.corrections[0].leaf(&key("2026-04")));
}

proptest! {
    /// The cap has what it would have, were it applied to what is earned after the correction: nobody gives
    /// back what they never got, and nothing is lost.
    #[test]
    fn a_cap_gives_back_what_it_took_before_the_owner_does(
        earned in 0i64..1_000,
        limit in 0i64..1_000,
        changes in prop::collection::vec(-400i64..200, 1..4),
    ) {
        let cents = |amount: i64| Money::from_decimal(Decimal::new(amount, 2)).unwrap();
        let change = changes.iter().sum::<i64>().max(-earned);
        let mut left = change;
        let mut records: Vec<CorrectionRecord> = changes
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let part = if index + 1 == changes.len() { left } else { *part };
                left -= part;
                CorrectionRecord {
                    component: ComponentId::parse("binary").unwrap(),
                    corrects: PeriodId::parse("2026-01").unwrap(),
                    position: Position(u32::try_from(index).unwrap()),
                    owner: Owner(0),
                    paid: cents(part),
                    breakage: Money::ZERO,
                    capped: Money::ZERO,
                    refused: None,
                    spared: None,
                }
            })
            .collect();
        let got = earned.min(limit);
        let cap = ComponentId::parse("most").unwrap();
        spare(&mut records.iter_mut().collect::<Vec<_>>(), &cap, cents(earned - got));
        let to_owner: Money = records.iter().map(CorrectionRecord::to_owner).sum();
        if earned > limit || change <= 0 {
            prop_assert_eq!(cents(got) + to_owner, cents((earned + change).min(limit)));
        }
        let placed = PlacedRecords { corrections: records, ..PlacedRecords::default() };
        let name = |_| DistributorId::parse("D0").ok();
        let entries = placed.entries(&key("2026-02"), eur(), name);
        prop_assert_eq!(entries.iter().map(|entry| entry.amount).sum::<Money>(), cents(change));
    }
}
