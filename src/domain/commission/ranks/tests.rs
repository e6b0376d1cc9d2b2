use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    digest::Digest,
    genealogy::tests::{at, chain, id},
};

const NAMES: [&str; 4] = ["silver", "gold", "retired", "star"];

fn rank(text: &str) -> RankId {
    RankId::parse(text).unwrap()
}

fn ladder() -> Ladder {
    Ladder::new(vec![rank("silver"), rank("gold"), rank("star")])
}

fn fact(seq: u64, who: &str, paid_as: Option<&str>, from: i64) -> RankFact {
    RankFact {
        seq,
        distributor: id(who),
        paid_as: paid_as.map(rank),
        effective_at: at(from),
        source: RankSource::PeriodClose,
    }
}

#[test]
fn a_rank_holds_from_its_instant_for_versions_that_know_it() {
    let tree = chain(&["a", "b"]);
    let mut book = RankBook::default();
    book.record(&fact(3, "b", Some("silver"), 10), &tree).unwrap();
    let kept = book.clone();
    book.record(&fact(5, "b", Some("gold"), 20), &tree).unwrap();
    book.record(&fact(6, "b", None, 30), &tree).unwrap();
    let b = tree.find(&id("b")).unwrap();
    let of = |book: &RankBook, time: i64, seq: u64| book.as_of(at(time), seq, &ladder()).rank(b).0;
    assert_eq!([9, 10, 20, 29, 30].map(|time| of(&book, time, 6)), [0, 1, 2, 2, 0]);
    assert_eq!([of(&book, 99, 5), of(&book, 99, 4), of(&book, 99, 2)], [2, 1, 0]);
    assert_eq!(of(&kept, 99, 6), 1, "a copy does not see what came after it");
    assert_eq!(book.as_of(at(99), 6, &ladder()).rank(tree.find(&id("a")).unwrap()).0, 0);
    assert_eq!(book.version(), 6);
}

#[test]
fn facts_out_of_order_or_about_strangers_are_refused() {
    let tree = chain(&["a"]);
    let mut book = RankBook::default();
    book.record(&fact(2, "a", None, 0), &tree).unwrap();
    let error = book.record(&fact(2, "a", None, 0), &tree);
    assert_eq!(error, Err(RankError::Sequence { last: 2, found: 2 }));
    let error = book.record(&fact(3, "x", None, 0), &tree);
    assert_eq!(error, Err(RankError::Unknown { seq: 3, distributor: id("x") }));
    assert_eq!(book.version(), 2);
}

static LONG: LazyLock<Genealogy> = LazyLock::new(|| {
    let names: Vec<String> = (0..2500).map(|n| format!("d{n}")).collect();
    chain(&names.iter().map(String::as_str).collect::<Vec<_>>())
});

/// Some over several blocks of distributors.
const PEOPLE: [&str; 6] = ["d0", "d1", "d1023", "d1024", "d1025", "d2400"];

fn level(name: Option<&str>) -> RankLevel {
    name.and_then(|name| ladder().level(&rank(name))).unwrap_or_default()
}

/// A rank of a plan as its definition says it, from facts in the order of their numbers.
fn by_definition<'f>(
    known: impl Iterator<Item = &'f RankFact> + Clone,
    at: Timestamp,
) -> RankLevel {
    let name = |fact: &RankFact| level(fact.paid_as.as_ref().map(RankId::as_str));
    let closes = known.clone();
    let closes =
        closes.filter(|fact| matches!(fact.source, RankSource::PeriodClose | RankSource::Imported));
    let begun = closes.filter(|fact| fact.effective_at <= at);
    let numbers = begun.max_by_key(|fact| (fact.effective_at, fact.seq)).map(name);
    let numbers = numbers.unwrap_or_default();
    let decided = known.filter(|fact| {
        let until = match fact.source {
            RankSource::PeriodClose | RankSource::Imported => return false,
            RankSource::Forced { until, .. } | RankSource::Cleared { until } => until,
        };
        fact.effective_at <= at && until.is_none_or(|until| at < until)
    });
    match decided.last() {
        Some(fact) => match fact.source {
            RankSource::Forced { hold: Hold::Exactly, .. } => name(fact),
            RankSource::Forced { hold: Hold::AtLeast, .. } => numbers.max(name(fact)),
            RankSource::Cleared { .. } | RankSource::PeriodClose | RankSource::Imported => numbers,
        },
        None => numbers,
    }
}

