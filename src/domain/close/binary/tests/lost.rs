//! Returns summed up and closes computed again from where they must be, against every return by itself and
//! every close from the first on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    super::{
        lost::{Again, Kept, LegLoss, Lost, first, of_legs},
        oracle::{self, Order, World},
        unpair::{Posted, Returned, unpair},
    },
    random::{PERIODS, placed, some_world},
    *,
};
use crate::domain::placement::BinaryColumns;

/// Every return in a leg of every position above it, one by one.
fn one_by_one(tree: BinaryColumns<'_>, lost: &[Lost]) -> BTreeMap<(Position, usize), Legs> {
    let mut legs: BTreeMap<(Position, usize), Legs> = BTreeMap::new();
    for Lost { period, position, volume } in lost {
        for (above, side) in tree.upline(*position) {
            let sum = legs.entry((above, *period)).or_default();
            *sum = sum.plus(Legs::only(side, *volume));
        }
    }
    legs
}

/// The closes as the books have them: of each only what it wrote down.
struct Books<'a> {
    world: &'a World,
    tree: BinaryColumns<'a>,
    rules: Rules,
    kept: BTreeMap<(usize, usize), Kept>,
    /// What came back at each close: position, period, volume.
    takes: Vec<(usize, Lost)>,
    carry: Vec<Legs>,
}

