//! Properties of the shares, and the pace in a simulated queue.

use std::collections::VecDeque;

use proptest::{prelude::*, test_runner::TestCaseResult};

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SURE: Comeback = Comeback::Sure;
const UNSURE: Comeback = Comeback::Unsure;

fn admission(config: &AdmissionConfig, stores: usize) -> Arc<Admission> {
    Admission::new(config, stores, 256 << 20, 10 << 20)
}

/// A store that sends evenly.
#[derive(Debug, Clone, Copy)]
struct Source {
    comeback: Comeback,
    per_second: u64,
}

fn source(comeback: Comeback, per_second: u64) -> Source {
    Source { comeback, per_second }
}

/// What became of a store's deliveries.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    taken: u64,
    refused: u64,
}

/// A queue with one server behind the edges of some processes. A watcher looks every 250 ms and tells
/// `late` afterwards; the server settles in batches.
struct World {
    now: Instant,
    millis: u64,
    edges: Vec<Arc<Admission>>,
    queue: VecDeque<u64>,
    per_second: u64,
    /// How often a batch is settled, in milliseconds.
    batch: u64,
    /// Thousandths of a delivery: what each source is about to send, and the server to settle.
    due: Vec<u64>,
    work: u64,
    arrived: u64,
    settled: u64,
    /// What the watcher has seen and not told yet, with the time to tell it.
    told: VecDeque<(u64, Reading)>,
    late: u64,
    last: Option<(u64, u64)>,
    /// The longest wait of what was settled, and of what still waits, since it was last read.
    longest: u64,
    pace: Option<u64>,
}

impl World {
    fn new(config: &AdmissionConfig, stores: usize, processes: usize, per_second: u64) -> Self {
        Self {
            now: Instant::now(),
            millis: 0,
            edges: (0..processes).map(|_| admission(config, stores)).collect(),
            queue: VecDeque::new(),
            per_second,
            batch: 20,
            due: vec![0; stores],
            work: 0,
            arrived: 0,
            settled: 0,
            told: VecDeque::new(),
            late: 0,
            last: None,
            longest: 0,
            pace: None,
        }
    }

    /// Goes on for so many milliseconds with these sources.
    fn run(&mut self, sources: &[Source], millis: u64) -> Vec<Tally> {
        let mut tallies = vec![Tally::default(); sources.len()];
        for _ in 0..millis {
            self.millis += 1;
            self.now += MILLI;
            for (index, source) in sources.iter().enumerate() {
                self.due[index] += source.per_second;
                while self.due[index] >= 1000 {
                    self.due[index] -= 1000;
                    let tally = &mut tallies[index];
                    if self.offer(Slot(index), source.comeback) {
                        tally.taken += 1;
                    } else {
                        tally.refused += 1;
                    }
                }
            }
            self.serve();
            self.watch();
        }
        tallies
    }

    fn offer(&mut self, store: Slot, comeback: Comeback) -> bool {
        let turn = usize::try_from(self.arrived).unwrap() + self.edges.len() + store.0;
        let edge = &self.edges[turn % self.edges.len()];
        let taken = edge
            .peek(self.now, store, comeback, 9_000)
            .and_then(|()| edge.take(self.now, store, comeback, 9_000));
        if taken.is_ok() {
            self.arrived += 1;
            self.queue.push_back(self.millis);
        }
        taken.is_ok()
    }

    fn serve(&mut self) {
        self.work += self.per_second;
        if self.millis.is_multiple_of(self.batch) {
            for _ in 0..self.work / 1000 {
                let Some(since) = self.queue.pop_front() else { break };
                self.longest = self.longest.max(self.millis - since);
                self.settled += 1;
            }
            self.work %= 1000;
        }
        let oldest = self.queue.front().map_or(0, |since| self.millis - since);
        self.longest = self.longest.max(oldest);
    }

    fn watch(&mut self) {
        if self.millis.is_multiple_of(250) {
            let backlog = u64::try_from(self.queue.len()).unwrap();
            let (arrived, settled) =
                self.last.replace((self.arrived, self.settled)).unwrap_or_default();
            let settled = i64::try_from(self.settled - settled).unwrap();
            let reading =
                Reading { backlog, arrived: self.arrived - arrived, settled: Some(settled) };
            self.told.push_back((self.millis + self.late, reading));
        }
        while self.told.front().is_some_and(|(at, _)| *at <= self.millis) {
            let (_, reading) = self.told.pop_front().unwrap();
            for edge in &self.edges {
                self.pace = edge.observe(self.now, reading).pace;
            }
        }
    }

