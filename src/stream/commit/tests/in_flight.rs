//! The same id on its way several times, to a log that gives its receipts late and fails now and then.

use std::{cell::RefCell, pin::pin};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::*;

/// What somebody was told is written: where, for each id, and who was told to be the first.
#[derive(Debug, Default)]
struct Told {
    places: HashMap<String, u64>,
    firsts: BTreeSet<u64>,
}

impl Told {
    fn hear(&mut self, id: &str, receipt: Receipt) -> Result<(), TestCaseError> {
        let place = *self.places.entry(id.to_owned()).or_insert(receipt.sequence);
        prop_assert_eq!(place, receipt.sequence, "{} is told two places", id);
        if !receipt.duplicate {
            prop_assert!(self.firsts.insert(place), "two were told to be the first with {}", id);
        }
        Ok(())
    }
}

/// One sender: commits after each other, each with some ids.
async fn sends(
    committer: &Committer,
    commits: &[Vec<u16>],
    told: &RefCell<Told>,
) -> Result<(), TestCaseError> {
    for ids in commits {
        let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
        let before: Vec<Option<u64>> =
            ids.iter().map(|id| told.borrow().places.get(id).copied()).collect();
        let outcomes = committer.commit(ids.iter().map(|id| message(id)).collect()).await;
        prop_assert_eq!(outcomes.len(), ids.len());
        for ((id, before), outcome) in ids.iter().zip(before).zip(&outcomes) {
            if let Some(sequence) = before {
                // Somebody has its receipt: that it is there needs no log any more.
                let known = matches!(outcome, Ok(receipt) if receipt.duplicate);
                prop_assert!(known, "{} stands at {}, and then: {:?}", id, sequence, outcome);
            }
            if let Ok(receipt) = outcome {
                told.borrow_mut().hear(id, *receipt)?;
            }
        }
    }
    Ok(())
}

fn commits() -> impl Strategy<Value = Vec<Vec<u16>>> {
    let few = prop::collection::vec(0u16..8, 1..4);
    let many = prop::collection::vec(0u16..60, 16..60);
    prop::collection::vec(prop_oneof![4 => few, 1 => many], 1..8)
}

fn faults() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        5 => Just(Answer::Yes),
        1 => Just(Answer::Lost),
        1 => Just(Answer::Mute),
        1 => Just(Answer::No),
    ];
    prop::collection::vec(answer, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every sender is answered, each id stands once and where all who asked for it were told, and nobody
    /// who asks for it after that is told anything else.
    #[test]
    fn an_id_that_is_under_way_twice_is_written_once_and_told_to_all(
        senders in prop::collection::vec(commits(), 1..8),
        known in prop::collection::btree_set(0u16..60, 0..4),
        answers in faults(),
        // After so many turns so many receipts come.
        receipts in prop::collection::vec((0usize..12, 1usize..6), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let slow = Slow::new();
        for id in &known {
            // Written by another process.
            slow.book.0.lock().unwrap().keep(&id.to_string());
        }
        slow.book.0.lock().unwrap().answers = answers.into();
        let told = RefCell::default();
        runtime.block_on(async {
            let committer = Committer::start("TEST", slow.clone(), Clock::system());
            let sending = senders.iter().map(|commits| sends(&committer, commits, &told));
            let mut sending = pin!(join_all(sending));
            let mut rounds = receipts.iter().cycle();
            for _ in 0..20_000 {
                tokio::select! {
                    biased;
                    ended = &mut sending => return ended.into_iter().collect::<Result<(), TestCaseError>>(),
                    () = tokio::task::yield_now() => {}
                }
                let (turns, permits) = rounds.next().unwrap();
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
                slow.go.add_permits(*permits);
            }
            Err(TestCaseError::fail("a sender waits without end"))
        })?;
        let model = slow.book.0.lock().unwrap();
        prop_assert_eq!(model.repeats, 0, "a batch held an id twice");
        let unique: BTreeSet<&String> = model.messages.iter().collect();
        prop_assert_eq!(unique.len(), model.messages.len());
        for (id, sequence) in &told.borrow().places {
            let at = usize::try_from(*sequence).unwrap() - 1;
            prop_assert_eq!(model.messages.get(at), Some(id), "it was told to stand at {}", sequence);
        }
    }
}
