//! The fast engine against the naive one, over random companies.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{
        oracle::{self, Earned, Order, World},
        trace::{Fate, Journal, Lot, Ordered, lots},
        unpair::{History, Past, Posted, Returned, unpair},
    },
    *,
};
use crate::domain::{
    id::{ComponentId, TreeId},
    money::Rate,
    placement::{BinaryColumns, BinaryTree},
    plan::pairs::{
        Base, Binary, Cap, Carry, Consumes, Limit, Matching, Periods, Qualification, Ratio, Tier,
        TierSpan, Unqualified,
    },
    plan::volume::Measure,
    volume::Conversion,
};

pub(super) const PERIODS: usize = 5;

fn limit<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Limit<T>> {
    prop_oneof![Just(None), value.prop_map(Some)]
        .prop_map(|value| value.map_or(Limit::None, Limit::At))
}

/// So many minor units.
fn units(currency: Currency, number: u32) -> Money {
    currency.minor_unit().times(number.into())
}

fn some_money(currency: Currency) -> impl Strategy<Value = Money> {
    (1u32..3_000).prop_map(move |number| units(currency, number))
}

/// Low, so that owners with several positions often reach it.
fn some_owner_cap(currency: Currency) -> impl Strategy<Value = Money> {
    (1u32..400).prop_map(move |number| units(currency, number))
}

fn some_volume(most: i64) -> impl Strategy<Value = Volume> {
    (1..=most).prop_map(Volume::from_parts)
}

fn some_rate() -> impl Strategy<Value = Rate> {
    prop::sample::select(vec!["7 %", "10 %", "33.33 %", "60 %", "100 %"])
        .prop_map(|text| Rate::parse(text).unwrap())
}

/// A point is about as many minor units in every currency.
fn some_matching(currency: Currency) -> impl Strategy<Value = Matching> {
    let conversions = match currency.minor_digits() {
        0 => ["10000", "500000", "123450"],
        3 => ["10", "500", "123.45"],
        _ => ["100", "5000", "1234.5"],
    };
    (
        prop::sample::select(conversions.to_vec()),
        prop::sample::select(vec![Ratio::OneToOne, Ratio::OneToTwo, Ratio::OneThirdTwoThirds]),
        prop::sample::select(vec![Base::Weaker, Base::Both]),
        limit(some_volume(20)),
        some_rate(),
        prop::sample::select(vec![Consumes::Matched, Consumes::Payable]),
    )
        .prop_map(|(conversion, ratio, base, lot, share, consumes)| {
            let conversion = Conversion::parse(conversion).unwrap();
            Matching { conversion, ratio, base, lot, share, consumes }
        })
}

fn some_pays(currency: Currency) -> impl Strategy<Value = Pays> {
    let percentage = (some_matching(currency), some_rate())
        .prop_map(|(matching, rate)| Pays::Percentage { matching, rate });
    let span = prop::sample::select(vec![TierSpan::Whole, TierSpan::Slices]);
    let tiers = prop::collection::btree_map(0i64..150, some_rate(), 1..4).prop_map(|tiers| {
        let mut rates: Vec<Rate> = tiers.values().copied().collect();
        rates.sort();
        let tiers = tiers.into_keys().zip(rates);
        tiers.map(|(from, rate)| Tier { from: Volume::from_parts(from), rate }).collect::<Vec<_>>()
    });
    let tiers = (some_matching(currency), span, tiers)
        .prop_map(|(matching, span, tiers)| Pays::Tiers { matching, span, tiers });
    let cycles =
        (some_volume(30), 0i64..30, some_money(currency)).prop_map(|(weaker, more, amount)| {
            Pays::Cycles { weaker, stronger: weaker + Volume::from_parts(more), amount }
        });
    prop_oneof![percentage, tiers, cycles]
}

fn some_plan(currency: Currency) -> impl Strategy<Value = Binary> {
    let forward = (limit(some_volume(80)), limit((1u16..4).prop_map(Periods)))
        .prop_map(|(cap, expires_after)| Carry::Forward { cap, expires_after });
    let carry = prop_oneof![4 => forward, 1 => Just(Carry::Flush {})];
    let cap = prop_oneof![
        Just(Cap::None {}),
        some_money(currency).prop_map(|limit| Cap::PayCap { limit }),
        some_money(currency).prop_map(|limit| Cap::VolumeCap { limit }),
        some_money(currency).prop_map(|limit| Cap::FlushOnCap { limit }),
    ];
    let qualification =
        (any::<bool>(), any::<bool>()).prop_map(|(own_active, enrolled_each_side)| Qualification {
            own_active,
            enrolled_each_side,
        });
    let unqualified =
        prop::sample::select(vec![Unqualified::Breakage, Unqualified::Hold, Unqualified::Flush]);
    (some_pays(currency), carry, cap, limit(some_owner_cap(currency)), qualification, unqualified)
        .prop_map(move |(pays, carry, cap, owner_cap, qualification, unqualified)| {
            let id = ComponentId::parse("binary").unwrap();
            let (tree, volume) = (TreeId::parse("main").unwrap(), Measure::Cv);
            let plan = Binary {
                id,
                tree,
                volume,
                pays,
                carry,
                cap,
                owner_cap,
                qualification,
                unqualified,
            };
            plan.check().unwrap();
            plan.check_amounts(currency).unwrap();
            plan
        })
}

