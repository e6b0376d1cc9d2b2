use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    digest::Digest,
    id::{DistributorId, PositionId},
};

/// A binary as one would draw it: the children of each position by side.
#[derive(Default)]
struct Drawn(BTreeMap<(Position, Side), Position>);

impl Drawn {
    fn outer_end(&self, mut at: Position, side: Side) -> Position {
        while let Some(child) = self.0.get(&(at, side)) {
            at = *child;
        }
        at
    }

    fn leg(&self, of: Position, side: Side) -> Vec<Position> {
        let Some(child) = self.0.get(&(of, side)) else { return Vec::new() };
        let mut all = vec![*child];
        all.extend(self.leg(*child, Side::Left));
        all.extend(self.leg(*child, Side::Right));
        all
    }
}

fn side(right: bool) -> Side {
    if right { Side::Right } else { Side::Left }
}

proptest! {
    #[test]
    fn spilling_ends_at_the_outer_end_and_a_taken_place_is_refused(
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..80),
    ) {
        let (mut tree, mut drawn) = (BinaryTree::default(), Drawn::default());
        tree.place_top(Owner(0)).unwrap();
        for (pick, right, spill) in steps {
            let under = Position(u32::try_from(pick.index(tree.len())).unwrap());
            let (side, owner) = (side(right), Owner(7));
            prop_assert_eq!(tree.outer_end(under, side).unwrap(), drawn.outer_end(under, side));
            let parent = if spill { drawn.outer_end(under, side) } else { under };
            let placed = if spill {
                tree.place_below(owner, under, side)
            } else {
                tree.place_at(owner, under, side)
            };
            if drawn.0.contains_key(&(parent, side)) {
                prop_assert_eq!(placed, Err(PlacementError::Taken { parent, side: side.index() }));
                continue;
            }
            let placed = placed.unwrap();
            drawn.0.insert((parent, side), placed);
            prop_assert_eq!(tree.columns().parent(placed), Some((parent, side)));
        }
        let spans = Spans::of(tree.columns());
        for position in (0..u32::try_from(tree.len()).unwrap()).map(Position) {
            for side in Side::BOTH {
                let leg = drawn.leg(position, side);
                let starts: Vec<u32> = leg.iter().map(|p| spans.start(*p).unwrap()).collect();
                prop_assert_eq!(spans.leg(position, side).collect::<Vec<_>>(), starts);
                for below in leg {
                    prop_assert_eq!(spans.side_of(position, below), Some(side));
                    let above = tree.columns().upline(below).find(|(above, _)| *above == position);
                    prop_assert_eq!(above, Some((position, side)));
                }
            }
            prop_assert_eq!(spans.side_of(position, position), None);
        }
    }

    #[test]
    fn a_matrix_fills_the_nearest_free_place_from_the_left(
        width in 2u8..5,
        sponsors in prop::collection::vec(any::<prop::sample::Index>(), 1..120),
    ) {
        let mut tree = MatrixTree::new(width, 3, Spill::BreadthFirst).unwrap();
        let mut children: Vec<Vec<usize>> = vec![Vec::new()];
        tree.place_top(Owner(0)).unwrap();
        for pick in sponsors {
            let under = pick.index(children.len());
            // Level by level, left to right, as the definition says.
            let mut queue = VecDeque::from([under]);
            let parent = loop {
                let at = queue.pop_front().unwrap();
                if children[at].len() < usize::from(width) {
                    break at;
                }
                queue.extend(&children[at]);
            };
            let position = Position(u32::try_from(under).unwrap());
            let placed = tree.place_below(Owner(1), position).unwrap();
            prop_assert_eq!(tree.parent(placed).unwrap().index(), parent);
            children[parent].push(placed.index());
            children.push(Vec::new());
        }
    }

    #[test]
    fn the_weakest_leg_is_the_one_with_the_fewest_positions_down_to_the_height(
        width in 2u8..4,
        sponsors in prop::collection::vec(any::<prop::sample::Index>(), 1..100),
    ) {
        fn below(children: &[Vec<usize>], at: usize, height: u8) -> usize {
            let next = |child: &usize| 1 + below(children, *child, height - 1);
            if height == 0 { 0 } else { children[at].iter().map(next).sum() }
        }
        let mut tree = MatrixTree::new(width, 2, Spill::WeakestLeg).unwrap();
        let mut children: Vec<Vec<usize>> = vec![Vec::new()];
        tree.place_top(Owner(0)).unwrap();
        for pick in sponsors {
            let under = pick.index(children.len());
            let mut parent = under;
            while children[parent].len() == usize::from(width) {
                parent = *children[parent].iter().min_by_key(|c| below(&children, **c, 2)).unwrap();
            }
            let position = Position(u32::try_from(under).unwrap());
            let placed = tree.place_below(Owner(1), position).unwrap();
            prop_assert_eq!(tree.parent(placed).unwrap().index(), parent);
            children[parent].push(placed.index());
            children.push(Vec::new());
        }
    }
}

#[test]
fn the_fourth_recruit_of_a_matrix_of_three_spills_under_the_first() {
    let mut tree = MatrixTree::new(3, 3, Spill::BreadthFirst).unwrap();
    let root = tree.place_top(Owner(0)).unwrap();
    let recruits: Vec<Position> =
        (1..=4).map(|owner| tree.place_below(Owner(owner), root).unwrap()).collect();
    let parents: Vec<_> = recruits.iter().map(|r| tree.parent(*r).unwrap()).collect();
    assert_eq!(parents, [root, root, root, recruits[0]]);
}

