use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        Columns, GivenEarnings, Inputs, Ranking, evaluate,
        oracle::{Oracle, Stand, us},
        random::worlds,
    },
    *,
};
use crate::domain::{
    money::{Currency, Rounding},
    plan::{
        close::{CloseComponent, CloseParts, Limit, PoolSize},
        volume::Measure,
    },
    volume::Volume,
};

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn january() -> PeriodId {
    PeriodId::parse("2026-01").unwrap()
}

/// What a close found, by member number.
fn held(ranking: &Ranking, population: &Population) -> Held {
    let mut held = Held::new(population.len());
    for position in population.positions() {
        let (paid_as, achieved) = (at(&ranking.paid_as, position), at(&ranking.achieved, position));
        held.set(population.member(position), ranking.is_active(position), paid_as, achieved);
    }
    held
}

/// Adds what was posted now.
fn post(posted: &mut Posted, corrections: &[Correction]) {
    for Correction { component, whose, amount, .. } in corrections {
        posted.add(component, whose.clone(), *amount);
    }
}

/// Each member keeps so many eighths of the volumes, cut to ten-thousandths of a point.
fn kept(columns: &Columns, eighths: &[u8]) -> Columns {
    let part = |column: &[Volume]| {
        let rows = column.iter().zip(eighths.iter().cycle());
        let part = |(volume, eighths): (&Volume, &u8)| {
            Volume::from_parts(volume.at_least_zero().parts() * i64::from(*eighths) / 8)
        };
        rows.map(part).collect::<Vec<_>>()
    };
    let (pv, qv, cv) = (part(&columns.pv), part(&columns.qv), part(&columns.cv));
    Columns { pv, qv, cv, earlier_pv: Vec::new(), ..columns.clone() }
}

/// What components that are given came to, with so many eighths of it.
fn given(inputs: &Inputs, eighths: u8) -> Inputs {
    let part = |money: &Money| {
        let units = money.at_least_zero().units(eur()) * i128::from(eighths) / 8;
        Money::of_units(units, eur())
    };
    let mut inputs = inputs.clone();
    for GivenEarnings { earned, unearned, .. } in &mut inputs.given {
        for earned in earned {
            *earned = part(earned);
        }
        if let Some(unearned) = unearned {
            for amount in unearned.breakage.values_mut() {
                *amount = part(amount);
            }
            unearned.capped = part(&unearned.capped);
        }
    }
    inputs
}

/// A closed period and what was found in it.
struct Period {
    plan: ClosePlan,
    inputs: Inputs,
    columns: Columns,
    close: Close,
    held: Held,
    posted: Posted,
}

impl Period {
    fn closed(columns: Columns, parts: &CloseParts, inputs: Inputs, rounding: Rounding) -> Self {
        let plan = ClosePlan::new(parts.clone(), rounding, eur()).unwrap();
        let population = Population::new(&columns).unwrap();
        let close = evaluate(&plan, &population, &inputs).unwrap();
        let held = held(&close.ranking, &population);
        let mut posted = Posted::new(population.len());
        post(&mut posted, &corrections(&close, &population, &Posted::default(), &january()));
        Self { plan, inputs, columns, close, held, posted }
    }

    /// What is posted when the members keep so many eighths of the volumes.
    fn correct(&self, posted: &mut Posted, eighths: &[u8], of_given: u8) -> Vec<Correction> {
        let population = Population::new(&kept(&self.columns, eighths)).unwrap();
        let inputs = given(&self.inputs, of_given);
        let close = restate(&self.plan, &population, &self.held, &inputs).unwrap();
        let corrections = corrections(&close, &population, posted, &january());
        post(posted, &corrections);
        corrections
    }
}

/// All that stands, without what comes to nothing.
fn standing(posted: &Posted) -> BTreeMap<(ComponentId, Whose), Money> {
    let mut all = BTreeMap::new();
    for of in &posted.components {
        let members = (0..).map(Whose::Member).zip(of.paid.iter().copied());
        let rest = of.rest.iter().map(|(whose, sum)| (whose.clone(), *sum));
        let stands = members.chain(rest).filter(|(_, sum)| !sum.is_zero());
        all.extend(stands.map(|(whose, sum)| ((of.component.clone(), whose), sum)));
    }
    all
}