fn some_standing() -> impl Strategy<Value = Standing> {
    let part = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(active, left, right)| {
        let mut standing = Standing::NONE;
        if active {
            standing = standing.active();
        }
        if left {
            standing = standing.enrolled(Side::Left);
        }
        if right { standing.enrolled(Side::Right) } else { standing }
    });
    prop_oneof![3 => Just(Standing::FULL), 1 => part]
}

/// How many positions are there at the end of a period: the tree grows.
pub(super) fn placed(positions: usize, period: usize) -> usize {
    (positions * (period + 1)).div_ceil(PERIODS).clamp(1, positions)
}

pub(super) fn some_world() -> impl Strategy<Value = (World, BinaryTree)> {
    let index = any::<prop::sample::Index>;
    let plan = prop::sample::select(vec!["EUR", "JPY", "KWD"]).prop_flat_map(|code| {
        let currency = Currency::parse(code).unwrap();
        (Just(currency), some_plan(currency))
    });
    (
        plan,
        prop::sample::select(Rounding::ALL.to_vec()),
        prop::collection::vec((index(), any::<bool>(), 0u32..3), 1..12),
        prop::collection::vec(prop::collection::vec(some_standing(), 12), PERIODS),
        prop::collection::vec((index(), 0..PERIODS, 1i64..70), 0..30),
    )
        .prop_map(|((currency, plan), rounding, people, mut standing, orders)| {
            let mut tree = BinaryTree::default();
            tree.place_top(Owner(0)).unwrap();
            for (under, right, owner) in people {
                let under = Position(u32::try_from(under.index(tree.len())).unwrap());
                let side = if right { Side::Right } else { Side::Left };
                tree.place_below(Owner(owner), under, side).unwrap();
            }
            let columns = tree.columns();
            let every = || (0..u32::try_from(columns.len()).unwrap()).map(Position);
            let parent = |p| columns.parent(p).map(|(parent, side)| (parent.index(), side));
            for period in &mut standing {
                period.truncate(columns.len());
            }
            let mut orders: Vec<Order> = orders
                .into_iter()
                .map(|(position, period, parts)| {
                    let position = position.index(placed(columns.len(), period));
                    Order { position, period, parts }
                })
                .collect();
            orders.sort_by_key(|order| order.period);
            let parents = every().map(parent).collect();
            let owners = columns.owners.to_vec();
            let world = World { plan, rounding, currency, parents, owners, standing, orders };
            (world, tree)
        })
}

/// The closes of the fast engine, one after the other, with all that is kept of them.
struct Books<'a> {
    world: &'a World,
    tree: BinaryColumns<'a>,
    rules: Rules,
    /// What each position brought, by period.
    own: Vec<Vec<Volume>>,
    arrived: Vec<Vec<Legs>>,
    posted: Vec<Vec<Posted>>,
    pools: Vec<Vec<Money>>,
    legs: Vec<Vec<[Leg; 2]>>,
    carry: Vec<Legs>,
}

impl<'a> Books<'a> {
    fn new(world: &'a World, tree: BinaryColumns<'a>) -> Self {
        let mut own = vec![vec![Volume::ZERO; tree.len()]; PERIODS];
        for order in &world.orders {
            own[order.period][order.position] += Volume::from_parts(order.parts);
        }
        let rules = Rules::new(world.plan.clone(), world.rounding, world.currency);
        let (posted, pools) = (vec![vec![Posted::default(); tree.len()]; PERIODS], Vec::new());
        let (arrived, legs) = (Vec::new(), Vec::new());
        Self { world, tree, rules, own, arrived, posted, pools, legs, carry: Vec::new() }
    }

    fn recent(&self, period: usize, positions: usize) -> Option<Vec<Volume>> {
        let living = usize::from(self.rules.expires_after()?) - 1;
        let earlier = &self.own[period.saturating_sub(living)..period];
        Some((0..positions).map(|p| earlier.iter().map(|own| own[p]).sum()).collect())
    }