/// What somebody may decide that begins at a second: how, and for how many seconds.
fn source(kind: usize, begins: i64, lasts: Option<i64>) -> RankSource {
    let until = lasts.map(|lasts| at(begins + lasts));
    match kind {
        0 => RankSource::Forced { hold: Hold::AtLeast, until },
        1 => RankSource::Forced { hold: Hold::Exactly, until },
        _ => RankSource::Cleared { until },
    }
}

proptest! {
    /// The book answers as a plain list of facts does, at every instant and version.
    #[test]
    fn the_book_answers_as_a_list_does(
        facts in prop::collection::vec(
            (0usize..6, 0usize..5, 0i64..5, 0usize..5, prop::option::of(1i64..4)), 0..40),
        (time, seq) in (-1i64..8, 0u64..45),
    ) {
        let tree = &*LONG;
        let mut book = RankBook::default();
        let mut list: Vec<RankFact> = Vec::new();
        for (seq, (who, name, from, kind, lasts)) in (1u64..).zip(facts) {
            let mut fact = fact(seq, PEOPLE[who], NAMES.get(name).copied(), from);
            if kind < 3 {
                fact.source = source(kind, from, lasts);
            }
            book.record(&fact, tree).unwrap();
            list.push(fact);
        }
        let ranks = book.as_of(at(time), seq, &ladder());
        for who in PEOPLE {
            let known = list.iter().filter(|fact| fact.distributor == id(who) && fact.seq <= seq);
            let wanted = by_definition(known, at(time));
            prop_assert_eq!(ranks.rank(tree.find(&id(who)).unwrap()), wanted);
        }
    }
}

