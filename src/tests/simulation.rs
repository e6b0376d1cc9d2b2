//! The whole chain over memory, under a script of faults.
//!
//! A seed fixes the orders, their facts, the order of arrival, the duplicates and what goes wrong:
//! publishes that fail, acks that are lost, batches that are rotated, settles that are lost. The
//! books must end where the join of the facts says, computed here without the chain.

mod facts;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;
use upline::{
    clock::Clock,
    domain::{
        catalog::{Scope, SkuEntry},
        commission::{Account, RankBook, Run, VolumeLine, run},
        digest::Digest,
        fx::{ExchangeRate, RateEntry},
        genealogy::{Change, DistributorStatus, GenealogyEvent},
        id::{CommissionClass, DistributorId, LineId, OrderKey, Sku},
        journal::VolumePosition,
        ledger::Position,
        money::{Currency, Money},
        order::{Fact, LooseMoney, OrderState, Referral, Refund, RefundLine, Status},
        plan::{Plan, volume::LineVolumes},
        volume::Volume,
    },
    sink::{CompanyCell, Fused, LedgerSink, OrderBookSink, PublishRuns, StoreTerms, ToLog},
    stage::{
        commission::Commission,
        ledger::{Ledger, Map},
        map::{Company, Mapping, Terms, map},
        message::{Headers, Mapped, Subject, Trace, Validated},
    },
    store::memory::MemoryStore,
    stream::{
        Effect, Outgoing, Publish, Sink,
        memory::{Faults, MemoryLog},
        runner::{Limits, Runner},
    },
    warehouse::recent::Recent,
};

use self::facts::refund;
pub(crate) use self::facts::{Told, event, told};

const PLAN: &str = r#"
    id = "plan"
    version = 1
    effective_from = "1970-01-01T00:00:00Z"
    rounding = "half_up"

    [[component]]
    kind = "direct"
    id = "direct"
    inactive_referrer = "roll_up"
    rates = { a = "12.5 %" }

    [[component]]
    kind = "unilevel"
    id = "unilevel"
    compression = "roll_up"
    rates = { a = ["5 %", "4 %", "3 %"], b = ["7 %"] }
"#;

/// The same plan with volumes: both ways to state one, and an article that states none.
const POINTS: &str = r#"
    [volumes]
    pv = "qv"
    group = "pv"
    retail_orders = "referrer"
    negative_volume = "carry"
    conversion = "1"
    qv = { source = "catalogue", missing = "net" }
    cv = { source = "net", rate = "33.3 %" }
"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn money(cents: i64) -> Money {
    Money::from_decimal(Decimal::new(cents, 2)).unwrap()
}

/// Five distributors in a chain, the third inactive; two classes of articles.
fn company() -> Company {
    let mut company = Company::default();
    let mut sponsor = None;
    for number in 0..5 {
        let id = DistributorId::parse(&format!("d{number}")).unwrap();
        append(&mut company, &id, Change::Enrolled(sponsor.replace(id.clone())));
    }
    let third = DistributorId::parse("d2").unwrap();
    append(&mut company, &third, Change::Status(DistributorStatus::Inactive));
    for (seq, class) in (1..).zip(["a", "b"]) {
        let entry = SkuEntry {
            seq,
            sku_id: Sku::parse(class).unwrap(),
            class: CommissionClass::parse(class).unwrap(),
            effective_from: Timestamp::UNIX_EPOCH,
            cv: None,
            qv: (class == "a").then(|| Volume::parse("12.3457").unwrap()),
        };
        company.catalog.add(Scope::Any, Sku::parse(class).unwrap(), entry);
    }
    let rate = ExchangeRate::parse("1.084273").unwrap();
    let entry = RateEntry { seq: 1, rate, effective_from: Timestamp::UNIX_EPOCH };
    let code = |code: &str| Currency::parse(code).unwrap();
    company.rates.add(code("EUR"), code("USD"), entry);
    let rate = ExchangeRate::parse("1.317").unwrap();
    let entry = RateEntry { seq: 2, rate, effective_from: Timestamp::UNIX_EPOCH };
    company.rates.add(code("GBP"), code("USD"), entry);
    company.plans.add(Plan::parse(PLAN).unwrap());
    let points = PLAN.replace("\"plan\"", "\"points\"");
    company.plans.add(Plan::parse(&format!("{points}{POINTS}")).unwrap());
    company
}

/// Half of the scripts pay in dollars: a rate that makes every conversion round.
fn terms(script: &Script) -> Terms {
    let payout = script.dollars.then(|| Currency::parse("USD").unwrap());
    Terms { payout, ..Terms::of_plan(if script.points { "points" } else { "plan" }) }
}

