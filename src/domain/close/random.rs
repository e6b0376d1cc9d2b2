//! Random populations, plans and inputs, and the property that the engine agrees with the oracle.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::vec, option, prelude::*, sample::Index, strategy::ValueTree,
    test_runner::TestRunner,
};

use super::{
    oracle::{Oracle, Stand, shuffled_tree, us},
    *,
};
use crate::domain::{
    genealogy::DistributorStatus,
    id::{Operator, RankId, Reason},
    plan::{
        close::*,
        rank::{
            ActiveLeg, ActiveOrder, Activity, LadderRules, Legs, Rank, Reach, Standing, Window,
        },
        volume::{Counted, Measure, NegativeVolume, RetailOrders, Source, Volumes},
    },
};

fn id(text: &str) -> ComponentId {
    ComponentId::parse(text).unwrap()
}

fn rank_id(number: usize) -> RankId {
    RankId::parse(&format!("r{number}")).unwrap()
}

fn points(range: std::ops::Range<i32>) -> impl Strategy<Value = Volume> {
    (range, 0i64..3).prop_map(|(points, odd)| {
        Volume::points(points) + Volume::from_parts([0, 0, 3_333][usize::try_from(odd).unwrap()])
    })
}

fn percent(most: u32) -> impl Strategy<Value = Rate> {
    (0..=most * 2)
        .prop_map(|half| Rate::parse(&format!("{}.{} %", half / 2, half % 2 * 5)).unwrap())
}

/// So many minor units.
fn amount(currency: Currency, most: u32) -> impl Strategy<Value = Money> {
    (0..most).prop_map(move |units| currency.minor_unit().times(units.into()))
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::PaidAs), Just(Standing::Achieved)]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![Just(Measure::Pv), Just(Measure::Qv), Just(Measure::Cv)]
}

fn compression() -> impl Strategy<Value = VolumeCompression> {
    use VolumeCompression::{Dynamic, None, RollUp};
    prop_oneof![Just(None), Just(RollUp), Just(Dynamic)]
}

fn columns() -> impl Strategy<Value = Columns> {
    let member = (
        (any::<Index>(), prop::bool::weighted(0.1)),
        prop_oneof![
            6 => Just(DistributorStatus::Active),
            1 => Just(DistributorStatus::Inactive),
            1 => Just(DistributorStatus::Terminated)
        ],
        [points(-20..100), points(-20..100), points(-20..100), points(0..500), points(0..100)],
        (0u8..=4, any::<bool>()),
    );
    (vec(member, 1..15), any::<u64>(), 2usize..4).prop_map(|(members, order, earlier)| {
        let tree: Vec<_> = members.iter().map(|m| m.0).collect();
        let column = |index: usize| members.iter().map(|m| m.2[index]).collect::<Vec<_>>();
        Columns {
            sponsor: shuffled_tree(&tree, order),
            status: members.iter().map(|m| m.1).collect(),
            pv: column(0),
            qv: column(1),
            cv: column(2),
            accumulated: column(3),
            earlier_pv: (0..earlier).map(|index| column((4 + index) % 5)).collect(),
            ordered: members.iter().map(|m| m.3.1).collect(),
            achieved: members.iter().map(|m| RankLevel(m.3.0)).collect(),
        }
    })
}

/// What a random rank asks for: of the member, of the group, of legs, active legs, the enrolled.
type Requirements = (
    (bool, Option<Volume>, Option<Volume>),
    (Option<Volume>, Option<Rate>, Option<Volume>, Option<Volume>),
    Vec<(u16, Option<Volume>, Option<usize>, bool)>,
    u16,
    u16,
);

