use serde_json::json;

use super::*;
use crate::{
    app::closing::{ClosedBy, CutTold, ForcedTold, Missing, OwnVolumes, RankTold, SourceTold},
    domain::{
        close::{ActivityStory, Basis, BracketStanding, Totals},
        id::{ComponentId, Operator, Reason},
        money::{Currency, Rounding},
        plan::close::BracketStep,
        volume::Conversion,
    },
};

pub(super) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

pub(super) fn who(text: &str) -> DistributorId {
    DistributorId::parse(text).unwrap()
}

pub(super) fn part(
    component: &str,
    kind: &'static str,
    paid: &str,
    unpaid: Option<Unpaid>,
) -> ComponentTold {
    ComponentTold {
        component: ComponentId::parse(component).unwrap(),
        kind,
        conversion: None,
        paid: money(paid),
        posted: money(paid),
        unpaid,
        lines: Vec::new(),
        cuts: Vec::new(),
        withheld: Vec::new(),
        locked: Vec::new(),
        bracket: None,
        pool: None,
        binary: None,
        matrix: None,
        totals: Totals::default(),
    }
}

pub(super) fn story(components: Vec<ComponentTold>) -> PeriodStory {
    let hash = "0".repeat(64);
    let basis = json!({
        "engine": "test", "plan": { "id": "field", "version": 2, "hash": hash },
        "period": { "id": "2026-02", "start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z",
                    "snapshot": "2026-02-28T23:59:59Z", "cut_off": "2026-03-04T00:00:00Z",
                    "distribution": "2026-03-11" },
        "currency": "EUR", "genealogy": { "seq": 7, "hash": hash }, "previous": "2026-01",
        "counted": { "since": "2026-01-01T00:00:00Z", "upto": 9 }, "ledger_before": 3, "ledger": 8,
    });
    let basis: Basis = serde_json::from_value(basis).unwrap();
    let points = Volume::points;
    PeriodStory {
        distributor: who("11043"),
        period: basis.period.clone(),
        plan: basis.plan.clone(),
        currency: Currency::parse("EUR").unwrap(),
        rounding: Rounding::HalfUp,
        closed: None,
        paid: components.iter().map(|part| part.paid).sum(),
        corrected: Vec::new(),
        assumes: Vec::new(),
        brought: Vec::new(),
        basis,
        volumes: OwnVolumes {
            counted: LineVolumes { pv: points(30), qv: points(30), cv: points(25) },
            carried_in: Some(LineVolumes { pv: points(-10), qv: points(-10), cv: points(-5) }),
            below_zero: None,
            negative_volume: NegativeVolume::Carry,
            entries: Vec::new(),
            more: 0,
        },
        activity: ActivityStory {
            active: false,
            status: false,
            needs: points(100),
            window: Window::AnyPeriod,
            periods: vec![points(30), points(60)],
            has: points(60),
            missing: points(40),
            order: None,
        },
        look_back: vec![Some(PeriodId::parse("2026-02").unwrap()), None],
        rank: RankTold {
            paid_as: Some(RankId::parse("silver").unwrap()),
            achieved: Some(RankId::parse("gold").unwrap()),
            next: Some(RankId::parse("gold").unwrap()),
            missing: Vec::new(),
            forced: Vec::new(),
            gv: points(130),
            pgv: points(30),
            accumulated: points(900),
            active_legs: 2,
        },
        components,
        orders: Vec::new(),
    }
}

pub(super) fn line(
    title: Title,
    from: Option<&str>,
    base: Base,
    exact: Option<&str>,
    amount: &str,
) -> LineTold {
    LineTold {
        from: from.map(who),
        sources: Vec::new(),
        title,
        level: 1,
        rank: None,
        base,
        rate: Rate::parse("5 %").unwrap(),
        exact: exact.map(|exact| exact.parse().unwrap()),
        amount: money(amount),
    }
}

