//! What the ledger hands on: every posted revision, also one that a crash kept back.

use std::sync::Arc;

use upline::{
    clock::Clock,
    sink::{LedgerSink, ToLog},
    store::memory::MemoryStore,
    stream::{
        Effect, Sink,
        memory::{Faults, MemoryLog},
    },
};

use crate::books::computed;

#[tokio::test]
async fn a_revision_that_was_cut_off_is_handed_on_although_the_order_has_moved_on() {
    let log = Arc::new(MemoryLog::default());
    let clock = Clock::of(|| jiff::Timestamp::UNIX_EPOCH);
    let sink =
        LedgerSink::new(Arc::new(MemoryStore::default()), ToLog::new(Arc::clone(&log)), clock);
    let effect = |revision, redelivered| [Effect { value: computed(1, revision), redelivered }];
    let handed = || {
        let messages = log.messages("commissions.posted.");
        messages.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    // Posted, and then the log cannot be reached.
    log.script(Faults { publish_fails: [true].into(), ..Faults::default() });
    sink.deliver(&effect(1, false)).await.unwrap_err();
    sink.deliver(&effect(2, false)).await.unwrap();
    assert_eq!(handed(), ["posted:shopify/acme/1:2"]);
    // The message of the first comes again; where stages are fused it comes with the order as it is now.
    for revision in [1, 2] {
        sink.deliver(&effect(revision, true)).await.unwrap();
        assert_eq!(handed(), ["posted:shopify/acme/1:2", "posted:shopify/acme/1:1"]);
    }
}