/// Four ranks, the requirements rising with them so that higher ones are held now and then.
fn ranks() -> impl Strategy<Value = Vec<Rank>> {
    let legs =
        vec((1u16..3, option::of(points(0..120)), option::of(0usize..4), any::<bool>()), 0..2);
    let base =
        (any::<bool>(), option::weighted(0.3, points(0..60)), option::weighted(0.2, points(0..60)));
    let group = (
        option::weighted(0.6, points(0..200)),
        option::weighted(0.5, percent(80)),
        option::weighted(0.3, points(0..150)),
        option::weighted(0.2, points(0..300)),
    );
    vec((base, group, legs, 0u16..2, 0u16..2), 4).prop_map(|rows| {
        let rank = |(index, (base, group, legs, al, ea)): (usize, Requirements)| {
            let (active, pv, qv) = base;
            let (gv, cap, pgv, accumulated) = group;
            Rank {
                id: rank_id(index),
                active,
                pv,
                qv,
                gv,
                leg_cap: cap.filter(|_| gv.is_some()),
                pgv,
                accumulated,
                legs: legs
                    .into_iter()
                    .map(|(count, gv, rank, both)| Legs {
                        count,
                        gv: gv
                            .filter(|_| both || rank.is_none())
                            .or_else(|| rank.is_none().then_some(Volume::ZERO)),
                        rank: rank.map(rank_id),
                    })
                    .collect(),
                active_legs: al,
                enrolled_active: ea,
            }
        };
        (0..).zip(rows).map(rank).collect()
    })
}

fn rate_rows() -> impl Strategy<Value = Vec<RateRow>> {
    (vec(percent(20), 1..5), vec(percent(20), 1..5), 0usize..4, any::<bool>()).prop_map(
        |(low, high, from, both)| {
            let high = RateRow { from: Some(rank_id(from)), rates: high };
            let low = RateRow { from: None, rates: low };
            if both { vec![low, high] } else { vec![high] }
        },
    )
}

fn unlock() -> impl Strategy<Value = Vec<Unlock>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec![Unlock { active_legs: 1, levels: 2 }, Unlock { active_legs: 2, levels: 7 }]),
    ]
}

fn pays() -> impl Strategy<Value = (Pays, Passed)> {
    let pays = prop_oneof![Just(Pays::Once), Just(Pays::EveryPeriod)];
    (pays, prop_oneof![Just(Passed::All), Just(Passed::Highest)])
}

fn bracket() -> impl Strategy<Value = Bracket> {
    let inactive = prop_oneof![Just(InactiveGroup::Breakage), Just(InactiveGroup::PassUp)];
    let breaks =
        prop_oneof![Just(Breaks::TopBracket), Just(Breaks::TopBracket), Just(Breaks::Never)];
    (measure(), inactive, breaks, 1i32..60, 1u32..6).prop_map(
        |(picks, inactive, breakaway, step, rise)| {
            let row = |n: i32| BracketStep {
                from: Volume::points(step * n),
                rate: Rate::parse(&format!("{} %", rise * u32::try_from(n).unwrap())).unwrap(),
            };
            let table = (1..=3).map(row).collect();
            Bracket { id: id("bracket"), picks, table, breakaway, inactive, conversion: None }
        },
    )
}

fn pool(currency: Currency) -> impl Strategy<Value = Pool> {
    let size = prop_oneof![
        percent(30).prop_map(|rate| PoolSize::ShareOfCv { rate }),
        amount(currency, 10_000).prop_map(|amount| PoolSize::Fixed { amount })
    ];
    let nobody = prop_oneof![Just(Nobody::Breakage), Just(Nobody::Carry)];
    let pool = (size, standing(), nobody, 1u32..4, 0usize..3);
    pool.prop_map(|(size, rank, nobody, higher, from)| {
        let shares = |n, shares| RankShares { from: rank_id(n), shares };
        let shares = vec![shares(from, 1), shares(from + 1, higher)];
        Pool { id: id("pool"), size, shares, rank, nobody, conversion: None }
    })
}