fn append(company: &mut Company, who: &DistributorId, change: Change) {
    let version = company.genealogy.version();
    let mut event = GenealogyEvent {
        seq: version.seq + 1,
        distributor: who.clone(),
        change,
        effective_at: Timestamp::UNIX_EPOCH,
        recorded_at: Timestamp::UNIX_EPOCH,
        hash: Digest::ZERO,
    };
    event.hash = event.chained(&version.hash);
    company.genealogy.apply(&event).unwrap();
}

/// What happens, all of it drawn from the seed.
#[derive(Debug, Clone)]
struct Script {
    orders: Vec<Vec<Told>>,
    /// The arrival: which order, which fact; with repetitions, every fact at least once.
    arrival: Vec<(usize, usize)>,
    faults: Faults,
    batch: usize,
    dollars: bool,
    /// By the plan with volumes.
    points: bool,
    /// Map, commission and ledger as one.
    fused: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let orders = prop::collection::vec(prop::collection::vec(told(), 1..6), 1..5);
    let arrival = orders.prop_flat_map(|orders| {
        let all: Vec<(usize, usize)> = orders
            .iter()
            .enumerate()
            .flat_map(|(order, facts)| (0..facts.len()).map(move |fact| (order, fact)))
            .collect();
        let again = prop::collection::vec(prop::sample::select(all.clone()), 0..all.len());
        let arrival = again.prop_map(move |again| [all.clone(), again].concat()).prop_shuffle();
        (Just(orders), arrival)
    });
    let flags = || prop::collection::vec(prop::bool::weighted(0.2), 0..60);
    let faults = (flags(), flags(), prop::collection::vec(0usize..7, 0..30), flags()).prop_map(
        |(fails, lost, rotate, settle)| Faults {
            publish_fails: fails.into(),
            ack_lost: lost.into(),
            rotate: rotate.into(),
            settle_lost: settle.into(),
        },
    );
    let flag = any::<bool>;
    (arrival, faults, 1usize..8, flag(), flag(), flag()).prop_map(
        |((orders, arrival), faults, batch, dollars, points, fused)| Script {
            orders,
            arrival,
            faults,
            batch,
            dollars,
            points,
            fused,
        },
    )
}

/// Runs map, commission and ledger until nothing is left to do.
async fn chain(script: &Script, company: &Company) -> Arc<MemoryStore> {
    let log = Arc::new(MemoryLog::default());
    for (nth, (order, fact)) in script.arrival.iter().enumerate() {
        let event = event(*order, *fact, &script.orders[*order][*fact]);
        let subject = Subject::Valid(&event.key).to_string();
        let trace = Trace::start(event.origin.received_at);
        let payload = serde_json::to_vec(&Validated { event, trace }).unwrap();
        let id = format!("arrival:{nth}");
        let message =
            Outgoing { subject, id, headers: Headers::default(), payload: payload.into() };
        log.publish_all(vec![message]).await.unwrap();
    }
    log.script(script.faults.clone());
    let store = Arc::new(MemoryStore::default());
    let cell = CompanyCell::new(company.clone());
    let clock = Clock::of(|| at(2_000));
    let limits = Limits {
        batch: script.batch,
        idle: Duration::from_millis(1),
        retry_first: Duration::from_millis(1),
        retry_longest: Duration::from_millis(2),
    };
    let stop = CancellationToken::new();
    let terms = StoreTerms { default: terms(script), ..StoreTerms::default() };
    let to_log = || ToLog::new(log.clone());
    let runner = |prefix: &str| (log.inbox(prefix), log.clone(), clock.clone());
    let (inbox, dead, now) = runner("orders.valid.");
    let stage = Commission::new(cell.clone());
    let done = async {
        while ["orders.valid.", "orders.mapped.", "commissions.run."]
            .iter()
            .any(|prefix| log.open(prefix) > 0)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
    };
    if script.fused {
        let ledger = LedgerSink::new(store.clone(), Recent::default(), clock.clone());
        let runs = PublishRuns::new(Fused::new(Ledger, ledger), clock.clone());
        let next = Fused::new(stage, runs);
        let book = OrderBookSink { store: store.clone(), next, company: cell, terms, clock };
        let map = Runner { stage: Map, sink: book, inbox, dead, clock: now, limits };
        tokio::join!(map.run(stop.clone()), done);
    } else {
        let ledger = LedgerSink::new(store.clone(), Recent::default(), clock.clone());
        let runs = PublishRuns::new(to_log(), clock.clone());
        let (next, clock) = (to_log(), clock.clone());
        let book = OrderBookSink { store: store.clone(), next, company: cell, terms, clock };
        let map = Runner { stage: Map, sink: book, inbox, dead, clock: now, limits };
        let (inbox, dead, now) = runner("orders.mapped.");
        let commission = Runner { stage, sink: runs, inbox, dead, clock: now, limits };
        let (inbox, dead, now) = runner("commissions.run.");
        let post = Runner { stage: Ledger, sink: ledger, inbox, dead, clock: now, limits };
        let stop = || stop.clone();
        tokio::join!(map.run(stop()), commission.run(stop()), post.run(stop()), done);
    }
    assert!(log.messages("dead.").is_empty(), "nothing is a dead letter");
    store
}