    fn longest(&mut self) -> u64 {
        std::mem::take(&mut self.longest)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// P6 in small: too much for half a minute leaves waits within twice the target and the server at
    /// work, and when it is over everything is taken again.
    #[test]
    fn overload_keeps_the_wait_near_the_target_and_the_server_busy(
        per_second in 300u64..6000,
        percent in 120u64..=200,
        target in 500u64..=2000,
        late in 0u64..=150,
        stores in 1usize..=5,
        processes in 1usize..=3,
        batch in 1u64..=40,
    ) {
        prop_assume!(percent * (250 + late) <= target * 200 || target >= 1000);
        let config = AdmissionConfig { target_wait: MILLI * u32::try_from(target).unwrap(), ..AdmissionConfig::default() };
        let mut world = World::new(&config, stores, processes, per_second);
        // One that takes long leaves the last one's wait to be paid for.
        (world.late, world.batch) = (late, target * batch / 100);
        let each = |percent: u64| {
            let rate = per_second * percent / 100 / u64::try_from(stores).unwrap();
            vec![source(SURE, rate); stores]
        };
        let calm = world.run(&each(50), 5_000);
        prop_assert!(calm.iter().all(|tally| tally.refused == 0));
        let before = world.settled;
        let storm = world.run(&each(percent), 30_000);
        prop_assert!(storm.iter().all(|tally| tally.refused > 0), "{:?}", storm);
        prop_assert!(world.longest() <= 2 * target + world.batch, "waited {}", world.longest);
        let settled = world.settled - before;
        prop_assert!(settled * 100 >= per_second * 30 * 95, "settled {} of {}", settled, per_second * 30);
        world.run(&each(50), 3_000 + 2 * target);
        let after = world.run(&each(50), 5_000);
        prop_assert!(after.iter().all(|tally| tally.refused == 0));
        prop_assert!(world.pace.is_none());
    }

    /// Max-min fairness: who wants less than an equal share gets all of it, the others get the same.
    #[test]
    fn a_flood_takes_nothing_from_a_store_within_its_share(
        per_second in 800u64..5000,
        modest in 5u64..=80,
        floods in 1usize..=4,
        times in 2u64..=6,
    ) {
        let share = per_second / u64::try_from(floods + 1).unwrap();
        let mut sources = vec![source(SURE, share * modest / 100)];
        // Each of the floods is stronger than the one before.
        sources.extend((1..=floods).map(|n| {
            source(SURE, share * (times + u64::try_from(n).unwrap()))
        }));
        let mut world = World::new(&AdmissionConfig::default(), sources.len(), 1, per_second);
        world.run(&sources, 8_000);
        let tallies = world.run(&sources, 20_000);
        prop_assert!(world.pace.is_some());
        // A little more than nothing, for a share moves with the pace that is measured.
        prop_assert!(tallies[0].refused * 50 <= tallies[0].taken, "{:?}", tallies);
        let (least, most) = (
            tallies[1..].iter().map(|tally| tally.taken).min().unwrap(),
            tallies[1..].iter().map(|tally| tally.taken).max().unwrap(),
        );
        prop_assert!(most - least <= most / 20 + 5, "{:?}", tallies);
    }

    /// An outage refuses nobody while the second limit is far, and neither does the time after it.
    #[test]
    fn an_outage_refuses_nobody_and_neither_does_the_recovery(
        per_second in 300u64..5000,
        percent in 5u64..=45,
        before in 0u64..=40,
        seconds in 2u64..=40,
    ) {
        let mut world = World::new(&AdmissionConfig::default(), 2, 1, per_second);
        let half = per_second * percent / 200;
        let sources = [source(SURE, half), source(UNSURE, half)];
        world.run(&sources, before * 100);
        world.per_second = 0;
        let outage = world.run(&sources, seconds * 1000);
        prop_assert!(outage.iter().all(|tally| tally.refused == 0), "{:?}", outage);
        world.per_second = per_second;
        let after = world.run(&sources, 60_000);
        prop_assert!(after.iter().all(|tally| tally.refused == 0), "{:?}", after);
        prop_assert!(world.queue.len() < 200);
    }

    /// Whatever is asked and given back: limits hold, a reserve is always there, nothing leaks.
    #[test]
    fn shares_hold_their_limits_and_return_to_nothing(
        (stores, steps) in (1usize..6).prop_flat_map(|stores| {
            let step = (0..stores, 1usize..400, any::<bool>(), 0u64..40);
            (Just(stores), proptest::collection::vec(step, 1..400))
        }),
        in_flight in 1usize..100,
        store_reserve in 0usize..20,
    ) {
        shares_hold(stores, in_flight, store_reserve, &steps)?;
    }

    #[test]
    fn who_is_refused_comes_back_spread_and_not_too_early(
        wait in 0u64..200_000, least in 1u64..20_000, a in any::<[u8; 12]>(), known in any::<bool>(),
    ) {
        let least = Duration::from_millis(least);
        let wait = known.then(|| Duration::from_millis(wait));
        let refusal = Refusal { reason: Reason::Backlog, wait };
        let soonest = wait.unwrap_or(PAUSE_LONGEST).min(PAUSE_LONGEST).max(least);
        let back = refusal.retry_after(least, seed([&a[..]]));
        prop_assert!((soonest..=soonest * 2).contains(&back));
        prop_assert_eq!(refusal.retry_after(least, seed([&a[..5], &a[5..]])), back);
    }
}

fn shares_hold(
    stores: usize,
    in_flight: usize,
    store_reserve: usize,
    steps: &[(usize, usize, bool, u64)],
) -> TestCaseResult {
    const BYTES: usize = 8000;
    let config = AdmissionConfig {
        in_flight: NonZeroUsize::new(in_flight).unwrap(),
        store_reserve,
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&config, stores, BYTES, 400);
    let mut now = Instant::now();
    let mut held: Vec<Permit> = Vec::new();
    for (store, bytes, take, millis) in steps.iter().copied() {
        now += MILLI * u32::try_from(millis).unwrap();
        let slot = Slot(store);
        let of = |store| admission.state().shares.held(store);
        let (before, all) = (of(Some(slot)), of(None));
        if !take {
            if !held.is_empty() {
                drop(held.swap_remove(bytes % held.len()));
            }
            continue;
        }
        let others = all.0 > before.0;
        let peeked = admission.peek(now, slot, SURE, bytes);
        match admission.take(now, slot, SURE, bytes) {
            Ok(permit) => {
                prop_assert_eq!(peeked, Ok(()));
                held.push(permit);
                let (deliveries, bytes) = of(None);
                prop_assert!(deliveries <= in_flight && bytes <= BYTES);
                let half = (in_flight / 2).max(store_reserve.min(in_flight / stores));
                prop_assert!(!others || before.0 < half.max(1), "{before:?} of {in_flight}");
                prop_assert!(!others || before.1 < BYTES / 2);
            }
            Err(refusal) => {
                prop_assert_eq!(peeked, Err(refusal));
                let reserve = store_reserve.min(in_flight / stores);
                prop_assert!(refusal.reason != Reason::InFlight || before.0 >= reserve);
                // The bytes reserved are an eighth of seven eighths, over all stores.
                let reserve = BYTES / 8 * 7 / 8 / stores;
                prop_assert!(refusal.reason != Reason::Bytes || before.1 + bytes > reserve);
            }
        }
    }
    drop(held);
    prop_assert!(admission.state().shares.is_at_rest());
    prop_assert_eq!(admission.state().shares.held(None), (0, 0));
    Ok(())
}

#[test]
fn a_store_alone_may_have_what_is_not_reserved_and_half_beside_others() {
    let config = AdmissionConfig {
        in_flight: NonZeroUsize::new(100).unwrap(),
        ..AdmissionConfig::default()
    };
    let admission = admission(&config, 3);
    let mut now = Instant::now();
    let fill = |now, store| {
        std::iter::from_fn(|| admission.take(now, Slot(store), SURE, 1).ok()).collect::<Vec<_>>()
    };
    let first = fill(now, 0);
    assert_eq!(first.len(), 100 - 2 * 16);
    let second = fill(now, 1);
    assert_eq!(second.len(), 16, "its reserve, at once");
    drop(first);
    assert_eq!(fill(now, 0).len(), 50);
    drop(second);
    now += ACTIVE + MILLI;
    assert_eq!(fill(now, 0).len(), 68, "the other has been away for a second");
}

#[test]
fn who_does_not_come_again_is_let_in_until_the_second_limit() {
    let config = AdmissionConfig { backlog_max: 4_000, ..AdmissionConfig::default() };
    let mut world = World::new(&config, 2, 1, 1_000);
    let sources = [source(SURE, 800), source(UNSURE, 800)];
    let overload = world.run(&sources, 20_000);
    assert_eq!(overload[1].refused, 0, "{overload:?}");
    assert!(overload[0].refused > 2_000, "{overload:?}");
    assert!(overload[0].taken > 4_000, "what it needs does not take all from the others");

    let flood = [source(SURE, 100), source(UNSURE, 3_000)];
    world.run(&flood, 5_000);
    let flooded = world.run(&flood, 10_000);
    assert!(flooded[1].refused > 15_000, "{flooded:?}");
    assert!(world.queue.len() < 6_000, "{}", world.queue.len());
    assert_eq!(flooded[0].refused, 0, "the small store has its share");
}

#[test]
fn an_outage_refuses_who_comes_again_from_half_of_the_second_limit_on() {
    let config = AdmissionConfig { backlog_max: 4_000, ..AdmissionConfig::default() };
    let mut world = World::new(&config, 2, 1, 0);
    let sources = [source(SURE, 400), source(UNSURE, 100)];
    let before = world.run(&sources, 3_900);
    assert!(before.iter().all(|tally| tally.refused == 0));
    world.run(&sources, 2_000);
    let half = world.run(&sources, 5_000);
    assert!(half[0].refused > 1_800 && half[0].taken >= 45, "a trickle shows a recovery: {half:?}");
    assert_eq!(half[1].refused, 0);
    world.run(&sources, 20_000);
    let full = world.run(&sources, 5_000);
    assert!(full[1].refused > 400, "{full:?}");
    world.per_second = 2_000;
    world.run(&sources, 6_000);
    let after = world.run(&sources, 5_000);
    assert!(after.iter().all(|tally| tally.refused == 0), "{after:?}");
}

#[test]
fn the_second_limit_is_as_much_work_as_it_says() {
    let config =
        AdmissionConfig { outage_wait: Duration::from_secs(10), ..AdmissionConfig::default() };
    let mut world = World::new(&config, 1, 1, 1_000);
    // Busy enough to know what it can do, then dead.
    world.run(&[source(SURE, 1_500)], 5_000);
    world.per_second = 0;
    world.run(&[source(UNSURE, 1_000)], 8_000);
    assert_eq!(world.run(&[source(UNSURE, 1_000)], 500)[0].refused, 0);
    world.run(&[source(UNSURE, 1_000)], 3_000);
    assert!((9_000..12_000).contains(&world.queue.len()), "{}", world.queue.len());
    assert!(world.run(&[source(UNSURE, 1_000)], 1_000)[0].refused > 900);
}

#[test]
fn what_the_pipeline_can_do_is_remembered() {
    let mut world = World::new(&AdmissionConfig::default(), 1, 1, 1_000);
    world.run(&[source(SURE, 1_500)], 10_000);
    assert_eq!(world.run(&[source(SURE, 450)], 10_000)[0].refused, 0);
    // A flood that would be twice the target before anything was measured.
    world.longest();
    world.run(&[source(SURE, 4_000)], 10_000);
    let longest = world.longest();
    assert!(longest < 2_000, "{longest}");
    // An outage at an ordinary load refuses nobody for all that.
    world.run(&[source(SURE, 450)], 10_000);
    world.per_second = 0;
    assert_eq!(world.run(&[source(SURE, 450)], 20_000)[0].refused, 0);
    world.per_second = 1_000;
    assert_eq!(world.run(&[source(SURE, 450)], 40_000)[0].refused, 0);
}

#[test]
fn a_burst_is_no_overload() {
    let mut world = World::new(&AdmissionConfig::default(), 1, 1, 100);
    for _ in 0..5 {
        let burst = world.run(&[source(SURE, 1_000)], 95);
        assert_eq!(burst[0].refused, 0);
        assert_eq!(world.run(&[source(SURE, 10)], 2_000)[0].refused, 0);
    }
}

#[test]
fn a_target_of_zero_switches_the_pace_off() {
    let config = AdmissionConfig {
        target_wait: Duration::ZERO,
        backlog_max: 1_000,
        ..AdmissionConfig::default()
    };
    let mut world = World::new(&config, 1, 1, 500);
    assert_eq!(world.run(&[source(SURE, 1_500)], 20_000)[0].refused, 0);
    assert!(world.queue.len() > 15_000);
}

#[test]
fn without_a_watcher_nobody_is_refused() {
    let mut world = World::new(&AdmissionConfig::default(), 1, 1, 500);
    assert!(world.run(&[source(SURE, 1_500)], 20_000)[0].refused > 5_000);
    world.now += Duration::from_millis(10_001);
    for _ in 0..2_000 {
        assert!(world.offer(Slot(0), SURE));
    }
}

#[test]
fn what_asks_and_does_not_prove_itself_takes_nothing() {
    let mut world = World::new(&AdmissionConfig::default(), 2, 1, 1_000);
    let sources = [source(SURE, 200), source(SURE, 2_000)];
    world.run(&sources, 10_000);
    let edge = Arc::clone(&world.edges[0]);
    let mut refused = 0;
    for _ in 0..5_000 {
        // A stranger who claims to be the first store, far more often than it.
        for _ in 0..20 {
            edge.peek(world.now, Slot(0), SURE, 9_000).ok();
        }
        refused += world.run(&sources, 1)[0].refused;
    }
    assert_eq!(refused, 0);
    assert_eq!(edge.state().shares.held(None), (0, 0));
}