fn components(currency: Currency) -> impl Strategy<Value = Vec<CloseComponent>> {
    let levels = (rate_rows(), standing(), compression(), unlock(), any::<bool>());
    let guarantee = prop_oneof![
        Just(Guarantee::None),
        points(1..200).prop_map(|threshold| Guarantee::PassedUp { threshold })
    ];
    let roll = prop_oneof![Just(Unqualified::RollUp), Just(Unqualified::Breakage)];
    let leader = prop_oneof![Just(Leader::Qualified), Just(Leader::BrokeAway)];
    let deeper =
        (vec(percent(9), 1..4), leader).prop_map(|(rates, leader)| Deeper { rates, leader });
    let breakaway = (percent(20), points(0..100), roll, guarantee, option::of(deeper));
    let negative = prop_oneof![Just(NegativeEarnings::Match), Just(NegativeEarnings::Ignore)];
    let matching = (rate_rows(), standing(), compression(), negative);
    let bonus = (standing(), pays(), amount(currency, 50_000), amount(currency, 90_000));
    let pool = pool(currency);
    (levels, bracket(), breakaway, matching, bonus, pool).prop_map(|(l, b, k, m, r, pool)| {
        let conversion = l.4.then(|| Conversion::parse("0.37").unwrap());
        let mut parts = vec![
            CloseComponent::Given(Given { id: id("binary") }),
            CloseComponent::UnilevelVolume(UnilevelVolume {
                id: id("levels"),
                rates: l.0,
                rank: l.1,
                compression: l.2,
                unlock: l.3,
                conversion,
            }),
        ];
        let breaks = b.breakaway == Breaks::TopBracket;
        parts.push(CloseComponent::Bracket(b));
        if breaks {
            let (rate, own_group, unqualified, guarantee, deeper) = k;
            let (id, bracket) = (id("override"), id("bracket"));
            parts.push(CloseComponent::Breakaway(Breakaway {
                id,
                bracket,
                rate,
                own_group,
                unqualified,
                guarantee,
                deeper,
                conversion,
            }));
        }
        let (rates, rank, compression, negative_earnings) = m;
        let on = vec![id("binary"), id("levels")];
        let matching =
            Matching { id: id("matching"), on, rates, rank, compression, negative_earnings };
        parts.push(CloseComponent::Matching(matching));
        let row = |n, amount| RankAmount { from: rank_id(n), amount };
        let amounts = vec![row(1, r.2), row(3, r.3)];
        let (rank, (pays, passed)) = (r.0, r.1);
        parts.push(CloseComponent::RankBonus(RankBonus {
            id: id("bonus"),
            amounts,
            rank,
            pays,
            passed,
        }));
        parts.push(CloseComponent::Pool(Pool { conversion, ..pool }));
        parts
    })
}

fn caps(currency: Currency) -> impl Strategy<Value = Vec<Cap>> {
    let method = || {
        prop_oneof![
            Just(CapMethod::ProRata),
            Just(CapMethod::RankPriority),
            Just(CapMethod::HardStop)
        ]
    };
    let rows = (amount(currency, 20_000), option::of(amount(currency, 50_000)), standing());
    (rows, percent(40), method(), percent(40), method()).prop_map(
        |(rows, first, by, last, at_end)| {
            let (low, high, rank) = rows;
            let by_rank =
                high.into_iter().map(|amount| RankAmount { from: rank_id(2), amount }).collect();
            let own = Limit::Distributor { amount: low, by_rank, rank };
            let company = |share_of_cv, method| Limit::Company { share_of_cv, method };
            let cap = |name: &str, after: &str, counts: &[&str], limit| Cap {
                id: id(name),
                after: id(after),
                counts: counts.iter().map(|c| id(c)).collect(),
                limit,
            };
            vec![
                cap("own", "levels", &["binary", "levels"], own),
                cap("early", "bracket", &["levels", "bracket", "binary"], company(first, by)),
                cap(
                    "late",
                    "pool",
                    &["matching", "binary", "pool", "bonus"],
                    company(last, at_end),
                ),
            ]
        },
    )
}

fn parts(currency: Currency) -> impl Strategy<Value = CloseParts> {
    let window = prop_oneof![Just(Window::AnyPeriod), Just(Window::Sum)];
    let leg = prop_oneof![Just(ActiveLeg::Frontline), Just(ActiveLeg::Anyone)];
    let reach = prop_oneof![Just(Reach::HighestMet), Just(Reach::EachStep)];
    let order = option::weighted(0.3, Just(ActiveOrder::Own));
    let negative = prop_oneof![Just(NegativeVolume::Carry), Just(NegativeVolume::Forgive)];
    let head = (
        (points(0..40), 1u8..4, window, leg, order),
        reach,
        standing(),
        0usize..4,
        (measure(), negative),
    );
    (head, ranks().boxed(), components(currency).boxed(), caps(currency)).prop_map(
        |(head, ranks, components, caps)| {
            let (
                (pv, look_back, window, active_leg, order),
                reach,
                leg_rank,
                leader,
                (group, negative_volume),
            ) = head;
            let net = Source::Net { rate: Rate::WHOLE };
            let (pv_is, retail_orders) = (Counted::Qv, RetailOrders::Referrer);
            let conversion = Conversion::parse("1.5").unwrap();
            CloseParts {
                volumes: Volumes {
                    qv: net,
                    cv: net,
                    pv: pv_is,
                    group,
                    retail_orders,
                    conversion,
                    negative_volume,
                },
                activity: Activity { pv, look_back, window, active_leg, order },
                ladder: LadderRules { reach, leg_rank, leader: Some(rank_id(leader)) },
                ranks,
                components,
                caps,
            }
        },
    )
}

