//! The worked numbers of the field, one by one.

use super::*;
use crate::domain::{
    money::{Currency, Rounding},
    placement::{BinaryTree, Owner, Position, Spans},
    plan::pairs::{
        Pays,
        tests::{WEAKER_LEG, binary, with},
    },
};

mod lost;
mod random;

pub(super) fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

pub(super) fn rules(text: &str) -> Rules {
    Rules::new(binary(text), Rounding::HalfEven, eur())
}

fn points(left: i32, right: i32) -> Legs {
    Legs { left: Volume::points(left), right: Volume::points(right) }
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// Closes one period of a position that may earn, without anything carried.
fn settle(text: &str, left: i32, right: i32) -> Settled {
    rules(text).settle(Legs::ZERO, points(left, right), Legs::ZERO, Standing::FULL)
}

fn paid_and_carried(text: &str, left: i32, right: i32) -> (Money, Legs) {
    let settled = settle(text, left, right);
    (settled.paid, settled.carried())
}

fn capped(semantics: &str) -> String {
    let cap = format!("semantics = \"{semantics}\", limit = \"500\"");
    with(WEAKER_LEG, "semantics = \"none\"", &cap)
}

fn matching(piece: &str, other: &str) -> String {
    with(WEAKER_LEG, piece, other)
}

fn pays(other: &str) -> String {
    let line = WEAKER_LEG.lines().find(|line| line.contains("pays =")).unwrap();
    with(WEAKER_LEG, line, other)
}

/// Closes two periods of the top of a tree of three.
fn two_periods(text: &str) -> Vec<(Money, Legs)> {
    let mut tree = BinaryTree::default();
    let top = tree.place_top(Owner(0)).unwrap();
    tree.place_at(Owner(1), top, Side::Left).unwrap();
    tree.place_at(Owner(2), top, Side::Right).unwrap();
    let (rules, mut carry) = (rules(text), Vec::new());
    let periods = [[0, 200, 500], [0, 400, 100]].map(|volumes| volumes.map(Volume::points));
    let closed = periods.iter().map(|volume| {
        let standing = [Standing::FULL; 3];
        let input = Input { tree: tree.columns(), volume, recent: None, standing: &standing };
        let closed = close(&rules, &input, &mut carry).unwrap();
        (closed.totals.paid, carry[0])
    });
    closed.collect()
}

#[test]
fn ten_percent_of_the_weaker_leg_carried_forward() {
    let periods = two_periods(WEAKER_LEG);
    assert_eq!(periods, [(money("20"), points(0, 300)), (money("40"), Legs::ZERO)]);
}

#[test]
fn ten_percent_of_the_weaker_leg_with_a_full_flush() {
    let forward = "{ policy = \"forward\", cap = \"none\", expires_after = \"none\" }";
    let periods = two_periods(&with(WEAKER_LEG, forward, "{ policy = \"flush\" }"));
    assert_eq!(periods, [(money("20"), Legs::ZERO), (money("10"), Legs::ZERO)]);
}

#[test]
fn a_volume_ratio_of_three_fifths_pays_on_1800_of_3000() {
    let plan = matching("share = \"100 %\"", "share = \"0.6\"");
    assert_eq!(paid_and_carried(&plan, 3_000, 5_000), (money("180"), points(0, 2_000)));
    let payable = with(&plan, "\"matched\"", "\"payable\"");
    assert_eq!(paid_and_carried(&payable, 3_000, 5_000), (money("180"), points(1_200, 3_200)));
}

#[test]
fn lots_of_100_pair_once_of_250_and_120() {
    let plan = matching("lot = \"none\"", "lot = \"100\"");
    assert_eq!(paid_and_carried(&plan, 250, 120), (money("10"), points(150, 20)));
    assert_eq!(settle(&plan, 250, 99).unpaid, Some(Unpaid::BelowOnePair));
}

#[test]
fn the_three_meanings_of_a_cap_of_500_on_8000_and_12000() {
    let [pay, volume, flush] =
        ["pay_cap", "volume_cap", "flush_on_cap"].map(|cap| settle(&capped(cap), 8_000, 12_000));
    for settled in [pay, volume, flush] {
        assert_eq!(settled.paid, money("500"));
    }
    assert_eq!(
        (pay.carried(), pay.pool, pay.capped),
        (points(0, 4_000), money("800"), money("300"))
    );
    assert_eq!((volume.carried(), volume.pool), (points(3_000, 7_000), money("500")));
    assert_eq!((volume.paired(), volume.capped), (points(5_000, 5_000), Money::ZERO));
    assert_eq!((flush.carried(), flush.capped), (Legs::ZERO, money("300")));
    assert_eq!(flush.right.flushed, Volume::points(4_000));
    let below = settle(&capped("flush_on_cap"), 5_000, 6_000);
    assert_eq!((below.paid, below.carried()), (money("500"), points(0, 1_000)));
    // Of a position that may not earn the cap cuts nothing off that somebody would get.
    let flush = rules(&capped("flush_on_cap"));
    let legs = points(8_000, 12_000);
    let refused = flush.settle(Legs::ZERO, legs, Legs::ZERO, Standing::NONE);
    assert_eq!((refused.paid, refused.carried()), (Money::ZERO, points(0, 4_000)));
}

#[test]
fn a_point_with_two_pairs_exactly_and_one_third_two_thirds_as_much_as_there_is() {
    let ratio = |ratio| matching("one_to_one", ratio);
    assert_eq!(paid_and_carried(&ratio("one_to_two"), 300, 300), (money("15"), points(150, 0)));
    assert_eq!(paid_and_carried(&ratio("one_to_two"), 700, 300), (money("30"), points(100, 0)));
    let thirds = ratio("one_third_two_thirds");
    assert_eq!(paid_and_carried(&thirds, 300, 300), (money("30"), Legs::ZERO));
    assert_eq!(paid_and_carried(&thirds, 200, 900), (money("20"), points(0, 500)));
    let both = with(&thirds, "\"weaker\"", "\"both\"");
    assert_eq!(paid_and_carried(&both, 200, 900).0, money("60"));
}

#[test]
fn a_cycle_pays_a_fixed_amount_whichever_leg_is_weaker() {
    let cycle =
        pays("pays = { kind = \"cycles\", weaker = \"300\", stronger = \"600\", amount = \"35\" }");
    assert_eq!(paid_and_carried(&cycle, 700, 1_500), (money("70"), points(100, 300)));
    assert_eq!(paid_and_carried(&cycle, 1_500, 700), (money("70"), points(300, 100)));
    let capped = with(&cycle, "semantics = \"none\"", "semantics = \"volume_cap\", limit = \"60\"");
    assert_eq!(paid_and_carried(&capped, 700, 1_500), (money("35"), points(400, 900)));
    let none = with(&cycle, "semantics = \"none\"", "semantics = \"volume_cap\", limit = \"30\"");
    assert_eq!(settle(&none, 700, 1_500).unpaid, Some(Unpaid::Cap));
}

#[test]
fn a_ladder_of_tiers_pays_on_the_whole_or_by_slices() {
    let tiers = |span| {
        pays(&format!(
            "pays = {{ kind = \"tiers\", span = \"{span}\", \
             tiers = [{{ from = \"100\", rate = \"5 %\" }}, {{ from = \"1000\", rate = \"10 %\" }}], \
             matching = {{ conversion = \"1\", ratio = \"one_to_one\", base = \"weaker\", lot = \"none\", share = \"100 %\", consumes = \"matched\" }} }}"
        ))
    };
    let paid = |span, volume| settle(&tiers(span), volume, volume).paid;
    assert_eq!([99, 100, 999].map(|v| paid("whole", v)), ["0", "5", "49.95"].map(money));
    assert_eq!([1_000, 2_000].map(|v| paid("whole", v)), ["100", "200"].map(money));
    assert_eq!([99, 200, 2_000].map(|v| paid("slices", v)), ["0", "5", "145"].map(money));
    assert_eq!(settle(&tiers("whole"), 99, 99).unpaid, Some(Unpaid::BelowOneUnit));
}

#[test]
fn volume_expires_after_its_closes_and_the_oldest_is_paired_first() {
    let plan = rules(&matching("expires_after = \"none\"", "expires_after = \"1\""));
    let first = plan.settle(Legs::ZERO, points(500, 100), Legs::ZERO, Standing::FULL);
    assert_eq!(first.carried(), points(400, 0));
    // Of the 400 of the first period 150 find a partner now, 250 are too old afterwards.
    let second = plan.settle(first.carried(), points(30, 150), Legs::ZERO, Standing::FULL);
    assert_eq!(second.left.expired, Volume::points(250));
    assert_eq!((second.paid, second.carried()), (money("15"), points(30, 0)));
}

#[test]
fn a_leg_carries_at_most_its_cap() {
    let plan = matching("cap = \"none\", exp", "cap = \"250\", exp");
    let settled = settle(&plan, 100, 500);
    assert_eq!((settled.carried(), settled.right.flushed), (points(0, 250), Volume::points(150)));
}

#[test]
fn who_may_not_earn_breaks_holds_or_flushes() {
    let close = |word: &str| {
        let plan =
            with(WEAKER_LEG, "unqualified = \"breakage\"", &format!("unqualified = \"{word}\""));
        let settled = rules(&plan).settle(Legs::ZERO, points(200, 500), Legs::ZERO, Standing::NONE);
        assert_eq!((settled.paid, settled.unpaid), (Money::ZERO, Some(Unpaid::Inactive)));
        (settled.breakage, settled.carried(), settled.right.flushed)
    };
    let nothing = Volume::ZERO;
    assert_eq!(close("breakage"), (money("20"), points(0, 300), nothing));
    assert_eq!(close("hold"), (Money::ZERO, points(200, 500), nothing));
    assert_eq!(close("flush"), (Money::ZERO, Legs::ZERO, Volume::points(500)));
}

#[test]
fn every_nothing_has_its_reason() {
    let reason = |left, right| settle(WEAKER_LEG, left, right).unpaid;
    assert_eq!(reason(0, 0), Some(Unpaid::NoVolume));
    assert_eq!(reason(5, 0), Some(Unpaid::OneLegEmpty));
    assert_eq!(reason(5, 5), None);
    let plan = rules(WEAKER_LEG);
    let small = Legs { left: Volume::from_parts(100), right: Volume::from_parts(100) };
    let settled = plan.settle(Legs::ZERO, small, Legs::ZERO, Standing::FULL);
    assert_eq!((settled.unpaid, settled.carried()), (Some(Unpaid::BelowOneUnit), Legs::ZERO));
    let enrolled = rules(&matching("enrolled_each_side = false", "enrolled_each_side = true"));
    let refused = |standing| enrolled.settle(Legs::ZERO, points(1, 1), Legs::ZERO, standing).unpaid;
    let active = Standing::NONE.active();
    assert_eq!(refused(active), Some(Unpaid::NoneEnrolledLeft));
    assert_eq!(refused(active.enrolled(Side::Left)), Some(Unpaid::NoneEnrolledRight));
    assert_eq!(refused(active.enrolled(Side::Right)), Some(Unpaid::NoneEnrolledLeft));
    assert_eq!(refused(active.enrolled(Side::Right).enrolled(Side::Left)), None);
    assert_eq!(Standing::FULL, active.enrolled(Side::Right).enrolled(Side::Left));
}

#[test]
fn the_positions_of_an_owner_share_their_cap_by_largest_remainder() {
    let shares = |paid: &[&str], cap: &str| {
        let paid: Vec<Money> = paid.iter().map(|text| money(text)).collect();
        owner::shares(&paid, money(cap), eur())
    };
    assert_eq!(shares(&["60", "40"], "100"), None);
    assert_eq!(shares(&["30", "60", "60"], "100"), Some(["20", "40", "40"].map(money).to_vec()));
    let thirds = Some(["33.34", "33.33", "33.33"].map(money).to_vec());
    assert_eq!(shares(&["50", "50", "50"], "100"), thirds);
    // 3,333.33 1/3 and 33.33 1/3 have equal remainders, whatever stands before the point.
    let uneven = Some(["3333.34", "33.33", "33.33"].map(money).to_vec());
    assert_eq!(shares(&["5000", "50", "50"], "3400"), uneven);
}

#[test]
fn an_owner_with_three_positions_is_paid_their_cap_and_the_rest_is_capped() {
    let plan = with(WEAKER_LEG, "owner_cap = \"none\"", "owner_cap = \"25\"");
    let mut tree = BinaryTree::default();
    let top = tree.place_top(Owner(7)).unwrap();
    let left = tree.place_at(Owner(7), top, Side::Left).unwrap();
    tree.place_at(Owner(1), left, Side::Left).unwrap();
    tree.place_at(Owner(2), left, Side::Right).unwrap();
    tree.place_at(Owner(3), top, Side::Right).unwrap();
    // The first pairs 400 and 300, the second 200 and 200.
    let volume = [0, 0, 200, 200, 300].map(Volume::points);
    let standing = [Standing::FULL; 5];
    let input = Input { tree: tree.columns(), volume: &volume, recent: None, standing: &standing };
    let closed = close(&rules(&plan), &input, &mut Vec::new()).unwrap();
    let lines: Vec<_> =
        closed.lines.iter().map(|l| (l.position.0, l.pool, l.paid, l.capped)).collect();
    let line = |p, pool, paid, capped| (p, money(pool), money(paid), money(capped));
    assert_eq!(lines, [line(0, "30", "15", "15"), line(1, "20", "10", "10")]);
}

#[test]
fn columns_of_another_tree_and_volumes_below_zero_are_refused() {
    let mut tree = BinaryTree::default();
    tree.place_top(Owner(0)).unwrap();
    let close = |text: &str, volume: &[Volume], standing: &[Standing], carry: usize| {
        let input = Input { tree: tree.columns(), volume, recent: None, standing };
        close(&rules(text), &input, &mut vec![Legs::ZERO; carry]).map(|closed| closed.lines.len())
    };
    let (one, full) = ([Volume::points(1)], [Standing::FULL]);
    assert_eq!(close(WEAKER_LEG, &one, &full, 1), Ok(0));
    let length = |error| matches!(error, Err(CloseError::Length { .. }));
    assert!(length(close(WEAKER_LEG, &[], &full, 0)));
    assert!(length(close(WEAKER_LEG, &one, &[], 0)));
    assert!(length(close(WEAKER_LEG, &one, &full, 2)));
    let negative = close(WEAKER_LEG, &[Volume::from_parts(-1)], &full, 0).unwrap_err();
    assert!(negative.to_string().contains("position 0"), "{negative}");
    let expires = matching("expires_after = \"none\"", "expires_after = \"3\"");
    assert_eq!(close(&expires, &one, &full, 0), Err(CloseError::Recent(2)));
    let most = [Volume::from_parts(i64::MAX)];
    assert!(close(WEAKER_LEG, &most, &full, 1).is_ok());
    let input = Input { tree: tree.columns(), volume: &most, recent: None, standing: &full };
    let error = super::close(&rules(WEAKER_LEG), &input, &mut vec![points(1, 0)]).unwrap_err();
    assert_eq!(error, CloseError::TooMuch, "with what was carried");
}

#[test]
fn a_return_of_paired_volume_takes_the_pair_apart_and_corrects_the_money() {
    // Period 0: 200 / 500 pays 20, carries 300 right. Period 1: +400 / +100 pays 40.
    // The 200 of period 0 come back: period 0 pays 0 and carries 500 right; period 1 pairs 400.
    let rules = rules(WEAKER_LEG);
    let past = |arrived, paid| unpair::Past {
        rules: &rules,
        arrived,
        standing: Standing::FULL,
        posted: unpair::Posted { paid: money(paid), ..unpair::Posted::default() },
    };
    let periods = vec![past(points(200, 500), "20"), past(points(400, 100), "40")];
    let history = unpair::History { opening: Legs::ZERO, before: Vec::new(), periods };
    let back = |volume| unpair::Returned {
        position: 0,
        period: 0,
        side: Side::Left,
        volume: Volume::points(volume),
    };
    let done = unpair::unpair(std::slice::from_ref(&history), &[back(200)]).unwrap();
    let [only] = &done.corrections[..] else { panic!("{:?}", done.corrections) };
    assert_eq!((only.period, only.difference.paid), (0, money("-20")));
    assert_eq!(done.carry, [points(0, 200)]);
    let more = unpair::unpair(std::slice::from_ref(&history), &[back(201)]);
    assert!(matches!(more, Err(unpair::UnpairError::TooMuch { .. })));
    let elsewhere = unpair::Returned { period: 2, ..back(1) };
    let unknown = unpair::unpair(std::slice::from_ref(&history), &[elsewhere]);
    assert!(matches!(unknown, Err(unpair::UnpairError::Unknown { .. })));
    let short = unpair::History { periods: Vec::new(), ..history.clone() };
    let uneven = unpair::unpair(&[history, short], &[]);
    assert!(matches!(uneven, Err(unpair::UnpairError::Uneven)));
}

#[test]
fn a_return_in_one_position_shares_the_cap_of_its_owner_anew() {
    let rules = rules(&with(WEAKER_LEG, "owner_cap = \"none\"", "owner_cap = \"25\""));
    let history = |arrived, paid, capped| {
        let posted = unpair::Posted {
            paid: money(paid),
            capped: money(capped),
            ..unpair::Posted::default()
        };
        let past = unpair::Past { rules: &rules, arrived, standing: Standing::FULL, posted };
        unpair::History { opening: Legs::ZERO, before: Vec::new(), periods: vec![past] }
    };
    let own = [history(points(400, 300), "15", "15"), history(points(200, 200), "10", "10")];
    let volume = Volume::points(200);
    let back = unpair::Returned { position: 0, period: 0, side: Side::Left, volume };
    let done = unpair::unpair(&own, &[back]).unwrap();
    // The pools are 20 and 20 now, so each has half of the 25.
    let differences: Vec<_> =
        done.corrections.iter().map(|c| (c.difference.paid, c.difference.capped)).collect();
    let pair = |paid, capped| (money(paid), money(capped));
    assert_eq!(differences, [pair("-2.50", "-7.50"), pair("2.50", "-2.50")]);
    assert_eq!(unpair::unpair(&done.histories, &[]).unwrap().corrections, []);
}

#[test]
fn a_cap_finer_than_the_minor_unit_pays_whole_minor_units() {
    let plan = with(&capped("pay_cap"), "limit = \"500\"", "limit = \"0.125\"");
    assert_eq!(settle(&plan, 100, 100).paid, money("0.12"));
}

#[test]
fn an_earning_is_what_volume_becomes_everywhere() {
    let plan = matching("conversion = \"1\"", "conversion = \"0.37\"");
    let plan = with(&plan, "rate = \"10 %\"", "rate = \"12.345 %\"");
    let Pays::Percentage { matching, rate } = binary(&plan).pays else { panic!("no rate") };
    for rounding in Rounding::ALL {
        let rules = Rules::new(binary(&plan), rounding, eur());
        for parts in [1, 4_999, 123_456_789, 987_654_321_987] {
            let volume = Volume::from_parts(parts);
            let legs = Legs { left: volume, right: volume };
            let settled = rules.settle(Legs::ZERO, legs, Legs::ZERO, Standing::FULL);
            assert_eq!(settled.paid, volume.earning(matching.conversion, rate, rounding, eur()));
        }
    }
}

#[test]
fn the_standing_of_a_position_counts_active_enrolments_by_leg() {
    let mut tree = BinaryTree::default();
    let top = tree.place_top(Owner(0)).unwrap();
    tree.place_at(Owner(1), top, Side::Left).unwrap();
    tree.place_at(Owner(0), top, Side::Right).unwrap();
    let third = tree.place_at(Owner(2), Position(2), Side::Right).unwrap();
    tree.place_at(Owner(3), third, Side::Left).unwrap();
    let spans = Spans::of(tree.columns());
    let of = |active: [bool; 4]| standings(tree.columns(), &spans, &[u32::MAX, 0, 0, 2], &active);
    let me = Standing::NONE.active();
    let all = of([true; 4]);
    assert_eq!(all[0], Standing::FULL);
    // Of my second position: 2 is enrolled by me on the right, 3 by somebody else.
    assert_eq!(all[2], me.enrolled(Side::Right));
    assert_eq!(all[3], me.enrolled(Side::Left));
    let without = of([true, false, true, true]);
    assert_eq!(without[0], me.enrolled(Side::Right));
    assert_eq!(without[1], Standing::NONE);
}