    /// Closes a period and checks that no volume and no money is lost.
    fn close(&mut self, period: usize) {
        let positions = placed(self.tree.len(), period);
        let tree = self.tree.as_of(u64::try_from(positions).unwrap());
        let recent = self.recent(period, positions);
        let (volume, standing) =
            (&self.own[period][..positions], &self.world.standing[period][..positions]);
        let before: Vec<Legs> =
            (0..positions).map(|p| self.carry.get(p).copied().unwrap_or_default()).collect();
        let input = Input { tree, volume, recent: recent.as_deref(), standing };
        let closed = close(&self.rules, &input, &mut self.carry).unwrap();
        let t = closed.totals;
        assert_eq!(t.opening + t.arrived, t.paired + t.expired + t.flushed + t.carried);
        assert_eq!(t.pool, t.paid + t.breakage + t.capped);
        let mut arrived: Vec<Legs> = closed.arrived.iter().collect();
        let recent = recent.map(|recent| LegVolumes::of(tree, &recent));
        let mut legs = vec![[Leg::default(); 2]; self.tree.len()];
        for (p, legs) in legs.iter_mut().enumerate().take(positions) {
            let position = Position(u32::try_from(p).unwrap());
            let living = recent.as_ref().map_or(Legs::ZERO, |recent| recent.legs(position));
            let settled = self.rules.settle(before[p], arrived[p], living, standing[p]);
            for side in Side::BOTH {
                let leg = settled.leg(side);
                let out = leg.paired + leg.expired + leg.flushed + leg.carried;
                assert_eq!(before[p].plus(arrived[p]).of(side), out);
                assert!(
                    [leg.paired, leg.expired, leg.flushed, leg.carried]
                        .iter()
                        .all(|v| *v >= Volume::ZERO)
                );
            }
            assert_eq!(settled.carried(), self.carry[p], "{settled:?}");
            assert_eq!(settled.unpaid.is_none(), settled.paid.is_positive());
            *legs = [settled.left, settled.right];
        }
        let mut pools = vec![Money::ZERO; self.tree.len()];
        for line in closed.lines {
            assert_eq!(line.pool, line.paid + line.breakage + line.capped);
            assert!(!line.paid.is_negative() && !line.capped.is_negative());
            assert_eq!(line.unpaid.is_none(), line.paid.is_positive());
            let (paid, breakage, capped) = (line.paid, line.breakage, line.capped);
            self.posted[period][line.position.index()] = Posted { paid, breakage, capped };
            pools[line.position.index()] = line.pool;
        }
        arrived.resize(self.tree.len(), Legs::ZERO);
        self.arrived.push(arrived);
        self.legs.push(legs);
        self.pools.push(pools);
    }

    /// Takes back part of an order after the close of `now`.
    fn take_back(&mut self, order: Order, volume: Volume, now: usize) {
        let position = Position(u32::try_from(order.position).unwrap());
        let mut by_owner: BTreeMap<u32, Vec<(Position, Side)>> = BTreeMap::new();
        for (above, side) in self.tree.upline(position) {
            by_owner.entry(self.tree.owner(above).unwrap().0).or_default().push((above, side));
        }
        for (owner, above) in by_owner {
            let own: Vec<usize> =
                (0..self.tree.len()).filter(|p| self.tree.owners[*p] == owner).collect();
            let history = |p: &usize| History {
                opening: Legs::ZERO,
                before: Vec::new(),
                periods: (0..=now)
                    .map(|period| Past {
                        rules: &self.rules,
                        arrived: self.arrived[period][*p],
                        standing: self.world.standing[period][*p],
                        posted: self.posted[period][*p],
                    })
                    .collect(),
            };
            let histories: Vec<History<'_>> = own.iter().map(history).collect();
            let returned: Vec<Returned> = above
                .iter()
                .map(|(above, side)| Returned {
                    position: own.iter().position(|p| *p == above.index()).unwrap(),
                    period: order.period,
                    side: *side,
                    volume,
                })
                .collect();
            let done = unpair(&histories, &returned).unwrap();
            let mut sums: BTreeMap<(usize, usize), Posted> = BTreeMap::new();
            for correction in &done.corrections {
                let sum = sums.entry((correction.period, correction.position)).or_default();
                sum.paid += correction.difference.paid;
                sum.breakage += correction.difference.breakage;
                sum.capped += correction.difference.capped;
            }
            for ((period, index), difference) in sums {
                let posted = &mut self.posted[period][own[index]];
                posted.paid += difference.paid;
                posted.breakage += difference.breakage;
                posted.capped += difference.capped;
            }
            for (index, carry) in done.carry.iter().enumerate() {
                if let Some(carried) = self.carry.get_mut(own[index]) {
                    *carried = *carry;
                }
            }
            for (above, side) in above {
                let legs = &mut self.arrived[order.period][above.index()];
                *legs = legs.minus(Legs::only(side, volume));
            }
        }
        self.own[order.period][order.position] -= volume;
    }
}

/// A return of an order: which, how much of it in sixths, how many closes later.
type SomeReturn = (prop::sample::Index, i64, usize);