/// Inputs for a population of `len`.
fn inputs(len: usize, currency: Currency) -> impl Strategy<Value = Inputs> {
    let member = 0..u32::try_from(len).unwrap();
    let hold = prop_oneof![Just(Hold::AtLeast), Just(Hold::Exactly)];
    let forced =
        (member.clone(), 0u8..=4, hold, any::<bool>()).prop_map(|(member, rank, hold, title)| {
            ForcedRank {
                member,
                rank: RankLevel(rank),
                hold,
                raises_title: title,
                operator: Operator::parse("staff-7").unwrap(),
                reason: Reason::parse("promised at the convention").unwrap(),
            }
        });
    let paid = (member, 0u8..=4).prop_map(|(member, rank)| PaidRank {
        component: id("bonus"),
        member,
        rank: RankLevel(rank),
    });
    let earned = prop_oneof![
        1 => Just(Money::ZERO),
        4 => amount(currency, 30_000),
        1 => amount(currency, 9_000).prop_map(|amount| -amount)
    ];
    let unearned = (amount(currency, 900), amount(currency, 900), amount(currency, 9_000))
        .prop_map(|(broken, capped, back)| Unearned {
            breakage: BTreeMap::from([(Unpaid::NotActive, broken)]),
            capped,
            corrected: vec![(0, -back)],
        });
    let earned = (vec(earned, len), option::of(unearned));
    (vec(forced, 0..3), earned, vec(paid, 0..6), option::of(amount(currency, 900))).prop_map(
        |(forced, (earned, unearned), paid_ranks, carried)| Inputs {
            forced,
            given: vec![GivenEarnings { component: id("binary"), earned, unearned }],
            paid_ranks,
            carried: carried
                .into_iter()
                .map(|a| Carried { component: id("pool"), amount: a })
                .collect(),
        },
    )
}

/// Random members, plans and inputs that go together.
pub(super) fn worlds() -> impl Strategy<Value = (Columns, CloseParts, Inputs)> {
    worlds_in(Currency::parse("EUR").unwrap())
}

/// On the heap, as the larger of its parts: the stack of a test is small.
fn worlds_in(currency: Currency) -> BoxedStrategy<(Columns, CloseParts, Inputs)> {
    (columns().boxed(), parts(currency).boxed())
        .prop_flat_map(move |(columns, parts)| {
            let inputs = inputs(columns.sponsor.len(), currency);
            (Just(columns), Just(parts), inputs)
        })
        .boxed()
}

/// With two, no and three places.
fn currencies() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["EUR", "JPY", "KWD"]).prop_map(|code| Currency::parse(code).unwrap())
}

/// So many reasons there are for no money.
const REASONS: usize = 16;

/// Random plans that pay nobody would prove nothing: together they reach every reason, every kind of
/// line, every cap and every rank.
#[test]
fn the_random_plans_reach_everything() {
    use Unpaid as U;
    let mut runner = TestRunner::deterministic();
    let (mut reasons, mut titles) = (BTreeSet::new(), BTreeSet::new());
    let (mut ranks, mut caps) = (BTreeSet::new(), BTreeSet::new());
    let eur = Currency::parse("EUR").unwrap();
    for round in 0..10_000 {
        if round >= 600 && reasons.len() == REASONS {
            break;
        }
        let (columns, parts, inputs) = worlds().new_tree(&mut runner).unwrap().current();
        let plan = ClosePlan::new(parts, Rounding::HalfUp, eur).unwrap();
        let population = Population::new(&columns).unwrap();
        let close = evaluate(&plan, &population, &inputs).unwrap();
        ranks.extend(close.ranking.paid_as.iter().map(|rank| rank.0));
        for component in close.components() {
            reasons.extend(component.totals.breakage.keys().copied());
            caps.extend(component.totals.capped.keys().map(ToString::to_string));
            titles.extend(component.lines.title.iter().map(|title| format!("{title:?}")));
        }
        for member in population.positions() {
            let story = close.explain(&plan, &population, member).unwrap();
            reasons.extend(story.components.iter().filter_map(|part| part.unpaid));
        }
    }
    let all = [
        [U::NotActive, U::RankTooLow, U::LevelLocked, U::LowerRate, U::EndOfUpline, U::NoVolume],
        [
            U::BelowFirstBracket,
            U::OwedToFrontline,
            U::OwnGroupTooSmall,
            U::NoLegBrokeAway,
            U::PassedUp,
            U::NothingBelow,
        ],
    ];
    let more = [U::AlreadyPaid, U::NobodyQualified, U::Capped, U::NothingGiven];
    assert_eq!(reasons, all.into_iter().flatten().chain(more).collect());
    assert_eq!(titles.len(), 6, "{titles:?}");
    assert_eq!(ranks.len(), 5, "{ranks:?}");
    // Those of the plan, and the own ones of the binary.
    assert_eq!(caps.len(), 4, "{caps:?}");
}

