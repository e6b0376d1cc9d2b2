//! The tree as one would write it down without a thought for memory: the oracle of the real one.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::{
    tests::{at, id},
    *,
};

/// A dated sponsor or status with the number of its event.
type Dated<T> = (u64, Timestamp, T);

/// Every distributor by their text, every list as it was recorded.
#[derive(Debug, Clone, Default)]
struct Model {
    first: HashMap<String, Option<String>>,
    enrolled: HashMap<String, u64>,
    moves: HashMap<String, Vec<Dated<Option<String>>>>,
    statuses: HashMap<String, Vec<Dated<DistributorStatus>>>,
    /// Everybody who was ever named.
    named: BTreeSet<String>,
}

fn in_force<T: Clone>(entries: Option<&Vec<Dated<T>>>, time: Timestamp, seq: u64) -> Option<T> {
    let known = entries?.iter().filter(|(number, from, _)| *number <= seq && *from <= time);
    known.max_by_key(|(number, from, _)| (*from, *number)).map(|(_, _, value)| value.clone())
}

impl Model {
    fn apply(&mut self, event: &GenealogyEvent) {
        let (who, seq) = (event.distributor.to_string(), event.seq);
        self.named.insert(who.clone());
        match &event.change {
            Change::Enrolled(sponsor) | Change::Sponsored(sponsor) => {
                let sponsor = sponsor.as_ref().map(ToString::to_string);
                if let Some(sponsor) = &sponsor {
                    self.named.insert(sponsor.clone());
                }
                if self.enrolled.contains_key(&who) {
                    self.moves.entry(who).or_default().push((seq, event.effective_at, sponsor));
                } else {
                    self.enrolled.insert(who.clone(), seq);
                    self.first.insert(who, sponsor);
                }
            }
            Change::Status(status) => {
                let statuses = self.statuses.entry(who).or_default();
                statuses.push((seq, event.effective_at, *status));
            }
        }
    }

    fn knows(&self, id: &str, seq: u64) -> bool {
        self.enrolled.get(id).is_some_and(|enrolled| *enrolled <= seq)
    }

    fn code(&self, code: &str, seq: u64) -> Option<&str> {
        let code = code.trim();
        let exact = self.named.iter().find(|id| *id == code && self.knows(id, seq));
        let capitals = |id: &String| id.to_ascii_lowercase() != *id;
        let folded = || {
            let lower = code.to_ascii_lowercase();
            let alike = |id: &&String| capitals(id) && id.to_ascii_lowercase() == lower;
            let all: Vec<&String> = self.named.iter().filter(alike).collect();
            <[&String; 1]>::try_from(all).ok().map(|[only]| only).filter(|id| self.knows(id, seq))
        };
        exact.or_else(folded).map(String::as_str)
    }

    fn sponsor(&self, id: &str, time: Timestamp, seq: u64) -> Option<String> {
        if !self.knows(id, seq) {
            return None;
        }
        let moved = in_force(self.moves.get(id), time, seq);
        moved.unwrap_or_else(|| self.first.get(id).cloned().flatten())
    }

    fn status(&self, id: &str, time: Timestamp, seq: u64) -> DistributorStatus {
        if !self.knows(id, seq) {
            return DistributorStatus::Inactive;
        }
        in_force(self.statuses.get(id), time, seq).unwrap_or(DistributorStatus::Active)
    }

    fn upline(&self, id: &str, time: Timestamp, seq: u64) -> Vec<String> {
        let mut upline = Vec::new();
        let mut next = self.sponsor(id, time, seq);
        while let Some(sponsor) = next.filter(|next| next != id && upline.len() < self.named.len())
        {
            next = self.sponsor(&sponsor, time, seq);
            upline.push(sponsor);
        }
        upline
    }
}

/// Ids of every case, in short and long ones, that often fold to one.
fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[abAB]{1,2}", 2 => "D[0-9]{1,2}", 1 => "[!-~]{60,64}"]
}

fn any_change() -> impl Strategy<Value = Change> {
    let sponsor = || proptest::option::of(any_id()).prop_map(|name| name.map(|name| id(&name)));
    let status = prop_oneof![
        Just(DistributorStatus::Active),
        Just(DistributorStatus::Inactive),
        Just(DistributorStatus::Terminated)
    ];
    prop_oneof![
        3 => sponsor().prop_map(Change::Enrolled),
        2 => sponsor().prop_map(Change::Sponsored),
        1 => status.prop_map(Change::Status),
    ]
}