fn eighths() -> impl Strategy<Value = Vec<u8>> {
    vec(0u8..=8, 1..15)
}

/// Positions to member numbers: who is above whom is the same in both.
fn is_above(columns: &Columns, member: u32, below: u32) -> bool {
    let mut at = below;
    while at != u32::MAX {
        if at == member {
            return true;
        }
        at = columns.sponsor[us(at)];
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What stands after a return is the close from the definitions, without that volume and with the
    /// standings as they were; and it comes out even for every component.
    #[test]
    fn what_stands_is_the_close_without_the_volume_and_with_the_standings_of_then(
        (columns, parts, inputs) in worlds(),
        eighths in eighths(),
        of_given in 0u8..=8,
        rounding in 0usize..5,
    ) {
        let rounding = Rounding::ALL[rounding];
        let period = Period::closed(columns, &parts, inputs, rounding);
        let mut posted = period.posted.clone();
        let corrected = period.correct(&mut posted, &eighths, of_given);
        let (then, inputs) = (kept(&period.columns, &eighths), given(&period.inputs, of_given));
        let population = Population::new(&period.columns).unwrap();
        let stands = (0..population.len()).map(|member| {
            let position = population.position(u32::try_from(member).unwrap()).unwrap();
            let ranking = &period.close.ranking;
            Stand {
                active: period.held.active[member],
                paid_as: period.held.paid_as[member],
                achieved: period.held.achieved[member],
                active_legs: usize::from(at(&ranking.active_legs, position)),
                ..Stand::default()
            }
        });
        let currency = eur();
        let oracle = Oracle {
            columns: &then, parts: &parts, inputs: &inputs, rounding, currency,
            stands: stands.collect(),
        };
        let mut wanted = Posted::new(population.len());
        for outcome in oracle.pay() {
            let id = ComponentId::parse(&outcome.id).unwrap();
            // What orders earned is posted with them, and only what caps take is posted here.
            let of_orders = inputs.given.iter().find(|g| g.component == id && g.unearned.is_none());
            for (member, paid) in (0u32..).zip(&outcome.paid) {
                let elsewhere = of_orders.map(|given| given.earned[us(member)]).unwrap_or_default();
                wanted.add(&id, Whose::Member(member), *paid - elsewhere);
            }
            for (why, sum) in &outcome.totals.breakage {
                wanted.add(&id, Whose::Breakage(*why), *sum);
            }
            for (cap, sum) in &outcome.totals.capped {
                wanted.add(&id, Whose::Capped(cap.clone()), *sum);
            }
            wanted.add(&id, Whose::Carried, outcome.totals.carried);
        }
        prop_assert_eq!(standing(&posted), standing(&wanted));
        prop_assert!(corrected.iter().all(|correction| !correction.amount.is_zero()));
        let again = period.correct(&mut posted, &eighths, of_given);
        prop_assert_eq!(again, [], "what is corrected stays so");
    }

    /// In parts, in whatever order, is what it is at once; and back again is nothing.
    #[test]
    fn returns_in_parts_come_to_what_they_come_to_at_once(
        (columns, parts, inputs) in worlds(),
        (first, then) in (eighths(), eighths()),
        (of_first, of_then) in (0u8..=8, 0u8..=8),
    ) {
        let period = Period::closed(columns, &parts, inputs, Rounding::HalfEven);
        let (mut parted, mut whole) = (period.posted.clone(), period.posted.clone());
        let mut sums = Posted::new(period.columns.sponsor.len());
        post(&mut sums, &period.correct(&mut parted, &first, of_first));
        post(&mut sums, &period.correct(&mut parted, &then, of_then));
        let mut once = Posted::new(period.columns.sponsor.len());
        post(&mut once, &period.correct(&mut whole, &then, of_then));
        prop_assert_eq!(standing(&parted), standing(&whole));
        prop_assert_eq!(standing(&sums), standing(&once));
    }

    /// Where all comes back, all that volumes paid is taken back; what is left are bonuses for ranks and pools
    /// of a fixed size.
    #[test]
    fn a_full_return_takes_back_all_that_volumes_paid(
        (columns, mut parts, mut inputs) in worlds(),
    ) {
        inputs.carried.clear();
        for component in &mut parts.components {
            if let CloseComponent::Pool(pool) = component
                && let PoolSize::Fixed { .. } = pool.size
            {
                pool.size = PoolSize::Fixed { amount: Money::ZERO };
            }
        }
        let period = Period::closed(columns, &parts, inputs, Rounding::HalfUp);
        let mut posted = period.posted.clone();
        period.correct(&mut posted, &[0], 0);
        let bonus = ComponentId::parse("bonus").unwrap();
        let left = standing(&posted).into_keys().find(|(component, _)| *component != bonus);
        prop_assert_eq!(left, None);
    }

    /// The caps hold for the corrected period: of the company by the volume that is left, of distributors by
    /// the rank that they had.
    #[test]
    fn caps_hold_for_what_is_left(
        (columns, parts, inputs) in worlds(),
        eighths in eighths(),
        of_given in 0u8..=8,
    ) {
        let period = Period::closed(columns, &parts, inputs, Rounding::HalfEven);
        let population = Population::new(&kept(&period.columns, &eighths)).unwrap();
        let inputs = given(&period.inputs, of_given);
        let close = restate(&period.plan, &population, &period.held, &inputs).unwrap();
        let cv: Volume = population.volume(Measure::Cv).iter().copied().sum();
        for cap in &parts.caps {
            let counted: Vec<_> = cap.counts.iter().filter_map(|id| close.component(id)).collect();
            match &cap.limit {
                Limit::Company { share_of_cv, .. } => {
                    let conversion = parts.volumes.conversion;
                    let limit = cv.earning(conversion, *share_of_cv, Rounding::HalfEven, eur());
                    let paid: Money = counted.iter().map(|close| close.totals.paid).sum();
                    prop_assert!(paid <= limit, "{}: {paid} of {limit}", cap.id);
                }
                Limit::Distributor { amount, by_rank, .. } => {
                    let most = by_rank.iter().map(|row| row.amount).chain([*amount]).max().unwrap();
                    for position in population.positions() {
                        let paid: Money = counted.iter().map(|close| close.paid_to(position)).sum();
                        prop_assert!(paid <= most);
                    }
                }
            }
        }
    }

    /// In a plan in which nothing ties people together but who stands above whom, a return touches nobody
    /// else; and who is above gives back what they had of it and no more.
    #[test]
    fn nobody_is_touched_who_stands_above_nobody_who_returns(
        (columns, mut parts, inputs) in worlds(),
        eighths in eighths(),
    ) {
        parts.caps.clear();
        parts.components.retain(|c| matches!(c, CloseComponent::UnilevelVolume(_)));
        let inputs = Inputs { forced: inputs.forced, ..Inputs::default() };
        let period = Period::closed(columns, &parts, inputs, Rounding::HalfEven);
        let mut posted = period.posted.clone();
        let then = kept(&period.columns, &eighths);
        let lost = |m: &u32| then.cv[us(*m)] < period.columns.cv[us(*m)].at_least_zero();
        let members = 0..u32::try_from(period.columns.sponsor.len()).unwrap();
        let returned: Vec<u32> = members.filter(lost).collect();
        for correction in period.correct(&mut posted, &eighths, 8) {
            prop_assert!(!returned.is_empty(), "nothing came back");
            if let Whose::Member(member) = correction.whose {
                prop_assert!(returned.iter().any(|below| is_above(&period.columns, member, *below)));
                prop_assert!(correction.amount.is_negative());
            }
        }
    }
}

const PLAN: &str = r#"
    volumes.qv = { source = "net", rate = "1" }
    volumes.cv = { source = "net", rate = "1" }
    volumes.pv = "qv"
    volumes.group = "pv"
    volumes.retail_orders = "referrer"
    volumes.conversion = "1"
    volumes.negative_volume = "carry"
    activity = { pv = "100", look_back = 1, window = "sum", active_leg = "frontline" }
    ladder = { reach = "highest_met", leg_rank = "paid_as" }
    rank = [{ id = "gold", active = true, gv = "900" }]
    [[component]]
    kind = "unilevel_volume"
    id = "levels"
    rank = "paid_as"
    compression = "none"
    rates = [{ rates = ["10 %"] }]
    [[component]]
    kind = "matching"
    id = "matching"
    on = ["levels"]
    rank = "paid_as"
    compression = "none"
    negative_earnings = "ignore"
    rates = [{ rates = ["50 %"] }]
    [[component]]
    kind = "pool"
    id = "pool"
    size = { kind = "share_of_cv", rate = "5 %" }
    rank = "paid_as"
    shares = [{ from = "gold", shares = 1 }]
    nobody = "breakage"
    [[cap]]
    id = "company"
    after = "pool"
    counts = ["levels", "matching", "pool"]
    limit = { per = "company", share_of_cv = "12 %", method = "pro_rata" }
"#;

/// Top enrolled A, who enrolled B and C; all bought 100, C 700 more, which come back. Everybody is held as
/// active and Top as gold, though 300 would not make Top so and C's rest is below the floor.
#[test]
fn a_return_is_taken_back_through_levels_matching_pool_and_the_cap_of_the_company() {
    let points = |volumes: [i32; 4]| volumes.map(Volume::points).to_vec();
    let mut columns = super::super::population::tests::people(&[u32::MAX, 0, 1, 1]);
    columns.pv = points([100, 100, 100, 800]);
    columns.qv.clone_from(&columns.pv);
    columns.cv.clone_from(&columns.pv);
    let parts: CloseParts = toml::from_str(PLAN).unwrap();
    let period = Period::closed(columns, &parts, Inputs::default(), Rounding::HalfEven);
    let paid = |close: &Close, population: &Population| -> Vec<String> {
        let of = |component: &super::super::ComponentClose| {
            (0..4).map(|m| close.paid(&component.id, population, m).to_string()).collect::<Vec<_>>()
        };
        close.components().iter().map(|component| of(component).join(" ")).collect()
    };
    let population = Population::new(&period.columns).unwrap();
    // Levels: Top 10 of A, A 10 of B and 80 of C. Matching: Top half of A's 90, nobody above Top. Pool: 5 % of
    // 1,100 to Top and A, who has 1,000 below: 27.50 each. Together 200; the cap is 132, 66 %.
    assert_eq!(
        paid(&period.close, &population),
        ["6.60 59.40 0.00 0.00", "29.70 0.00 0.00 0.00", "18.15 18.15 0.00 0.00"]
    );
    let mut columns = period.columns.clone();
    columns.pv = points([100, 100, 100, 50]);
    columns.qv.clone_from(&columns.pv);
    columns.cv.clone_from(&columns.pv);
    let population = Population::new(&columns).unwrap();
    let close = restate(&period.plan, &population, &period.held, &period.inputs).unwrap();
    // Levels: Top 10, A 15. Matching 7.50. Pool: 17.50, 8.75 each. Together 50; the cap is 42: 84 %.
    assert_eq!(
        paid(&close, &population),
        ["8.40 12.60 0.00 0.00", "6.30 0.00 0.00 0.00", "7.35 7.35 0.00 0.00"]
    );
    let told = corrections(&close, &population, &period.posted, &january());
    let told: Vec<String> =
        told.iter().map(|c| format!("{} {:?} {}", c.component, c.whose, c.amount)).collect();
    let told = told.join(", ").replace("ComponentId(\"company\")", "company");
    assert_eq!(
        told,
        "levels Member(0) 1.80, levels Member(1) -46.80, levels Capped(company) -30.00, \
         matching Member(0) -23.40, matching Capped(company) -14.10, \
         pool Member(0) -10.80, pool Member(1) -10.80, pool Capped(company) -15.90"
    );
}
