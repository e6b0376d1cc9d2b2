use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    commission::{Attribution, Locks, MappedOrder, VolumeLine},
    genealogy::GenealogyVersion,
    money::{Currency, Money},
    order::{RefundPolicy, Status},
    plan::PlanRef,
    volume::Volume,
};

/// A line, who it counts for, whether they bought it, points.
type Counts = (u8, u8, bool, i64);

fn amount(points: i64) -> LineVolumes {
    let parts = |by: i64| Volume::from_parts(points * by);
    LineVolumes { pv: parts(1), qv: parts(10_000), cv: parts(-3) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn run(revision: u64, second: i64, counts: &[Counts]) -> Run {
    let order = MappedOrder {
        key: OrderKey::parse("shopify/acme/1").unwrap(),
        revision,
        status: Status::Paid,
        refund_policy: RefundPolicy::default(),
        placed_at: at(second),
        currency: Currency::parse("EUR").unwrap(),
        total: Money::ZERO,
        attribution: Attribution::default(),
        locks: Locks {
            genealogy: GenealogyVersion::EMPTY,
            plan: PlanRef { id: "p".into(), version: 1, hash: Digest::ZERO },
            catalog: 0,
            late_lines: BTreeMap::new(),
            rate: None,
            attribution: None,
            ranks: None,
            ranks_hash: None,
        },
        chargebacks: Vec::new(),
        lines: Vec::new(),
    };
    let line = |(line, who, own, points): &Counts| VolumeLine {
        line: LineId::parse(&line.to_string()).unwrap(),
        distributor: DistributorId::parse(&who.to_string()).unwrap(),
        source: if *own { VolumeSource::OwnUse } else { VolumeSource::Retail },
        amount: amount(*points),
    };
    Run {
        engine: "test".into(),
        order_hash: order.hash(),
        order,
        walks: BTreeMap::new(),
        lines: Vec::new(),
        totals: BTreeMap::new(),
        idle: BTreeMap::new(),
        volumes: Some(counts.iter().map(line).collect()),
    }
}

/// The naive journal: keeps every entry and sums when asked.
#[derive(Default)]
struct Book(Vec<VolumeEntry>);

impl Book {
    fn posted(&self) -> Vec<PostedVolume> {
        let mut sums: BTreeMap<VolumePosition, PostedVolume> = BTreeMap::new();
        for entry in &self.0 {
            let posted = sums.entry(entry.position.clone()).or_insert_with(|| PostedVolume {
                position: entry.position.clone(),
                amount: LineVolumes::default(),
                last: entry.event_id,
            });
            posted.amount += entry.amount;
            posted.last = entry.event_id;
        }
        sums.into_values().collect()
    }

    fn sums(&self) -> Vec<(VolumePosition, LineVolumes)> {
        let all = self.posted().into_iter().map(|posted| (posted.position, posted.amount));
        all.filter(|(_, amount)| !amount.is_zero()).collect()
    }

    fn post(&mut self, run: &Run) -> Vec<VolumeEntry> {
        let entries = post(run, &self.posted());
        self.0.extend(entries.iter().cloned());
        entries
    }
}

#[test]
fn a_refund_takes_back_by_a_negative_entry_that_points_to_what_it_corrects() {
    let mut book = Book::default();
    let first = book.post(&run(1, 0, &[(1, 7, false, 40)]));
    let second = book.post(&run(2, 0, &[(1, 7, false, 30)]));
    let third = book.post(&run(3, 0, &[]));
    assert_eq!((first[0].amount, first[0].corrects), (amount(40), None));
    assert_eq!((second[0].amount, second[0].corrects), (amount(-10), Some(first[0].event_id)));
    assert_eq!((third[0].amount, third[0].corrects), (amount(-30), Some(second[0].event_id)));
    assert_eq!(book.sums(), []);
}

#[test]
fn what_a_changed_date_moves_is_taken_from_the_period_that_had_it() {
    let mut book = Book::default();
    book.post(&run(1, 0, &[(1, 7, true, 40)]));
    let moved = book.post(&run(2, 86_400, &[(1, 7, true, 40)]));
    let told: Vec<_> = moved.iter().map(|e| (e.position.placed_at, e.amount)).collect();
    assert_eq!(told, [(at(0), amount(-40)), (at(86_400), amount(40))]);
}

#[test]
fn a_time_finer_than_the_journal_keeps_is_one_position() {
    let mut book = Book::default();
    let mut order = run(1, 0, &[(1, 7, true, 40)]);
    order.order.placed_at = Timestamp::from_nanosecond(1_790_000_000_123_456_789).unwrap();
    book.post(&order);
    order.order.revision = 2;
    assert_eq!(book.post(&order), []);
    assert_eq!(book.0[0].position.placed_at.as_nanosecond() % 1_000, 0);
}

#[test]
fn every_field_of_an_entry_is_in_its_leaf() {
    let key = OrderKey::parse("shopify/acme/1").unwrap();
    let entry = post(&run(1, 0, &[(1, 7, false, 40)]), &[]).remove(0);
    let other = post(&run(2, 0, &[(1, 7, false, 40)]), &[]).remove(0);
    let more = |pick: fn(&mut LineVolumes) -> &mut Volume| {
        let mut more = entry.clone();
        *pick(&mut more.amount) += Volume::from_parts(1);
        more
    };
    let moved = |change: fn(&mut VolumePosition)| {
        let mut moved = entry.clone();
        change(&mut moved.position);
        moved
    };
    let changed = [
        VolumeEntry { event_id: other.event_id, ..entry.clone() },
        VolumeEntry { corrects: Some(other.event_id), ..entry.clone() },
        more(|amount| &mut amount.pv),
        more(|amount| &mut amount.qv),
        more(|amount| &mut amount.cv),
        moved(|position| position.line = LineId::parse("2").unwrap()),
        moved(|position| position.distributor = DistributorId::parse("8").unwrap()),
        moved(|position| position.source = VolumeSource::OwnUse),
        moved(|position| position.placed_at = at(1)),
    ];
    let leaf = entry.leaf(&key, 1);
    for other in &changed {
        assert_ne!(other.leaf(&key, 1), leaf, "{other:?}");
    }
    assert_ne!(entry.leaf(&key, 2), leaf);
    assert_ne!(entry.leaf(&OrderKey::parse("shopify/acme/2").unwrap(), 1), leaf);
}

fn counts() -> impl Strategy<Value = Vec<Counts>> {
    let line = (0u8..3, 0u8..3, any::<bool>(), 0i64..5_000);
    prop::collection::vec(line, 0..6)
}

proptest! {
    /// Whatever came before, the sums are those of the last run; no id repeats; no entry is empty; a
    /// correction points to the entry before it on its position; and the same run again posts nothing.
    #[test]
    fn any_history_ends_at_the_last_run(
        history in prop::collection::vec((0i64..2, counts()), 1..6),
    ) {
        let mut book = Book::default();
        for (revision, (second, counts)) in (1..).zip(&history) {
            let before = book.0.len();
            book.post(&run(revision, *second, counts));
            let (known, new) = book.0.split_at(before);
            for entry in new {
                prop_assert!(!entry.amount.is_zero());
                let last = known.iter().rev().find(|other| other.position == entry.position);
                prop_assert_eq!(entry.corrects, last.map(|last| last.event_id));
            }
            let again = run(revision + 100, *second, counts);
            prop_assert_eq!(post(&again, &book.posted()), []);
        }
        let (second, counts) = history.last().unwrap();
        let mut fresh = Book::default();
        fresh.post(&run(1, *second, counts));
        prop_assert_eq!(book.sums(), fresh.sums());
        let ids: BTreeSet<EventId> = book.0.iter().map(|entry| entry.event_id).collect();
        prop_assert_eq!(ids.len(), book.0.len());
        book.post(&run(99, 0, &[]));
        prop_assert_eq!(book.sums(), []);
    }
}