/// The engine's answer about a member in the words of the oracle.
fn stand(close: &Close, population: &Population, member: u32) -> Stand {
    let at = index_of(population, member);
    Stand {
        active: close.ranking.active[at],
        paid_as: close.ranking.paid_as[at],
        achieved: close.ranking.achieved[at],
        gv: close.ranking.gv[at],
        pgv: close.ranking.pgv[at],
        active_legs: usize::from(close.ranking.active_legs[at]),
    }
}

fn index_of(population: &Population, member: u32) -> usize {
    usize::try_from(population.position(member).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Ranks, money, breakage by reason and cuts by cap are what the definitions say; what is offered
    /// goes somewhere; who gets nothing hears a reason, and who lacks something for a rank what.
    #[test]
    fn the_close_is_what_the_definitions_say(
        (currency, (columns, parts, inputs)) in currencies()
            .prop_flat_map(|currency| (Just(currency), worlds_in(currency))),
        rounding in 0usize..5,
    ) {
        let rounding = Rounding::ALL[rounding];
        let stands = vec![Stand::default(); columns.sponsor.len()];
        let mut oracle =
            Oracle { columns: &columns, parts: &parts, inputs: &inputs, rounding, currency, stands };
        let wanted = oracle.run();
        let plan = ClosePlan::new(parts.clone(), rounding, currency).unwrap();
        let population = Population::new(&columns).unwrap();
        let close = evaluate(&plan, &population, &inputs).unwrap();
        for (member, wanted) in (0..).zip(&oracle.stands) {
            prop_assert_eq!(&stand(&close, &population, member), wanted, "member {}", member);
        }
        for (found, wanted) in close.components().iter().zip(&wanted) {
            prop_assert_eq!(&found.totals, &wanted.totals, "{}", &wanted.id);
            prop_assert!(found.totals.is_even(), "{} {:?}", &wanted.id, &found.totals);
            for (member, wanted) in (0..).zip(&wanted.paid) {
                prop_assert_eq!(close.paid(&found.id, &population, member), *wanted, "{} {}", found.id, member);
                let takes_back = ["binary", "matching"].contains(&found.id.as_str());
                prop_assert!(takes_back || !wanted.is_negative());
            }
        }
        for part in close.components() {
            prop_assert_eq!(part.paid().iter().copied().sum::<Money>(), part.totals.paid);
            let cuts: Money = part.cuts().map(|(_, _, amount)| amount).sum();
            let capped = part.totals.capped.iter().filter(|(cap, _)| **cap != part.id);
            prop_assert_eq!(cuts, capped.map(|(_, amount)| *amount).sum::<Money>());
        }
        let written = serde_json::to_string(&close).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Close>(&written).unwrap(), &close);
        prop_assert_eq!(&close.carried_volume, &oracle.carried_volume());
        for member in 0..u32::try_from(columns.sponsor.len()).unwrap() {
            let story = close.explain(&plan, &population, member).unwrap();
            for part in &story.components {
                let lines: Money = part.lines.iter().map(|line| line.amount).sum();
                let cuts: Money = part.cuts.iter().map(|(_, amount)| *amount).sum();
                prop_assert_eq!(lines - cuts, part.paid);
                prop_assert_eq!(part.unpaid.is_none(), !part.paid.is_zero());
            }
            for level in (1..=4).map(RankLevel) {
                let at = population.position(member).unwrap();
                let missing = plan.ranks().missing(&population, &close.ranking, at, level);
                let rank = &parts.ranks[usize::from(level.0) - 1];
                prop_assert_eq!(missing.is_empty(), oracle.meets(rank, us(member)));
            }
        }
    }
}