impl Books<'_> {
    /// The close of a period, with what came back before it.
    fn close(&mut self, open: usize, back: &[Lost]) {
        self.takes.extend(back.iter().map(|lost| (open, *lost)));
        self.correct(open);
        let positions = placed(self.tree.len(), open);
        let tree = self.tree.as_of(u64::try_from(positions).unwrap());
        let own = |period: usize| {
            let mut own = vec![Volume::ZERO; positions];
            for order in self.world.orders.iter().filter(|order| order.period == period) {
                own[order.position] += Volume::from_parts(order.parts);
            }
            own
        };
        let living = usize::from(self.rules.expires_after().unwrap_or(1)) - 1;
        let mut recent = vec![Volume::ZERO; positions];
        for period in open.saturating_sub(living)..open {
            recent.iter_mut().zip(own(period)).for_each(|(sum, own)| *sum += own);
            for (_, lost) in self.takes.iter().filter(|(_, lost)| lost.period == period) {
                recent[lost.position.index()] -= lost.volume;
            }
        }
        let standing = &self.world.standing[open][..positions];
        let (volume, recent) = (own(open), Some(recent.as_slice()));
        let before = self.carry.clone();
        let input = Input { tree, volume: &volume, recent, standing };
        let closed = close(&self.rules, &input, &mut self.carry).unwrap();
        for (position, arrived) in closed.arrived.iter().enumerate() {
            let opening = before.get(position).copied().unwrap_or_default();
            if opening != Legs::ZERO || arrived != Legs::ZERO {
                let (standing, posted) = (Some(standing[position]), Posted::default());
                self.kept.insert((open, position), Kept { opening, arrived, standing, posted });
            }
        }
        for line in closed.lines {
            let (paid, breakage, capped) = (line.paid, line.breakage, line.capped);
            let kept = self.kept.get_mut(&(open, line.position.index())).unwrap();
            kept.posted = Posted { paid, breakage, capped };
        }
    }

    fn correct(&mut self, open: usize) {
        let pairs: BTreeSet<(usize, usize)> =
            self.takes.iter().map(|(at, lost)| (lost.period, *at)).collect();
        let Some(first) = first(&pairs.into_iter().collect::<Vec<_>>(), open) else { return };
        let again = Again { rules: vec![&self.rules; open], first };
        let lost = |now: bool| {
            let of = self.takes.iter().filter(|(at, _)| (*at == open) == now);
            of.map(|(_, lost)| *lost).filter(|lost| lost.period >= again.since()).collect()
        };
        let now = of_legs(self.tree, lost(true), |_| true);
        let earlier = one_by_one(self.tree, &lost(false));
        let mut posted = Vec::new();
        for owner in self.tree.owners.iter().collect::<BTreeSet<_>>() {
            let positions: Vec<usize> =
                (0..self.tree.len()).filter(|p| self.tree.owners[*p] == *owner).collect();
            let at = |p: usize| Position(u32::try_from(p).unwrap());
            let history = |p: &usize| {
                again.history(
                    |period| self.kept.get(&(period, *p)).copied(),
                    |period| earlier.get(&(at(*p), period)).copied().unwrap_or_default(),
                    |period| self.world.standing[period][*p],
                )
            };
            let histories: Vec<_> = positions.iter().map(history).collect();
            let mut returned = Vec::new();
            for LegLoss { position, period, legs } in &now {
                let index = positions.iter().position(|p| at(*p) == *position);
                returned.extend(index.into_iter().flat_map(|position| {
                    let period = period - again.first;
                    Side::BOTH.map(|side| Returned {
                        position,
                        period,
                        side,
                        volume: legs.of(side),
                    })
                }));
            }
            let unpaired = unpair(&histories, &returned).unwrap();
            for (position, legs) in positions.iter().zip(unpaired.carry) {
                if let Some(carried) = self.carry.get_mut(*position) {
                    *carried = legs;
                }
            }
            for correction in unpaired.corrections {
                let key = (correction.period + first, positions[correction.position]);
                posted.push((key, correction.difference));
            }
        }
        for (key, difference) in posted {
            let kept = self.kept.entry(key).or_default();
            kept.posted = kept.posted.plus(difference);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn summed_up_is_one_by_one(
        (world, tree) in some_world(),
        back in prop::collection::vec((any::<prop::sample::Index>(), 0..PERIODS, 1i64..50), 0..20),
        chosen in prop::collection::vec(any::<bool>(), 12),
    ) {
        let lost: Vec<Lost> = back
            .iter()
            .map(|(at, period, parts)| {
                let position = Position(u32::try_from(at.index(world.owners.len())).unwrap());
                Lost { period: *period, position, volume: Volume::from_parts(*parts) }
            })
            .collect();
        let wanted = |position: Position| chosen[position.index()];
        let mut expected = one_by_one(tree.columns(), &lost);
        expected.retain(|(position, _), _| wanted(*position));
        let found = of_legs(tree.columns(), lost, wanted);
        let found: Vec<_> = found.iter().map(|loss| ((loss.position, loss.period), loss.legs)).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    /// Returns at every close, of any earlier period: what is posted and carried in the end is what the
    /// definition gives without the volume that came back.
    #[test]
    fn closes_computed_again_from_where_they_must_be_are_closes_from_the_first_on(
        (world, tree) in some_world(),
        returns in prop::collection::vec((any::<prop::sample::Index>(), 1i64..=6, 0usize..3), 1..16),
    ) {
        prop_assume!(!world.orders.is_empty());
        let mut without = world.clone();
        let mut back: Vec<Vec<Lost>> = vec![Vec::new(); PERIODS];
        for (pick, sixths, wait) in returns {
            let index = pick.index(world.orders.len());
            let Order { period, position, parts } = world.orders[index];
            let part = (parts * sixths / 6).min(without.orders[index].parts);
            let at = period + 1 + wait;
            if at < PERIODS && part > 0 {
                without.orders[index].parts -= part;
                let position = Position(u32::try_from(position).unwrap());
                back[at].push(Lost { period, position, volume: Volume::from_parts(part) });
            }
        }
        let rules = Rules::new(world.plan.clone(), world.rounding, world.currency);
        let (kept, carry, takes) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut books = Books { world: &world, tree: tree.columns(), rules, kept, takes, carry };
        for (period, back) in back.iter().enumerate() {
            books.close(period, back);
        }
        let (earned, legacies) = oracle::close_all(&without);
        for (period, earned) in earned.iter().enumerate() {
            for (p, expected) in earned.iter().enumerate() {
                let posted = books.kept.get(&(period, p)).map(|kept| kept.posted).unwrap_or_default();
                let wanted = (expected.paid, expected.breakage, expected.capped);
                let found = (posted.paid, posted.breakage, posted.capped);
                prop_assert_eq!(found, wanted, "period {} position {}", period, p);
            }
        }
        let waits = |queue: &[(usize, i64)]| Volume::from_parts(queue.iter().map(|(_, v)| v).sum());
        for (carry, legacy) in books.carry.iter().zip(&legacies) {
            prop_assert_eq!(carry.left, waits(&legacy.queues[0]));
            prop_assert_eq!(carry.right, waits(&legacy.queues[1]));
        }
    }
}

/// A leg of ten thousand, and below its end ten thousand returns of each of two periods: one entry for each
/// position and period, where there would be two hundred million one by one.
#[test]
fn ten_thousand_returns_below_a_leg_of_ten_thousand_are_an_entry_for_each_position() {
    const DEPTH: u32 = 10_000;
    let mut tree = BinaryTree::default();
    let mut under = tree.place_top(Owner(0)).unwrap();
    for owner in 1..DEPTH {
        under = tree.place_at(Owner(owner), under, Side::Left).unwrap();
    }
    let lost = (0..2 * DEPTH).map(|number| Lost {
        period: usize::try_from(number % 2).unwrap(),
        position: under,
        volume: Volume::points(1),
    });
    let losses = of_legs(tree.columns(), lost.collect(), |_| true);
    assert_eq!(losses.len(), 2 * usize::try_from(DEPTH - 1).unwrap());
    let all = Legs::only(Side::Left, Volume::points(10_000));
    assert!(losses.iter().all(|loss| loss.legs == all));
    let wanted = of_legs(
        tree.columns(),
        vec![Lost { period: 0, position: under, volume: Volume::points(1) }],
        |position| position == Position(7),
    );
    assert_eq!(wanted.len(), 1, "of who is not asked for nothing is held");
}

#[test]
fn what_is_computed_again_begins_where_something_was_lost_or_a_later_close_had_changed_an_opening()
{
    // Nothing came back now.
    assert_eq!(first(&[(0, 1)], 2), None);
    // Of the period before; that of an older one was known when it was closed.
    assert_eq!(first(&[(8, 10), (2, 3), (0, 8)], 10), Some(8));
    // The opening of 8 was changed at 9, as something of 5 came back, and that of 5 at 6.
    assert_eq!(first(&[(8, 10), (5, 9), (4, 6), (2, 4)], 10), Some(4));
    // What comes back in the open close of several periods begins at the first of them.
    assert_eq!(first(&[(8, 10), (6, 10)], 10), Some(6));
}