fn some_returns() -> impl Strategy<Value = Vec<SomeReturn>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1i64..=6, 0..PERIODS), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_close_is_what_the_definition_says((world, tree) in some_world()) {
        let mut books = Books::new(&world, tree.columns());
        (0..PERIODS).for_each(|period| books.close(period));
        let (earned, legacies) = oracle::close_all(&world);
        for (period, earned) in earned.iter().enumerate() {
            for (p, expected) in earned.iter().enumerate() {
                let Posted { paid, breakage, capped } = books.posted[period][p];
                let found = Earned { pool: books.pools[period][p], paid, breakage, capped };
                prop_assert_eq!(found, *expected, "period {} position {}", period, p);
            }
        }
        let waits = |queue: &[(usize, i64)]| Volume::from_parts(queue.iter().map(|(_, v)| v).sum());
        for (carry, legacy) in books.carry.iter().zip(&legacies) {
            prop_assert_eq!(carry.left, waits(&legacy.queues[0]));
            prop_assert_eq!(carry.right, waits(&legacy.queues[1]));
        }
    }

    #[test]
    fn every_figure_traces_to_the_orders_of_its_queue((world, tree) in some_world()) {
        let mut books = Books::new(&world, tree.columns());
        (0..PERIODS).for_each(|period| books.close(period));
        let (_, legacies) = oracle::close_all(&world);
        let spans = Spans::of(tree.columns());
        let orders = world.orders.iter().enumerate().map(|(index, order)| Ordered {
            order: index,
            position: Position(u32::try_from(order.position).unwrap()),
            period: u32::try_from(order.period).unwrap(),
            seq: u64::try_from(index).unwrap(),
            volume: Volume::from_parts(order.parts),
        });
        let journal = Journal::new(&spans, orders);
        for (p, legacy) in legacies.iter().enumerate() {
            for side in Side::BOTH {
                let s = usize::from(side.index());
                let orders = journal.leg(&spans, Position(u32::try_from(p).unwrap()), side);
                let closes: Vec<(u32, Leg)> =
                    (0..).zip(&books.legs).map(|(period, legs)| (period, legs[p][s])).collect();
                let mut expected = legacy.left[s].clone();
                expected.extend(legacy.queues[s].iter().map(|(o, v)| (*o, *v, Fate::Carried)));
                let lots = lots(&orders, &closes);
                let found: Vec<(usize, i64, Fate)> =
                    lots.iter().map(|Lot { order, volume, fate }| (*order, volume.parts(), *fate)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn an_order_that_is_returned_leaves_what_its_absence_would_have(
        (world, tree) in some_world(),
        returns in some_returns(),
    ) {
        prop_assume!(!world.orders.is_empty());
        let mut without = world.clone();
        let mut later: Vec<Vec<(Order, Volume)>> = vec![Vec::new(); PERIODS];
        for (pick, sixths, wait) in returns {
            let index = pick.index(world.orders.len());
            let order = world.orders[index];
            let part = (order.parts * sixths / 6).min(without.orders[index].parts);
            without.orders[index].parts -= part;
            let when = (order.period + wait).min(PERIODS - 1);
            later[when].push((order, Volume::from_parts(part)));
        }
        let mut books = Books::new(&world, tree.columns());
        for (period, back) in later.into_iter().enumerate() {
            books.close(period);
            for (order, volume) in back {
                books.take_back(order, volume, period);
            }
        }
        let mut clean = Books::new(&without, tree.columns());
        (0..PERIODS).for_each(|period| clean.close(period));
        prop_assert_eq!(&books.posted, &clean.posted);
        prop_assert_eq!(&books.carry, &clean.carry);
        prop_assert_eq!(&books.arrived, &clean.arrived);
    }

    #[test]
    fn a_standing_is_what_the_definition_says(
        (world, tree) in some_world(),
        sponsors in prop::collection::vec(prop::option::of(0u32..3), 3),
        active in prop::collection::vec(any::<bool>(), 3),
    ) {
        let spans = Spans::of(tree.columns());
        let column: Vec<u32> = sponsors.iter().map(|s| s.unwrap_or(u32::MAX)).collect();
        let found = standings(tree.columns(), &spans, &column, &active);
        let owner = |p: usize| usize::try_from(world.owners[p]).unwrap();
        for (position, found) in found.into_iter().enumerate() {
            let me = owner(position);
            let mut expected =
                if active[me] { Standing::NONE.active() } else { Standing::NONE };
            for below in 0..world.owners.len() {
                let them = owner(below);
                let mine = sponsors[them] == Some(world.owners[position]) && them != me;
                if let Some(side) = oracle::leg_of(&world, position, below)
                    && mine && active[them]
                {
                    expected = expected.enrolled(side);
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
