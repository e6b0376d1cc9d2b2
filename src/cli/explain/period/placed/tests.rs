use super::{
    super::{
        tell,
        tests::{line, money, part, story, who},
    },
    *,
};
use crate::{
    app::closing::{CutTold, MatrixPositionTold},
    domain::{
        close::{Base as LineBase, Title, binary::told::Part},
        id::{ComponentId, PositionId, TreeId},
        money::Rate,
        plan::period::PeriodId,
        volume::{Conversion, Volume},
    },
};

fn leg(volumes: [i32; 6], lots: Vec<LotTold>) -> LegTold {
    let [opening, arrived, paired, expired, flushed, carried] = volumes.map(Volume::points);
    LegTold { opening, arrived, paired, expired, flushed, carried, lots, more: 0 }
}

fn lot_of(order: Option<&str>, of: Option<&str>, points: i32, became: Became) -> LotTold {
    LotTold {
        order: order.map(str::to_owned),
        distributor: order.map(|_| who("301")),
        placed_at: order.map(|_| "2026-02-06T10:00:00Z".parse().unwrap()),
        of: of.map(|of| PeriodId::parse(of).unwrap()),
        volume: Volume::points(points),
        became,
    }
}

fn position(left: LegTold, right: LegTold) -> PositionTold {
    let payable = left.paired;
    PositionTold {
        position: PositionId::parse("P201").unwrap(),
        left,
        right,
        earned: Some(Earned::Rates {
            ratio: Ratio::OneToOne,
            base: Base::Weaker,
            share: Rate::parse("100 %").unwrap(),
            payable,
            conversion: Conversion::parse("1").unwrap(),
            parts: vec![Part { from: None, volume: payable, rate: Rate::parse("10 %").unwrap() }],
        }),
        exact: Some("16".parse().unwrap()),
        pool: money("16.00"),
        paid: money("16.00"),
        forfeited: Money::ZERO,
        position_cap: Money::ZERO,
        owner_cap: Money::ZERO,
        refused: None,
        unpaid: None,
    }
}

fn of_tree(positions: Vec<PositionTold>) -> BinaryTold {
    BinaryTold {
        tree: TreeId::parse("main").unwrap(),
        cap: "pay_cap",
        cap_limit: Some(money("30")),
        owner_cap: None,
        unqualified: "breakage",
        positions,
    }
}

fn team(paid: &str, positions: Vec<PositionTold>) -> ComponentTold {
    let unpaid = money(paid).is_zero().then_some(Unpaid::NothingGiven);
    let mut team = part("team", "binary", paid, unpaid);
    team.lines = vec![line(Title::Share, None, LineBase::Money(money(paid)), None, paid)];
    team.binary = Some(of_tree(positions));
    team
}

/// The part of a story that begins with this component.
fn told(component: ComponentTold) -> String {
    let name = format!("{} (", component.component);
    let text = tell(&story(vec![component]));
    text.get(text.find(&name).unwrap()..).unwrap().to_owned()
}

#[test]
fn a_binary_that_pays_is_told_from_its_orders_to_its_cap() {
    let lots = vec![
        lot_of(None, None, 20, Became::Paired),
        lot_of(Some("shopify/acme/1"), Some("2026-01"), 300, Became::Paired),
        lot_of(Some("shopify/acme/2"), None, 160, Became::Carried),
    ];
    let mut pays =
        position(leg([320, 160, 320, 0, 0, 160], lots), leg([0, 320, 320, 0, 0, 0], vec![]));
    (pays.pool, pays.exact) = (money("32.00"), Some("32".parse().unwrap()));
    (pays.paid, pays.position_cap) = (money("30.00"), money("2.00"));
    let mut team = team("25.90", vec![pays]);
    team.cuts = vec![CutTold { cap: ComponentId::parse("most").unwrap(), amount: money("4.10") }];
    insta::assert_snapshot!("binary_that_pays", told(team));
}

#[test]
fn a_forfeited_binary_says_what_and_why() {
    let mut lost =
        position(leg([0, 160, 160, 0, 0, 0], vec![]), leg([0, 320, 160, 0, 0, 160], vec![]));
    lost.paid = Money::ZERO;
    lost.forfeited = money("16.00");
    lost.refused = Some(binary::Unpaid::NoneEnrolledRight);
    lost.unpaid = lost.refused;
    insta::assert_snapshot!("binary_forfeited", told(team("0.00", vec![lost.clone()])));

    let first = |told: String| told.lines().next().unwrap().to_owned();
    lost.refused = Some(binary::Unpaid::Inactive);
    lost.unpaid = lost.refused;
    let wanted = "team (binary): 0.00 EUR, because they were not active; 16.00 forfeited";
    assert_eq!(first(told(team("0.00", vec![lost.clone()]))), wanted);
    // What is lost beside what is paid is told too.
    let pays = position(leg([0, 320, 320, 0, 0, 0], vec![]), leg([0, 320, 320, 0, 0, 0], vec![]));
    let wanted = "team (binary): 16.00 EUR; 16.00 forfeited";
    assert_eq!(first(told(team("16.00", vec![pays, lost]))), wanted);
    let wanted = "team (binary): 0.00 EUR, because they have no position in the tree main";
    assert_eq!(first(told(team("0.00", vec![]))), wanted);
}

