use super::*;

pub(crate) fn id(text: &str) -> DistributorId {
    DistributorId::parse(text).unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Appends a change with the right number and hash.
pub(crate) fn append(tree: &mut Genealogy, who: &str, change: Change, effective: i64) {
    let version = tree.version();
    let mut event = GenealogyEvent {
        seq: version.seq + 1,
        distributor: id(who),
        change,
        effective_at: at(effective),
        recorded_at: at(effective),
        hash: Digest::ZERO,
    };
    event.hash = event.chained(&version.hash);
    tree.apply(&event).unwrap();
}

/// A chain of distributors, each under the one before.
pub(crate) fn chain(names: &[&str]) -> Genealogy {
    let mut tree = Genealogy::default();
    let mut sponsor = None;
    for name in names {
        append(&mut tree, name, Change::Enrolled(sponsor), 0);
        sponsor = Some(id(name));
    }
    tree
}

fn names(tree: &Genealogy, as_of: AsOf<'_>, who: &str) -> Vec<String> {
    let member = tree.find(&id(who)).unwrap();
    as_of.upline(member).map(|m| tree.id(m).unwrap().to_string()).collect()
}

#[test]
fn a_move_counts_from_its_instant_and_only_for_versions_that_know_it() {
    let mut tree = chain(&["top", "a", "b"]);
    let before = tree.version().seq;
    append(&mut tree, "b", Change::Sponsored(Some(id("top"))), 100);
    let now = tree.version().seq;
    assert_eq!(names(&tree, tree.as_of(at(99), now), "b"), ["a", "top"]);
    assert_eq!(names(&tree, tree.as_of(at(100), now), "b"), ["top"]);
    assert_eq!(names(&tree, tree.as_of(at(200), before), "b"), ["a", "top"]);
}

#[test]
fn a_move_recorded_late_counts_by_its_effective_time() {
    let mut tree = chain(&["top", "a", "b", "c"]);
    append(&mut tree, "c", Change::Sponsored(Some(id("top"))), 300);
    append(&mut tree, "c", Change::Sponsored(Some(id("a"))), 200);
    let now = tree.version().seq;
    assert_eq!(names(&tree, tree.as_of(at(250), now), "c"), ["a", "top"]);
    assert_eq!(names(&tree, tree.as_of(at(350), now), "c"), ["top"]);
}

#[test]
fn status_is_as_of_too() {
    let mut tree = chain(&["top", "a"]);
    append(&mut tree, "a", Change::Status(DistributorStatus::Inactive), 50);
    let member = tree.find(&id("a")).unwrap();
    let seq = tree.version().seq;
    assert_eq!(tree.as_of(at(49), seq).status(member), DistributorStatus::Active);
    assert_eq!(tree.as_of(at(50), seq).status(member), DistributorStatus::Inactive);
}

#[test]
fn a_mention_as_sponsor_is_no_enrolment() {
    let mut tree = Genealogy::default();
    append(&mut tree, "b", Change::Enrolled(Some(id("a"))), 0);
    assert!(tree.find(&id("a")).is_none());
    append(&mut tree, "a", Change::Enrolled(None), 0);
    assert!(tree.find(&id("a")).is_some());
}

#[test]
fn who_enrolled_after_the_version_neither_earns_nor_has_an_upline_in_it() {
    let mut tree = Genealogy::default();
    append(&mut tree, "b", Change::Enrolled(Some(id("a"))), 0);
    let before = tree.version().seq;
    append(&mut tree, "c", Change::Enrolled(None), 0);
    append(&mut tree, "a", Change::Enrolled(Some(id("c"))), 0);
    let (a, now) = (tree.find(&id("a")).unwrap(), tree.version().seq);
    assert_eq!(names(&tree, tree.as_of(at(1), before), "b"), ["a"]);
    assert_eq!(tree.as_of(at(1), before).status(a), DistributorStatus::Inactive);
    assert_eq!(names(&tree, tree.as_of(at(1), now), "b"), ["a", "c"]);
    assert_eq!(tree.as_of(at(1), now).status(a), DistributorStatus::Active);
}

#[test]
fn a_code_is_found_whatever_the_shop_did_to_its_capitals() {
    let tree = chain(&["ABC123", "xY", "XY", "77"]);
    let found = |code: &str| tree.find_code(code, 9).map(ToString::to_string);
    assert_eq!(found("abc123").as_deref(), Some("ABC123"));
    assert_eq!(found("ABC123").as_deref(), Some("ABC123"));
    assert_eq!(found("XY").as_deref(), Some("XY"));
    assert_eq!(found("xy"), None);
    assert_eq!(found("77").as_deref(), Some("77"));
    assert_eq!(tree.find_code("77", 3), None);
}

#[test]
fn an_altered_or_missing_event_is_refused() {
    let mut tree = chain(&["top"]);
    let version = tree.version();
    let mut event = GenealogyEvent {
        seq: version.seq + 1,
        distributor: id("a"),
        change: Change::Enrolled(Some(id("top"))),
        effective_at: at(1),
        recorded_at: at(1),
        hash: Digest::ZERO,
    };
    event.hash = event.chained(&version.hash);
    let mut altered = event.clone();
    altered.change = Change::Enrolled(None);
    assert_eq!(tree.apply(&altered), Err(GenealogyError::Hash(2)));
    let mut gap = event.clone();
    gap.seq = 5;
    assert_eq!(tree.apply(&gap), Err(GenealogyError::Sequence { last: 1, found: 5 }));
    assert_eq!(tree.apply(&event), Ok(()));
}

#[test]
fn a_loop_in_the_data_ends() {
    let mut tree = chain(&["a", "b"]);
    append(&mut tree, "a", Change::Sponsored(Some(id("b"))), 0);
    assert_eq!(names(&tree, tree.as_of(at(1), 3), "b"), ["a"]);
    append(&mut tree, "c", Change::Enrolled(Some(id("b"))), 0);
    assert!(names(&tree, tree.as_of(at(1), 4), "c").len() <= 3);
}

#[test]
fn the_instant_of_the_enrolment_is_that_of_its_first_event_for_versions_that_know_it() {
    let mut tree = Genealogy::default();
    append(&mut tree, "a", Change::Status(DistributorStatus::Inactive), 5);
    append(&mut tree, "a", Change::Enrolled(None), 70);
    append(&mut tree, "a", Change::Sponsored(Some(id("b"))), 90);
    append(&mut tree, "old", Change::Enrolled(None), -9);
    let enrolled = |who: &str, seq: u64| {
        tree.find(&id(who)).and_then(|member| tree.as_of(at(0), seq).enrolled_at(member))
    };
    assert_eq!(
        (enrolled("a", 1), enrolled("a", 2), enrolled("a", 4)),
        (None, Some(at(70)), Some(at(70)))
    );
    assert_eq!(enrolled("old", 4), Some(at(0)));
}
