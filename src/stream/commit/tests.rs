//! The committer over a log that is written down here: what it keeps, and when it says no.

mod in_flight;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::*;

use super::*;
use crate::stage::message::Headers;

/// What the log does with the writes to come, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    /// Nothing is written, and nobody hears of it.
    Lost,
    /// All is written, and nobody hears of it.
    Mute,
    /// A batch is refused as such.
    No,
}

/// A log that forgets no id, and refuses a batch that holds a known one.
#[derive(Debug, Default)]
struct Model {
    messages: Vec<String>,
    ids: HashMap<String, u64>,
    answers: VecDeque<Answer>,
    writes: Vec<usize>,
    /// How many messages of a batch have the id of another one of it; the log would refuse that.
    repeats: usize,
}

#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<Model>>);

impl Model {
    fn keep(&mut self, id: &str) -> Receipt {
        if let Some(sequence) = self.ids.get(id) {
            return Receipt { sequence: *sequence, duplicate: true };
        }
        self.messages.push(id.to_owned());
        let sequence = u64::try_from(self.messages.len()).unwrap();
        self.ids.insert(id.to_owned(), sequence);
        Receipt { sequence, duplicate: false }
    }

    fn answer(&mut self) -> Answer {
        self.answers.pop_front().unwrap_or(Answer::Yes)
    }
}

impl Journal for Book {
    async fn send(&self, message: &Outgoing) -> Promise {
        tokio::task::yield_now().await;
        let mut model = self.0.lock().unwrap();
        model.writes.push(1);
        let outcome = match model.answer() {
            Answer::Yes | Answer::No => Ok(model.keep(&message.id)),
            Answer::Lost => Err(unavailable("lost")),
            Answer::Mute => {
                model.keep(&message.id);
                Err(unavailable("mute"))
            }
        };
        // The receipt comes later than the message is there.
        async {
            tokio::task::yield_now().await;
            outcome
        }
        .boxed()
    }

    async fn together(&self, messages: &[Outgoing]) -> Result<u64, Refusal> {
        tokio::task::yield_now().await;
        let mut model = self.0.lock().unwrap();
        model.writes.push(messages.len());
        let answer = model.answer();
        match answer {
            Answer::Lost => return Err(Refusal::Unavailable(unavailable("lost"))),
            Answer::No => return Err(Refusal::Rejected("no".to_owned())),
            Answer::Yes | Answer::Mute => {}
        }
        if messages.iter().any(|message| model.ids.contains_key(&message.id)) {
            return Err(Refusal::Known);
        }
        let mut last = 0;
        for message in messages {
            let receipt = model.keep(&message.id);
            model.repeats += usize::from(receipt.duplicate);
            last = receipt.sequence;
        }
        if answer == Answer::Mute {
            return Err(Refusal::Unavailable(unavailable("mute")));
        }
        Ok(last)
    }
}

fn message(id: &str) -> Outgoing {
    Outgoing {
        subject: "dead.test".to_owned(),
        id: id.to_owned(),
        headers: Headers::default(),
        payload: Bytes::from_static(b"{}"),
    }
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        6 => Just(Answer::Yes),
        1 => Just(Answer::Lost),
        1 => Just(Answer::Mute),
        1 => Just(Answer::No)
    ];
    prop::collection::vec(answer, 0..12)
}