#[test]
fn a_full_matrix_has_as_many_positions_as_the_field_says() {
    assert_eq!((capacity(3, 7), capacity(2, 12), capacity(3, 10)), (3_279, 8_190, 88_572));
    let mut tree = MatrixTree::new(3, 7, Spill::BreadthFirst).unwrap();
    let root = tree.place_top(Owner(0)).unwrap();
    let depth =
        |tree: &MatrixTree, p| std::iter::successors(tree.parent(p), |p| tree.parent(*p)).count();
    for owner in 1..=3_279 {
        let placed = tree.place_below(Owner(owner), root).unwrap();
        assert!(depth(&tree, placed) <= 7);
    }
    let beyond = tree.place_below(Owner(9), root).unwrap();
    assert_eq!(depth(&tree, beyond), 8);
}

#[test]
fn a_matrix_wants_a_shape_and_is_filled_from_the_left() {
    assert!(matches!(
        MatrixTree::new(1, 3, Spill::BreadthFirst),
        Err(PlacementError::Shape { .. })
    ));
    let mut tree = MatrixTree::new(2, 3, Spill::BreadthFirst).unwrap();
    assert_eq!(tree.place_at(Owner(0), Position(0), 0), Err(PlacementError::Unknown(Position(0))));
    let parent = tree.place_top(Owner(0)).unwrap();
    assert_eq!(tree.place_top(Owner(0)), Err(PlacementError::Top));
    assert_eq!(
        tree.place_at(Owner(1), parent, 1),
        Err(PlacementError::NoPlace { parent, side: 1 })
    );
    tree.place_at(Owner(1), parent, 0).unwrap();
    assert_eq!(tree.place_at(Owner(2), parent, 0), Err(PlacementError::Taken { parent, side: 0 }));
    tree.place_at(Owner(2), parent, 1).unwrap();
    assert_eq!(
        tree.place_at(Owner(3), parent, 2),
        Err(PlacementError::NoPlace { parent, side: 2 })
    );
}

#[test]
fn components_share_a_tree_that_grows_in_one_way() {
    let matrix = |width, height, spill| Shape::Matrix { width, height, spill };
    let (nearest, weakest) = (Spill::BreadthFirst, Spill::WeakestLeg);
    assert!(Shape::Binary.grows_as(Shape::Binary));
    assert!(!Shape::Binary.grows_as(matrix(2, 3, nearest)));
    assert!(matrix(2, 3, nearest).grows_as(matrix(2, 7, nearest)));
    assert!(!matrix(2, 3, nearest).grows_as(matrix(3, 3, nearest)));
    assert!(!matrix(2, 3, nearest).grows_as(matrix(2, 3, weakest)));
    // Legs are counted down to the height.
    assert!(!matrix(2, 3, weakest).grows_as(matrix(2, 7, weakest)));
    assert_eq!(Shape::Binary.side("right"), Some(1));
    assert_eq!(
        (matrix(3, 3, nearest).side("right"), matrix(3, 3, nearest).side("2")),
        (None, Some(2))
    );
    assert_eq!(matrix(3, 3, nearest).side("3"), None);
}

#[test]
fn the_tree_of_an_earlier_event_is_the_beginning_of_the_columns() {
    let mut tree = BinaryTree::default();
    let root = tree.place_top(Owner(4)).unwrap();
    tree.place_below(Owner(5), root, Side::Right).unwrap();
    let early = tree.columns().as_of(1);
    assert_eq!(
        (early.len(), early.owner(root), early.owner(Position(1))),
        (1, Some(Owner(4)), None)
    );
    assert_eq!(tree.columns().as_of(99).len(), 2);
}

#[test]
fn an_event_that_does_not_follow_or_was_altered_places_nobody() {
    let mut placed = Chained::new(BinaryTree::default());
    let spot = |name: &str, below, second| Spot {
        name: PositionId::parse(name).unwrap(),
        owner: DistributorId::parse(name).unwrap(),
        below,
        placed_at: Timestamp::from_second(second).unwrap(),
    };
    let top = placed.next(spot("A", None, 7), Timestamp::UNIX_EPOCH);
    placed.apply(&top, Owner(0)).unwrap();
    let next = placed.next(spot("B", Some((Position(0), 1)), 7), Timestamp::UNIX_EPOCH);
    assert_eq!(placed.apply(&top, Owner(0)), Err(PlacementError::Sequence { last: 1, found: 1 }));
    let altered = Placed { spot: spot("B", Some((Position(0), 0)), 7), ..next.clone() };
    assert_eq!(placed.apply(&altered, Owner(1)), Err(PlacementError::Hash(2)));
    for spot in [spot("C", Some((Position(0), 1)), 7), spot("B", Some((Position(0), 1)), 8)] {
        let altered = Placed { spot, ..next.clone() };
        assert_eq!(placed.apply(&altered, Owner(1)), Err(PlacementError::Hash(2)));
    }
    let mut elsewhere = Placed { position: Position(5), ..next.clone() };
    elsewhere.hash = elsewhere.chained(&placed.version().hash);
    assert!(matches!(
        placed.apply(&elsewhere, Owner(1)),
        Err(PlacementError::Numbering { seq: 2, found: Position(5), next: Position(1) })
    ));
    let third = placed.next(spot("B", Some((Position(0), 2)), 7), Timestamp::UNIX_EPOCH);
    assert!(matches!(placed.apply(&third, Owner(1)), Err(PlacementError::NoPlace { side: 2, .. })));
    let early = placed.next(spot("B", Some((Position(0), 1)), 6), Timestamp::UNIX_EPOCH);
    assert!(matches!(placed.apply(&early, Owner(1)), Err(PlacementError::Before { seq: 2, .. })));
    assert_eq!(placed.apply(&next, Owner(1)), Ok(Position(1)));
    assert_eq!((placed.version().seq, placed.tree().len()), (2, 2));
    assert_ne!(placed.version().hash, Digest::ZERO);
}
