//! Posting to the real Postgres: all or nothing however a batch is written, and never a table read whole.

use std::collections::BTreeSet;

use jiff::Timestamp;
use upline::{
    domain::ledger::Kind,
    stage::message::Computed,
    store::{PostOutcome, Store, memory::MemoryStore},
};

use crate::{
    books::computed,
    journal::{journal_agrees, with_volumes},
    support::{World, eventually, world},
};

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn batch(first: u64, orders: u64, revision: u64) -> Vec<Computed> {
    (first..first + orders).map(|order| computed(order, revision)).collect()
}

/// As small as they go out together, and as large as they are copied.
const SIZES: [u64; 2] = [3, 60];

async fn written(world: &World) -> [i64; 3] {
    let mut counts = [0; 3];
    for (count, table) in counts.iter_mut().zip(["commission_run", "ledger_entry", "ledger_block"])
    {
        *count = world.count(&format!("SELECT count(*) FROM upline.{table}")).await;
    }
    counts
}

#[test]
fn small_and_large_batches_end_where_the_model_ends() {
    world("posting_sizes", async |world| {
        let (books, model) = (world.store(), MemoryStore::default());
        for (step, orders) in (0..).zip([60, 3, 25, 24, 60, 1]) {
            let runs: Vec<Computed> =
                (0..orders).map(|order| with_volumes(order, step + 1)).collect();
            let runs: Vec<&Computed> = runs.iter().collect();
            let posted = books.post(&runs, now()).await.unwrap();
            assert_eq!(posted, model.post(&runs, now()).await.unwrap(), "step {step}");
        }
        let reversed = format!(
            "SELECT count(*) FROM upline.ledger_entry WHERE kind = '{}'",
            Kind::Reversed.as_str()
        );
        assert!(world.count(&reversed).await > 10, "later revisions correct earlier ones");
        journal_agrees(world, &model).await;
        let taken =
            "SELECT count(*) FROM upline.volume_entry WHERE pv < 0 AND corrects IS NOT NULL";
        assert!(world.count(taken).await > 10, "later revisions take volume back");
        assert_eq!(world.blocks_hold().await, 6);
    });
}

#[test]
fn a_batch_that_fails_leaves_nothing_and_holds_up_nobody() {
    world("posting_fails", async |world| {
        let books = world.store();
        for (at, orders) in (1..).zip(SIZES) {
            let first = at * 1000;
            let runs = batch(first, orders, 1);
            let runs: Vec<&Computed> = runs.iter().collect();
            let before = written(world).await;
            // Somebody wrote an entry past the program: its number is taken.
            let taken = "INSERT INTO upline.ledger_entry
                    (seq, event_id, order_key, revision, line_id, component, level, debit, credit,
                     amount, currency, kind, order_ts, block, posted_at)
                SELECT coalesce(max(last_seq), 0) + 2, gen_random_uuid(), 'api/x/1', 1, '1', 'c', 1,
                       'commission', 'breakage', 1, 'USD', 'earned', now(), 0, now()
                FROM upline.ledger_block";
            world.execute(taken).await.unwrap();
            for _ in 0..3 {
                let refused = books.post(&runs, now()).await.unwrap_err();
                assert!(refused.is_transient(), "{}", refused.chain());
            }
            let [orders_before, entries_before, blocks_before] = before;
            assert_eq!(written(world).await, [orders_before, entries_before + 1, blocks_before]);
            for statement in [
                "ALTER TABLE upline.ledger_entry DISABLE TRIGGER append_only",
                "DELETE FROM upline.ledger_entry WHERE order_key = 'api/x/1'",
                "ALTER TABLE upline.ledger_entry ENABLE TRIGGER append_only",
            ] {
                world.execute(statement).await.unwrap();
            }
            let posted = books.post(&runs, now()).await.unwrap();
            assert!(posted.iter().all(|outcome| matches!(outcome, PostOutcome::Posted { .. })));
            let again = books.post(&runs, now()).await.unwrap();
            assert_eq!(
                again.into_iter().collect::<Vec<_>>(),
                vec![PostOutcome::Already; runs.len()]
            );
        }
        assert_eq!(world.blocks_hold().await, 2);
    });
}

/// A plan that was made while the tables were empty would read them whole, batch after batch, until
/// somebody analyzes them.
#[test]
fn no_batch_reads_a_table_whole() {
    world("posting_plans", async |world| {
        let whole = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables
                     WHERE relname IN ('commission_run', 'order_book')";
        // Making an index reads a table too, and is reported by a connection that has ended.
        let made = world.count(whole).await;
        let books = world.store();
        for step in 0..20 {
            let runs = batch(step * 10, 10, 1);
            let keys: BTreeSet<_> = runs.iter().map(|run| run.run.order.key.clone()).collect();
            books.load(&keys.into_iter().collect::<Vec<_>>()).await.unwrap();
            books.post(&runs.iter().collect::<Vec<_>>(), now()).await.unwrap();
        }
        drop(books);
        let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables
                    WHERE relname IN ('commission_run', 'order_book')";
        // A connection reports what it did when it ends, or a second later.
        let reported = async || (world.count(used).await >= 40).then_some(());
        eventually("the connection has reported", reported).await;
        assert_eq!(world.count(whole).await, made);
    });
}