proptest! {
    /// Whatever the log does: a receipt names the one place where the message stands, whoever asks
    /// again is told the same place, and what one sender sent stands in the order of sending.
    #[test]
    fn a_receipt_is_true(
        senders in prop::collection::vec(prop::collection::vec(0u16..40, 1..30), 1..6),
        known in prop::collection::vec(0u16..40, 0..4),
        answers in answers(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let book = Book::default();
        for id in known {
            // Written by another process.
            book.0.lock().unwrap().keep(&id.to_string());
        }
        book.0.lock().unwrap().answers = answers.into();
        let outcomes = runtime.block_on(async {
            let committer = Committer::start("TEST", book.clone(), Clock::system());
            let sending = senders.iter().map(|ids| {
                committer.commit(ids.iter().map(|id| message(&id.to_string())).collect())
            });
            join_all(sending).await
        });
        let model = book.0.lock().unwrap();
        let unique: BTreeSet<&String> = model.messages.iter().collect();
        prop_assert_eq!(unique.len(), model.messages.len());
        let mut first: BTreeSet<u64> = BTreeSet::new();
        for (ids, outcomes) in senders.iter().zip(&outcomes) {
            prop_assert_eq!(ids.len(), outcomes.len());
            for (id, outcome) in ids.iter().zip(outcomes) {
                let Ok(receipt) = outcome else { continue };
                prop_assert_eq!(model.ids.get(&id.to_string()), Some(&receipt.sequence));
                if !receipt.duplicate {
                    prop_assert!(first.insert(receipt.sequence), "two were told to be the first");
                }
            }
        }
    }

    /// Without faults nothing fails, and every sender's messages stand in the order of sending.
    #[test]
    fn order_is_kept(counts in prop::collection::vec(1usize..700, 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let book = Book::default();
        let outcomes = runtime.block_on(async {
            let committer = Committer::start("TEST", book.clone(), Clock::system());
            let sending = counts.iter().enumerate().map(|(sender, count)| {
                let ids = (0..*count).map(|n| message(&format!("{sender}/{n}")));
                committer.commit(ids.collect())
            });
            join_all(sending).await
        });
        for outcomes in &outcomes {
            let numbers: Vec<u64> =
                outcomes.iter().map(|outcome| outcome.as_ref().unwrap().sequence).collect();
            prop_assert!(numbers.is_sorted());
        }
        prop_assert_eq!(book.0.lock().unwrap().messages.len(), counts.iter().sum::<usize>());
    }
}

#[tokio::test]
async fn what_waits_for_a_write_is_written_together() {
    let book = Book::default();
    let committer = Committer::start("TEST", book.clone(), Clock::system());
    let ids: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    let sending = join_all(ids.iter().map(|id| committer.commit(vec![message(id)])));
    let outcomes = tokio::task::unconstrained(sending).await;
    assert!(outcomes.iter().flatten().all(Result::is_ok));
    assert_eq!(book.0.lock().unwrap().writes, [500, 100]);
    committer.commit(vec![message("alone")]).await;
    assert_eq!(book.0.lock().unwrap().writes, [500, 100, 1]);
}

/// A log that gives no receipt for a single message before it is told to.
#[derive(Debug, Clone)]
struct Slow {
    book: Book,
    go: Arc<tokio::sync::Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self { book: Book::default(), go: Arc::new(tokio::sync::Semaphore::new(0)) }
    }

    /// Waits until so many writes are on their way.
    async fn writes(&self, count: usize) -> Vec<usize> {
        loop {
            let writes = self.book.0.lock().unwrap().writes.clone();
            if writes.len() >= count {
                return writes;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Journal for Slow {
    async fn send(&self, message: &Outgoing) -> Promise {
        let (promise, go) = (self.book.send(message).await, self.go.clone());
        async move {
            go.acquire().await.unwrap().forget();
            promise.await
        }
        .boxed()
    }

    async fn together(&self, messages: &[Outgoing]) -> Result<u64, Refusal> {
        self.book.together(messages).await
    }
}

#[tokio::test]
async fn a_message_does_not_wait_for_the_receipt_of_the_one_before() {
    let slow = Slow::new();
    let committer = Committer::start("TEST", slow.clone(), Clock::system());
    let (a, b) = ([message("a")], [message("b")]);
    let first = committer.commit(a.to_vec());
    let second = async {
        assert_eq!(slow.writes(1).await, [1]);
        let second = committer.commit(b.to_vec());
        let go = async {
            assert_eq!(slow.writes(2).await, [1, 1], "without a receipt for the first");
            slow.go.add_permits(2);
        };
        tokio::join!(second, go).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first[0].as_ref().unwrap().sequence, 1);
    assert_eq!(second[0].as_ref().unwrap().sequence, 2);
}

#[tokio::test]
async fn so_many_single_messages_are_on_their_way_and_the_rest_is_written_together() {
    let slow = Slow::new();
    let committer = Committer::start("TEST", slow.clone(), Clock::system());
    let sending = (0..SINGLES + 40).map(|n| {
        let committer = committer.clone();
        let slow = &slow;
        async move {
            // One after the other, while none has its receipt.
            slow.writes(n.min(SINGLES)).await;
            committer.commit(vec![message(&n.to_string())]).await
        }
    });
    let go = async {
        slow.writes(SINGLES).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(slow.writes(0).await, vec![1; SINGLES], "the others wait");
        slow.go.add_permits(SINGLES);
    };
    let (outcomes, ()) = tokio::join!(join_all(sending), go);
    assert!(outcomes.iter().flatten().all(Result::is_ok));
    let writes = slow.writes(0).await;
    assert_eq!(writes[SINGLES..], [40]);
}

#[tokio::test]
async fn an_id_that_was_written_lately_is_not_written_again() {
    let book = Book::default();
    let committer = Committer::start("TEST", book.clone(), Clock::system());
    let first = committer.commit(vec![message("a")]).await.remove(0).unwrap();
    let again = committer.commit(vec![message("a")]).await.remove(0).unwrap();
    assert_eq!(again, Receipt { sequence: first.sequence, duplicate: true });
    assert_eq!(book.0.lock().unwrap().writes, [1]);
}

#[tokio::test]
async fn one_known_id_costs_its_neighbours_little() {
    let book = Book::default();
    book.0.lock().unwrap().keep("77");
    let committer = Committer::start("TEST", book.clone(), Clock::system());
    let outcomes = committer.commit((0..128).map(|n| message(&n.to_string())).collect()).await;
    let duplicates: Vec<bool> = outcomes.iter().map(|o| o.as_ref().unwrap().duplicate).collect();
    assert_eq!(duplicates.iter().filter(|duplicate| **duplicate).count(), 1);
    assert!(duplicates[77]);
    // Of four parts one is refused; its own parts are small enough to go singly.
    let writes = book.0.lock().unwrap().writes.clone();
    assert_eq!(writes.iter().filter(|write| **write == 32).count(), 4, "{writes:?}");
    assert_eq!(writes.iter().filter(|write| **write == 1).count(), 32, "{writes:?}");
}

#[tokio::test]
async fn many_known_ids_are_not_looked_for_by_dividing() {
    let book = Book::default();
    for id in 0..1_000 {
        book.0.lock().unwrap().keep(&format!("{id}/0"));
    }
    let committer = Committer::start("TEST", book.clone(), Clock::system());
    for batch in 0..100 {
        let ids = (0..64).map(|n| {
            let known = n % 7 == 0;
            message(&format!("{}/{}", batch * 10 + n / 7, if known { 0 } else { n }))
        });
        let outcomes = committer.commit(ids.collect()).await;
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let model = book.0.lock().unwrap();
    let refused = model.writes.iter().filter(|write| **write > 1).count();
    assert!(refused < 150, "{refused} batches were tried for 100");
}

#[test]
fn ids_are_forgotten_by_age_and_by_number() {
    let mut recent = Recent::default();
    let start = Clock::system().instant();
    recent.remember(1, 10, start);
    recent.forget(start + REMEMBER);
    assert_eq!(recent.get(1), Some(10));
    recent.forget(start + REMEMBER + Duration::from_millis(1));
    assert_eq!(recent.get(1), None);
    for id in 0..=REMEMBER_MOST {
        recent.remember(u128::try_from(id).unwrap(), 1, start);
    }
    recent.forget(start);
    assert_eq!((recent.get(0), recent.get(1)), (None, Some(1)));
    assert_eq!(recent.known.len(), recent.ages.len());
}

#[test]
fn a_write_is_bounded_in_messages_and_bytes() {
    let large = |bytes| Outgoing { payload: Bytes::from(vec![0; bytes]), ..message("x") };
    let sizes =
        |messages: &[Outgoing]| in_writes(messages).iter().map(|w| w.len()).collect::<Vec<_>>();
    assert_eq!(sizes(&[]), Vec::<usize>::new());
    assert_eq!(sizes(&vec![large(1); 1_001]), [500, 500, 1]);
    assert_eq!(sizes(&[large(5 << 20), large(5 << 20), large(1), large(9 << 20)]), [1, 2, 1]);
}