#[test]
fn a_position_without_pairs_says_what_is_missing() {
    let nothing = |left, right, unqualified| {
        let mut idle = position(
            leg([left, 0, 0, 0, 0, left], vec![]),
            leg([0, right, 0, 0, 0, right], vec![]),
        );
        (idle.earned, idle.exact) = (None, None);
        (idle.pool, idle.paid) = (Money::ZERO, Money::ZERO);
        idle.refused = Some(binary::Unpaid::NoneEnrolledLeft);
        idle.unpaid = idle.refused;
        let mut component = team("0.00", vec![idle]);
        if let Some(binary) = &mut component.binary {
            binary.unqualified = unqualified;
        }
        told(component)
    };
    let lacks = "because the left leg holds no active distributor whom they enrolled\n";
    for (text, wanted) in [
        (
            nothing(0, 160, "breakage"),
            "  nothing is paired: one leg has no volume, so there is no pair\n",
        ),
        (nothing(0, 0, "breakage"), "  nothing is paired: neither leg has volume\n"),
        (nothing(0, 160, "breakage"), &format!("  what is paired would be forfeited, {lacks}")),
        (nothing(90, 160, "hold"), "  nothing is paired\n"),
        (nothing(90, 160, "hold"), &format!("  no pairs are made and the volume waits, {lacks}")),
        (
            nothing(90, 160, "flush"),
            &format!("  no pairs are made and both legs are emptied, {lacks}"),
        ),
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}

#[test]
fn cycles_and_tiers_are_sums_that_can_be_done_by_hand() {
    let mut cycles =
        position(leg([0, 350, 300, 0, 50, 0], vec![]), leg([0, 900, 600, 0, 300, 0], vec![]));
    cycles.earned = Some(Earned::Cycles {
        cycles: 3,
        weaker: Volume::points(100),
        stronger: Volume::points(200),
        each: money("7"),
    });
    (cycles.pool, cycles.exact) = (money("21.00"), Some("21".parse().unwrap()));
    let text = told(team("21.00", vec![cycles.clone()]));
    let wanted = "pairs: 3 cycles of 100 points of the leg that has less and 200 of the other, 7.00 each = \
                  21.00 EUR\n";
    assert!(text.contains(wanted), "{text}");
    let slice = |from, points, rate| Part {
        from: Some(Volume::points(from)),
        volume: Volume::points(points),
        rate: Rate::parse(rate).unwrap(),
    };
    cycles.earned = Some(Earned::Rates {
        ratio: Ratio::OneThirdTwoThirds,
        base: Base::Both,
        share: Rate::parse("60 %").unwrap(),
        payable: Volume::points(540),
        conversion: Conversion::parse("1").unwrap(),
        parts: vec![slice(100, 400, "5 %"), slice(500, 40, "10 %")],
    });
    (cycles.pool, cycles.exact) = (money("24.00"), Some("24".parse().unwrap()));
    let text = told(team("24.00", vec![cycles]));
    let wanted = "pairs: a point with up to two; points of both legs pay: 60 % of them, 540; a point is 1 EUR; \
                  400 at 5 % (from 100 on) + 40 at 10 % (from 500 on) = 24.00 EUR\n";
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn a_matrix_is_told_level_by_level_and_a_pool_share_by_share() {
    let mut grid = part("grid", "matrix", "10.01", None);
    let level = |level, positions, points, exact: &str, paid, forfeited, because| MatrixLevelTold {
        level,
        positions,
        volume: Volume::points(points),
        rate: Rate::parse("5 %").unwrap(),
        exact: Some(exact.parse().unwrap()),
        paid: money(paid),
        forfeited: money(forfeited),
        because,
    };
    grid.matrix = Some(MatrixTold {
        tree: TreeId::parse("grid").unwrap(),
        conversion: Conversion::parse("1").unwrap(),
        by_order: true,
        positions: vec![MatrixPositionTold {
            position: PositionId::parse("G1").unwrap(),
            levels: vec![
                level(1, 3, 200, "10.0052", "10.01", "0.00", None),
                level(2, 5, 40, "2", "0.00", "2.00", Some("locked")),
                level(3, 0, 0, "0", "0.00", "0.00", None),
            ],
        }],
    });
    let mut pool = part("pool", "pool", "3.51", None);
    pool.lines = vec![line(Title::Shares, None, LineBase::Money(money("15.20")), None, "3.51")];
    pool.pool = Some(PoolStanding { size: money("15.20"), shares: 3, of: 13, holders: 5 });
    insta::assert_snapshot!("matrix_and_pool", told(grid) + "\n\n" + &told(pool));
}

#[test]
fn a_correction_names_the_orders_that_came_back() {
    let mut period = story(vec![part("team", "binary", "0.00", None)]);
    let back = CameBack {
        order: "shopify/acme/1".to_owned(),
        distributor: who("301"),
        placed_at: "2026-01-06T10:00:00Z".parse().unwrap(),
        entry: 9,
        volume: Volume::points(199),
    };
    period.corrected = vec![CorrectedTold {
        component: ComponentId::parse("team").unwrap(),
        corrects: PeriodId::parse("2026-01").unwrap(),
        amount: money("-19.90"),
        orders: vec![back],
    }];
    let text = tell(&period);
    let text = text.get(text.find("team (").unwrap()..).unwrap();
    insta::assert_snapshot!("correction", text);
}

#[test]
fn the_amount_of_a_rank_has_no_rate() {
    let mut bonus = part("adv", "rank_bonus", "50.00", None);
    let mut amount = line(Title::Rank, None, LineBase::Money(money("50.00")), None, "50.00");
    amount.rate = Rate::WHOLE;
    bonus.lines = vec![amount];
    let text = told(bonus);
    assert!(text.contains("the amount of the rank") && !text.contains('%'), "{text}");
}