fn chained(events: Vec<(String, Change, i64, i32)>) -> Vec<GenealogyEvent> {
    let mut hash = Digest::ZERO;
    let chain = (1..).zip(events).map(|(seq, (who, change, second, nano))| {
        let effective_at = Timestamp::new(second, nano).unwrap();
        let distributor = id(&who);
        let (recorded_at, unchained) = (at(0), Digest::ZERO);
        let mut event =
            GenealogyEvent { seq, distributor, change, effective_at, recorded_at, hash: unchained };
        event.hash = event.chained(&hash);
        hash = event.hash;
        event
    });
    chain.collect()
}

/// Every question about everybody, at these versions and instants around those of the events.
fn compare(tree: &Genealogy, model: &Model, codes: &[String]) {
    assert_eq!(tree.len(), model.named.len());
    let last = tree.version().seq;
    for seq in [0, 1, last / 2, last, u64::MAX] {
        for code in codes.iter().chain(&model.named) {
            assert_eq!(tree.find_code(code, seq), model.code(code, seq), "{code} at {seq}");
        }
        for name in &model.named {
            let member = tree.find_known(&id(name), seq);
            assert_eq!(member.is_some(), model.knows(name, seq), "{name} at {seq}");
            let Some(member) = tree.find(&id(name)) else { continue };
            assert_eq!(tree.id(member).unwrap().as_str(), name);
            for time in [at(-3), at(0), Timestamp::new(1, 5).unwrap(), at(9)] {
                let as_of = tree.as_of(time, seq);
                assert_eq!(as_of.status(member), model.status(name, time, seq), "{name} at {seq}");
                let names = |m: Member| tree.id(m).unwrap().to_string();
                assert_eq!(as_of.sponsor(member).map(names), model.sponsor(name, time, seq));
                let (sponsors, statuses) = as_of.columns();
                let place = usize::try_from(member.number()).unwrap();
                let above = as_of.sponsor(member).map_or(u32::MAX, Member::number);
                assert_eq!((sponsors[place], statuses[place]), (above, as_of.status(member)));
                let upline: Vec<String> = as_of.upline(member).map(names).collect();
                assert_eq!(upline, model.upline(name, time, seq), "{name} at {seq}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_tree_answers_as_the_model_does_and_a_snapshot_stays_what_it_was(
        events in prop::collection::vec((any_id(), any_change(), -2i64..4, -9..9i32), 1..60),
        codes in prop::collection::vec(any_id(), 0..20),
        shared in any::<prop::sample::Index>(),
    ) {
        let events = chained(events.into_iter().map(|(who, change, second, nano)| {
            // Seconds and nanoseconds of one sign.
            (who, change, second, if second < 0 { -nano.abs() } else { nano.abs() })
        }).collect());
        let (mut tree, mut model) = (Genealogy::default(), Model::default());
        let (early, later) = events.split_at(shared.index(events.len()));
        for event in early {
            tree.apply(event).unwrap();
            model.apply(event);
        }
        let (kept, known) = (tree.clone(), model.clone());
        for event in later {
            let mut next = tree.clone();
            next.apply(event).unwrap();
            tree = next;
            model.apply(event);
        }
        compare(&tree, &model, &codes);
        compare(&kept, &known, &codes);
    }
}

/// The property above stays within one block; here are many, with a snapshot before every change.
#[test]
fn blocks_beyond_the_first_answer_too() {
    let mut hash = Digest::ZERO;
    let mut tree = Genealogy::default();
    let mut model = Model::default();
    let mut dice = 1u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) % sides
    };
    for seq in 1..=4_500u64 {
        let who = id(&format!("D{}", if seq < 3_000 { seq } else { roll(3_000) }));
        let sponsor = Some(id(&format!("D{}", roll(seq.min(3_000)))));
        let change = match roll(8) {
            _ if seq < 3_000 => Change::Enrolled(sponsor),
            0 => Change::Status(DistributorStatus::Inactive),
            _ => Change::Sponsored(sponsor),
        };
        let mut event = GenealogyEvent {
            seq,
            distributor: who,
            change,
            effective_at: at(i64::try_from(roll(9)).unwrap()),
            recorded_at: at(0),
            hash,
        };
        event.hash = event.chained(&hash);
        hash = event.hash;
        let mut next = tree.clone();
        next.apply(&event).unwrap();
        tree = next;
        model.apply(&event);
    }
    for number in 0..3_000 {
        let name = format!("D{number}");
        assert_eq!(
            tree.find_code(&name.to_ascii_lowercase(), 4_500).is_some(),
            model.knows(&name, 4_500)
        );
        let Some(member) = tree.find(&id(&name)) else { continue };
        let names = |m: Member| tree.id(m).unwrap().to_string();
        for (time, seq) in [(at(4), 4_500), (at(9), 3_900)] {
            let as_of = tree.as_of(time, seq);
            assert_eq!(as_of.sponsor(member).map(names), model.sponsor(&name, time, seq));
            assert_eq!(as_of.status(member), model.status(&name, time, seq));
        }
    }
}