fn missed(amount: &str, reason: Unpaid, to: To) -> WithheldTold {
    let base = Base::Volume(Volume::points(100));
    WithheldTold { from: None, level: 2, rank: None, reason, base, amount: money(amount), to }
}

#[test]
fn what_is_missing_and_what_was_decided_is_told() {
    let mut story = story(Vec::new());
    let needs = Volume::points(1_000);
    story.rank.missing = [
        Shortfall::Gv { needs, has: Volume::points(130) },
        Shortfall::Legs { needs: 3, has: 1, gv: Some(needs), rank: None },
    ]
    .into_iter()
    .map(|shortfall| {
        let leg_rank = Some(RankId::parse("silver").unwrap());
        let leg_rank = leg_rank.filter(|_| matches!(shortfall, Shortfall::Legs { .. }));
        Missing { shortfall, leg_rank }
    })
    .collect();
    story.rank.forced = vec![ForcedTold {
        rank: Some(RankId::parse("silver").unwrap()),
        hold: Hold::AtLeast,
        operator: Operator::parse("staff-7").unwrap(),
        reason: Reason::parse("promised").unwrap(),
    }];
    insta::assert_snapshot!("missing_and_decided", tell(&story));
}

#[test]
fn lines_cuts_and_what_was_not_got_are_told_and_rows_are_limited() {
    let mut levels = part("levels", "unilevel_volume", "10.05", None);
    levels.conversion = Some(Conversion::parse("0.5").unwrap());
    let base = Base::Volume(Volume::parse("402.25").unwrap());
    levels.lines = vec![line(Title::Share, None, base, Some("10.05625"), "10.06")];
    let source = |id| SourceTold { distributor: who(id), volume: Volume::points(200) };
    levels.lines[0].sources = vec![source("C"), source("D")];
    levels.lines.extend((0..SHOWN).map(|_| line(Title::Share, Some("A"), base, None, "1.00")));
    levels.withheld = vec![
        missed("5.00", Unpaid::LevelLocked, To::Company),
        missed("2.00", Unpaid::NotActive, To::Distributor(who("10001"))),
        missed("3.00", Unpaid::NotActive, To::Rose(who("10001"))),
        missed("1.50", Unpaid::RankTooLow, To::Nobody),
    ];
    let cut = (ComponentId::parse("most").unwrap(), money("0.01"));
    levels.cuts = vec![CutTold { cap: cut.0, amount: cut.1 }];
    let mut bracket = part("performance", "bracket", "0.00", Some(Unpaid::OwedToFrontline));
    let step =
        |from, rate| BracketStep { from: Volume::points(from), rate: Rate::parse(rate).unwrap() };
    bracket.bracket = Some(BracketStanding {
        group: Volume::points(700),
        bracket: Some(step(600, "6 %")),
        next: Some(step(1_200, "9 %")),
        cv: Volume::points(700),
        gross: money("42.00"),
        owed: money("42.00"),
        broken: false,
    });
    bracket.withheld = vec![missed("42.00", Unpaid::OwedToFrontline, To::Distributor(who("B")))];
    insta::assert_snapshot!("lines_and_zeros", tell(&story(vec![levels, bracket])));
}

#[test]
fn a_period_that_is_not_what_was_sealed_says_what_to_do() {
    let mut story = story(Vec::new());
    let at = "2026-03-05T10:00:00Z".parse().unwrap();
    let mut closed = ClosedBy { by: "finance-7".to_owned(), at, block: 12, sealed: true };
    story.closed = Some(closed.clone());
    let said = "closed 2026-03-05T10:00:00Z by finance-7, block 12: computed again (genealogy 7, journal \
                9, ledger 8): it is what the block seals\n";
    assert!(tell(&story).contains(said), "{}", tell(&story));
    closed.sealed = false;
    story.closed = Some(closed);
    let said =
        "it IS NOT WHAT THE BLOCK SEALS: `upline close 2026-02 --verify` lists the differences\n";
    assert!(tell(&story).contains(said), "{}", tell(&story));
}