/// What happens to the ranks of a plan.
#[derive(Debug, Clone)]
enum Event {
    /// A period ends, and its numbers support these ranks of [`PEOPLE`].
    Close([Option<&'static str>; 6]),
    /// Somebody decides for one of them, from a second on.
    Decide(usize, Option<&'static str>, i64, RankSource),
}

/// The chain, and what stands in it.
#[derive(Default)]
struct Chain {
    books: RankBooks,
    records: Vec<RankRecord>,
}

impl Chain {
    fn append(&mut self, plan: &str, who: &str, rank: Option<&str>, from: i64, source: RankSource) {
        let version = self.books.version();
        let of_close = source == RankSource::PeriodClose;
        let mut line = RankLine {
            seq: version.seq + 1,
            plan,
            distributor: who,
            rank,
            source,
            raises_title: false,
            effective_at: at(from),
            period: of_close.then_some("2026-01"),
            by: (!of_close).then_some("staff-7"),
            why: (!of_close).then_some("promised"),
            highest: None,
            bonuses: None,
            recorded_at: at(9),
            hash: Digest::ZERO,
        };
        line.hash = line.chained(&version.hash);
        self.books.apply(&line, &LONG).unwrap();
        self.records.push(line.record().unwrap());
    }
}

fn event() -> impl Strategy<Value = Event> {
    let name = || (0usize..5).prop_map(|name| NAMES.get(name).copied());
    let decision = (0usize..6, name(), -5i64..60, 0usize..3, prop::option::of(1i64..30)).prop_map(
        |(who, name, from, kind, lasts)| Event::Decide(who, name, from, source(kind, from, lasts)),
    );
    prop_oneof![prop::array::uniform6(name()).prop_map(Event::Close), decision]
}

proptest! {
    /// Whatever is closed and decided, in two plans: the facts, of which a close records only what
    /// changes, say at every instant and every version what the whole columns of the closes and the
    /// list of the decisions say.
    #[test]
    fn what_is_in_force_is_what_closes_and_people_said(
        events in prop::collection::vec((any::<bool>(), event()), 0..14),
        time in -6i64..100,
    ) {
        let mut chain = Chain::default();
        let mut ends = BTreeMap::from([(true, 0), (false, 0)]);
        let mut versions = vec![0];
        for (which, event) in &events {
            let plan = if *which { "p" } else { "q" };
            match event {
                Event::Close(column) => {
                    let end = ends.get_mut(which).unwrap();
                    *end += 10;
                    for (who, name) in PEOPLE.iter().zip(column) {
                        let book = chain.books.of(plan);
                        let ranks = book.as_of(at(*end), u64::MAX, &ladder());
                        let known = ranks.by_close(LONG.find(&id(who)).unwrap());
                        if known != name.map(rank).as_ref() {
                            chain.append(plan, who, *name, *end, RankSource::PeriodClose);
                        }
                    }
                }
                Event::Decide(who, name, from, source) => {
                    let cleared = matches!(source, RankSource::Cleared { .. });
                    let name = name.filter(|_| !cleared);
                    chain.append(plan, PEOPLE[*who], name, *from, *source);
                }
            }
            versions.push(chain.books.version().seq);
        }
        for (done, version) in versions.iter().enumerate() {
            for (which, plan) in [(true, "p"), (false, "q")] {
                let said = events[..done].iter().filter(|(of, _)| *of == which).map(|(_, e)| e);
                let closes = said.clone().filter_map(|event| match event {
                    Event::Close(column) => Some(column),
                    Event::Decide(..) => None,
                });
                // The closes of a plan end at second 10, 20, and so on.
                let closed = usize::try_from(time.max(0) / 10).unwrap();
                let column = closes.take(closed).last().copied().unwrap_or_default();
                let ranks = chain.books.of(plan).as_of(at(time), *version, &ladder());
                let known: Vec<RankRecord> = chain.records.iter()
                    .filter(|r| &*r.plan == plan && r.fact.seq <= *version).cloned().collect();
                let standings = standings(&known, at(time));
                for (number, who) in PEOPLE.iter().enumerate() {
                    let mut decided = said.clone().filter_map(|event| match event {
                        Event::Decide(of, name, from, source) if *of == number => {
                            Some((level(*name), *from, *source))
                        }
                        Event::Decide(..) | Event::Close(_) => None,
                    });
                    let last = decided.rfind(|(_, from, source)| {
                        *from <= time && source.until().is_none_or(|until| at(time) < until)
                    });
                    let numbers = level(column[number]);
                    let wanted = match last {
                        Some((forced, _, RankSource::Forced { hold: Hold::Exactly, .. })) => forced,
                        Some((forced, _, RankSource::Forced { .. })) => numbers.max(forced),
                        Some(_) | None => numbers,
                    };
                    prop_assert_eq!(ranks.rank(LONG.find(&id(who)).unwrap()), wanted);
                    let standing = standings.get(&id(who)).copied().unwrap_or_default();
                    let name = |record: Option<&RankRecord>| {
                        level(record.and_then(|r| r.fact.paid_as.as_ref()).map(RankId::as_str))
                    };
                    prop_assert_eq!(name(standing.by_close), numbers);
                    let by_hand = standing.by_hand.map(|record| record.fact.source);
                    prop_assert_eq!(by_hand, last.map(|(_, _, source)| source));
                }
            }
        }
    }
}

#[test]
fn a_forced_rank_lifts_or_replaces_until_it_ends_or_is_cleared() {
    let mut chain = Chain::default();
    let (silver, gold) = (Some("silver"), Some("gold"));
    let of = |chain: &Chain, time: i64| {
        let book = chain.books.of("p");
        book.as_of(at(time), u64::MAX, &ladder()).rank(LONG.find(&id("d1")).unwrap()).0
    };
    let at_least = RankSource::Forced { hold: Hold::AtLeast, until: Some(at(50)) };
    chain.append("p", "d1", gold, 20, at_least);
    chain.append("q", "d1", Some("star"), 0, RankSource::PeriodClose);
    chain.append("p", "d1", silver, 30, RankSource::PeriodClose);
    assert_eq!([19, 20, 30, 49, 50].map(|time| of(&chain, time)), [0, 2, 2, 2, 1]);
    chain.append("p", "d1", Some("star"), 40, RankSource::PeriodClose);
    assert_eq!([39, 40, 50].map(|time| of(&chain, time)), [2, 3, 3], "the numbers are higher");
    let exactly = RankSource::Forced { hold: Hold::Exactly, until: None };
    chain.append("p", "d1", None, 45, exactly);
    assert_eq!([44, 45, 90].map(|time| of(&chain, time)), [3, 0, 0]);
    chain.append("p", "d1", None, 60, RankSource::Cleared { until: None });
    assert_eq!([59, 60].map(|time| of(&chain, time)), [0, 3]);
    assert_eq!(chain.books.of("elsewhere").version(), 0);
    assert_eq!((chain.books.of("q").version(), chain.books.of("p").version()), (2, 6));
}

#[test]
fn a_chain_with_a_gap_or_another_content_is_refused() {
    let mut chain = Chain::default();
    chain.append("p", "d1", Some("gold"), 20, RankSource::PeriodClose);
    let first = chain.books.version();
    let mut line = RankLine {
        seq: 2,
        plan: "p",
        distributor: "d0",
        rank: Some("gold"),
        source: RankSource::Forced { hold: Hold::AtLeast, until: Some(at(9)) },
        raises_title: true,
        effective_at: at(1),
        period: None,
        by: Some("staff-7"),
        why: Some("promised"),
        highest: None,
        bonuses: None,
        recorded_at: at(3),
        hash: Digest::ZERO,
    };
    line.hash = line.chained(&first.hash);
    let refused = |line: RankLine<'_>| chain.books.clone().apply(&line, &LONG).unwrap_err();
    assert_eq!(refused(RankLine { seq: 3, ..line }), RankError::Sequence { last: 1, found: 3 });
    let exactly = RankSource::Forced { hold: Hold::Exactly, until: Some(at(9)) };
    let open = RankSource::Forced { hold: Hold::AtLeast, until: None };
    for altered in [
        RankLine { plan: "q", ..line },
        RankLine { distributor: "d1", ..line },
        RankLine { rank: None, ..line },
        RankLine { source: exactly, ..line },
        RankLine { source: open, ..line },
        RankLine { raises_title: false, ..line },
        RankLine { effective_at: at(2), ..line },
        RankLine { period: Some("2026-01"), ..line },
        RankLine { by: Some("staff-8"), ..line },
        RankLine { why: Some("asked"), ..line },
        RankLine { recorded_at: at(4), ..line },
    ] {
        assert_eq!(refused(altered), RankError::Hash(2), "{altered:?}");
    }
    chain.books.apply(&line, &LONG).unwrap();
    assert_eq!(chain.books.version(), RankVersion { seq: 2, hash: line.hash });
    for source in [exactly, open, RankSource::PeriodClose, RankSource::Cleared { until: None }] {
        let parsed = RankSource::parse(source.as_str(), source.hold(), source.until());
        assert_eq!(parsed, Ok(source));
    }
    assert!(RankSource::parse("forced", None, None).is_err());
}

#[test]
fn a_book_holds_the_facts_of_its_own_chain_only() {
    let mut chain = Chain { books: RankBooks::default(), records: Vec::new() };
    let mut hashes = Vec::new();
    for number in 0..2_100 {
        let plan = if number % 3 == 0 { "q" } else { "p" };
        chain.append(plan, "d1", Some("gold"), number, RankSource::PeriodClose);
        hashes.push((plan, chain.books.version()));
    }
    for (plan, RankVersion { seq, hash }) in &hashes {
        let (own, other) = if *plan == "p" { ("p", "q") } else { ("q", "p") };
        assert!(chain.books.of(own).holds(*seq, hash), "fact {seq}");
        assert!(!chain.books.of(other).holds(*seq, hash), "fact {seq} is of {plan}");
        assert!(!chain.books.of(own).holds(*seq, &Digest::of(b"another")), "fact {seq}");
    }
    assert!(!chain.books.of("p").holds(9_999, &hashes[0].1.hash));
    assert_eq!(chain.books.of("p").hash(), Some(hashes[2_099].1.hash));
}

#[test]
fn what_has_begun_ends_and_what_begins_later_stays() {
    let mut chain = Chain { books: RankBooks::default(), records: Vec::new() };
    let forced =
        |until: Option<i64>| RankSource::Forced { hold: Hold::AtLeast, until: until.map(at) };
    chain.append("p", "d1", Some("gold"), 10, forced(None));
    chain.append("p", "d1", Some("silver"), 40, forced(Some(50)));
    chain.append("p", "d1", Some("star"), 60, forced(Some(70)));
    chain.append("p", "d1", None, 60, RankSource::Cleared { until: Some(at(65)) });
    let span = |from, until: Option<i64>| (at(from), until.map(at));
    let (spans, later) = held_from(&chain.records, at(30));
    assert_eq!(spans, [span(30, Some(40)), span(50, Some(60)), span(70, None)]);
    let seqs: Vec<u64> = later.iter().map(|record| record.fact.seq).collect();
    assert_eq!(seqs, [2, 3], "the third holds after what was cleared");
    let (spans, later) = held_from(&chain.records, at(5));
    assert_eq!((spans.len(), later.len()), (0, 3), "nothing has begun");
    // Cleared in these times, nothing but the later ones is left.
    for (from, until) in held_from(&chain.records.clone(), at(30)).0 {
        let from = from.as_second() - at(0).as_second();
        chain.append("p", "d1", None, from, RankSource::Cleared { until });
    }
    assert_eq!(held_from(&chain.records, at(30)).0, []);
}