pub(crate) type Sums = BTreeMap<(OrderKey, Position), Money>;

/// The join of all facts of each order, computed once; and which orders end parked. Those keep what
/// was posted before, so what the books say of them depends on the arrival.
fn runs(orders: &[Vec<Told>], company: &Company, terms: &Terms) -> (Vec<Run>, BTreeSet<OrderKey>) {
    let mut runs = Vec::new();
    let mut parked = BTreeSet::new();
    for (order, facts) in orders.iter().enumerate() {
        let events = facts.iter().enumerate().map(|(n, told)| event(order, n, told));
        let state = events.map(OrderState::of).reduce(OrderState::join).unwrap();
        let key = OrderKey::parse(&format!("shopify/acme/{order}")).unwrap();
        let mapped = match map(&key, 1, &state, None, company, terms, &[]) {
            Mapping::Ready(mapped) => mapped,
            Mapping::Parked(_) => {
                parked.insert(key);
                continue;
            }
            Mapping::NoOrderYet => continue,
        };
        let plan = company.plans.get(&mapped.locks.plan).unwrap();
        runs.push(run(*mapped, &company.genealogy, &RankBook::default(), plan).unwrap());
    }
    (runs, parked)
}

/// What the books must say, and which orders end parked.
pub(crate) fn sums(
    orders: &[Vec<Told>],
    company: &Company,
    terms: &Terms,
) -> (Sums, BTreeSet<OrderKey>) {
    let (runs, parked) = runs(orders, company, terms);
    let mut sums = Sums::new();
    for Run { order, lines, .. } in runs {
        let currency = order.payout_currency();
        for line in lines {
            let position = Position {
                line: line.line,
                component: line.component,
                level: line.level,
                account: line.account,
                currency,
            };
            *sums.entry((order.key.clone(), position)).or_default() += line.amount;
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    (sums, parked)
}

type Counted = BTreeMap<(OrderKey, VolumePosition), LineVolumes>;

/// What the volume journal must say.
fn counted(script: &Script, company: &Company) -> Counted {
    let (runs, _parked) = runs(&script.orders, company, &terms(script));
    let mut counted = Counted::new();
    for run in &runs {
        assert_eq!(run.volumes.is_some(), script.points);
        for VolumeLine { line, distributor, source, amount } in run.volumes.iter().flatten() {
            let (line, distributor) = (line.clone(), distributor.clone());
            let placed_at = run.order.placed_at;
            let position = VolumePosition { line, distributor, source: *source, placed_at };
            *counted.entry((run.order.key.clone(), position)).or_default() += *amount;
        }
    }
    counted.retain(|_, amount| !amount.is_zero());
    counted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any arrival of the same facts, under any faults, ends in the same books.
    #[test]
    fn the_books_end_where_the_facts_say(script in script()) {
        let company = company();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let store = runtime.block_on(chain(&script, &company));
        let (wanted, parked) = sums(&script.orders, &company, &terms(&script));
        let mut found = store.balances();
        found.retain(|(key, _), _| !parked.contains(key));
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(store.waits().into_keys().collect::<BTreeSet<_>>(), parked.clone());
        let mut volumes = store.volumes();
        volumes.retain(|(key, _), amount| {
            let least = amount.pv.min(amount.qv).min(amount.cv);
            assert!(least >= Volume::ZERO, "{key} counts less than nothing: {amount:?}");
            !parked.contains(key)
        });
        prop_assert_eq!(volumes, counted(&script, &company));
        for ((_, position), sum) in store.balances() {
            prop_assert!(sum.is_positive(), "{position:?} is below zero");
            prop_assert!(position.account != Account::Breakage || position.level > 0);
        }
        for (order, facts) in script.orders.iter().enumerate() {
            let key = OrderKey::parse(&format!("shopify/acme/{order}")).unwrap();
            let came = |n: &usize| script.arrival.contains(&(order, *n));
            let told: BTreeSet<_> = (0..facts.len())
                .filter(came)
                .map(|n| event(order, n, &facts[n]).origin.delivery)
                .collect();
            let story = store.story(&key);
            let written: BTreeSet<_> = story.iter().map(|c| c.delivery.clone()).collect();
            prop_assert_eq!(&written, &told, "every event is written down");
            prop_assert_eq!(story.len(), told.len(), "and once");
        }
    }

    /// The join of order states is commutative, associative and idempotent.
    #[test]
    fn states_form_a_semilattice(facts in prop::collection::vec(told(), 3)) {
        let states: Vec<OrderState> =
            facts.iter().enumerate().map(|(n, told)| OrderState::of(event(0, n, told))).collect();
        let [a, b, c] = <[OrderState; 3]>::try_from(states).unwrap();
        let join = |x: &OrderState, y: &OrderState| x.clone().join(y.clone());
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
    }

    /// Whatever refunds there are, a line never earns less than nothing or more than it did, and
    /// refunding all of the money leaves nothing.
    #[test]
    fn refunds_stay_between_nothing_and_all(facts in prop::collection::vec(told(), 1..6)) {
        let events = facts.iter().enumerate().map(|(n, told)| event(0, n, told));
        let state = events.map(OrderState::of).reduce(OrderState::join).unwrap();
        for line in state.effective() {
            prop_assert!(!line.net.is_negative() && line.net <= line.line.net);
            prop_assert!(!line.refunded.is_negative() && line.refunded <= line.line.net);
        }
        let all: Money = state.effective().iter().map(|line| line.line.gross).sum();
        let left = |refund: Refund| {
            let state = state.clone().join(OrderState { refunds: [(refund.id.clone(), refund)].into(), ..OrderState::default() });
            state.effective().iter().map(|line| line.net).collect::<Vec<Money>>()
        };
        let loose = vec![LooseMoney { gross: all, against: None }];
        let everything = Refund { loose, ..refund(9, 1_000, 0, 0, 0) };
        prop_assert!(left(everything).iter().all(|line| line.is_zero()));
        // The same money behind a line that the snapshot does not have (any more).
        let of = |line: &str, gross: Money| {
            let line = LineId::parse(line).unwrap();
            let line = RefundLine { line, quantity: Decimal::ONE, net: gross, gross };
            Refund { lines: vec![line], ..refund(9, 1_000, 0, 0, 0) }
        };
        prop_assert!(left(of("77", all)).iter().all(|line| line.is_zero()));
        let before = left(refund(9, 1_000, 0, 0, 0));
        let part = left(of("77", all.proportion(money(1), money(2))));
        prop_assert!(part.iter().zip(&before).all(|(now, before)| now <= before && !now.is_negative()));
        // Behind a row that is folded into a line it takes nothing: another row says it.
        prop_assert_eq!(left(of("9", all)), before);
    }
}

/// Two orders of one customer: the later placed has no code, the earlier one touches first. Whether
/// they come in one batch or one after the other, the first touch earns on both.
#[test]
fn a_first_touch_in_a_batch_counts_as_if_the_orders_came_one_by_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let order = |order: usize, placed: i64, code: Option<&str>| {
        let told = Told::Snapshot(1, Status::Paid, vec![10_000], 0, None);
        let mut event = event(order, 0, &told);
        let Fact::Snapshot(snapshot) = &mut event.fact else { panic!("no snapshot") };
        let referral =
            |source: &str, value: &str| Referral { source: source.into(), value: value.into() };
        snapshot.placed_at = at(placed);
        snapshot.buyer = Some("c1".into());
        snapshot.referrals = code.map(|code| referral("code", code)).into_iter().collect();
        snapshot.referrals.push(referral(Referral::LIFETIME, ""));
        let trace = Trace::start(event.origin.received_at);
        Effect { value: Validated { event, trace }, redelivered: false }
    };
    // In the order of their keys the one that needs the touch comes first.
    let (needs, touches) = (order(0, 10, None), order(1, 0, Some("d1")));
    for batches in [vec![vec![&needs, &touches]], vec![vec![&touches], vec![&needs]]] {
        let log = Arc::new(MemoryLog::default());
        let book = OrderBookSink {
            store: Arc::new(MemoryStore::default()),
            next: ToLog::new(log.clone()),
            company: CompanyCell::new(company()),
            terms: StoreTerms { default: Terms::of_plan("plan"), ..StoreTerms::default() },
            clock: Clock::of(|| at(2_000)),
        };
        for batch in &batches {
            let effects: Vec<Effect<Validated>> = batch
                .iter()
                .map(|effect| Effect { value: effect.value.clone(), redelivered: false })
                .collect();
            let fates = runtime.block_on(book.deliver(&effects)).unwrap();
            assert_eq!(fates.len(), effects.len());
        }
        let mapped = log.messages("orders.mapped.");
        let referrers: BTreeMap<OrderKey, Option<DistributorId>> = mapped
            .iter()
            .map(|message| serde_json::from_slice::<Mapped>(&message.payload).unwrap().order)
            .map(|order| (order.key, order.attribution.referrer))
            .collect();
        assert_eq!(referrers.len(), 2);
        let first = DistributorId::parse("d1").unwrap();
        assert!(referrers.values().all(|who| who.as_ref() == Some(&first)), "{referrers:?}");
    }
}
