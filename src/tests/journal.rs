//! The volume journal in Postgres: sealed with the money, read as columns, and no cost to plans without
//! volumes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use upline::{
    domain::{
        commission::{VolumeLine, VolumeSource},
        id::{DistributorId, LineId, OrderKey},
        journal::VolumePosition,
        plan::volume::LineVolumes,
        volume::Volume,
    },
    stage::message::Computed,
    store::{JournalRange, PostOutcome, Store, memory::MemoryStore},
};

use crate::{
    books::{Dice, at, computed},
    support::{Delivery, PLAN, World, eventually, shopify_order, world},
};

/// The calculation of a revision by a plan with volumes: two orders of three have one.
pub(crate) fn with_volumes(order: u64, revision: u64) -> Computed {
    let mut computed = computed(order, revision);
    let mut dice = Dice(order * 7_919 + revision);
    if order.is_multiple_of(3) {
        return computed;
    }
    let volume = |dice: &mut Dice| Volume::from_parts(i64::try_from(dice.roll(30_000)).unwrap());
    let line = |dice: &mut Dice| VolumeLine {
        line: LineId::parse(&dice.roll(2).to_string()).unwrap(),
        distributor: DistributorId::parse(&(dice.roll(2) + 1).to_string()).unwrap(),
        source: [VolumeSource::Retail, VolumeSource::OwnUse][usize::from(dice.roll(4) == 0)],
        amount: LineVolumes { pv: volume(dice), qv: volume(dice), cv: volume(dice) },
    };
    computed.run.volumes = Some((0..dice.roll(4)).map(|_| line(&mut dice)).collect());
    // A shop may change the date of an order; times are finer than the books keep them.
    let second = order + 1_000 * u64::from(dice.roll(5) == 0);
    computed.run.order.placed_at = at(second) + SignedDuration::from_nanos(1_234_567);
    computed
}

type Sums = BTreeSet<(String, [i64; 3])>;

/// What the volume journal has on each position.
async fn journal_sums(world: &World) -> Sums {
    let query = "SELECT concat_ws(' ', order_key, line_id, distributor_id, source,
                (extract(epoch FROM order_ts) * 1000000)::bigint),
            sum(pv)::bigint, sum(qv)::bigint, sum(cv)::bigint
        FROM upline.volume_entry GROUP BY 1
        HAVING sum(pv) <> 0 OR sum(qv) <> 0 OR sum(cv) <> 0";
    let rows = world.rows(query).await;
    rows.iter().map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3)])).collect()
}

fn model_sums(model: &MemoryStore) -> Sums {
    let sums = model.volumes();
    assert!(!sums.is_empty());
    let text = |((key, position), sum): (&(OrderKey, VolumePosition), &LineVolumes)| {
        let VolumePosition { line, distributor, source, placed_at } = position;
        let placed = placed_at.as_microsecond();
        let parts = [sum.pv, sum.qv, sum.cv].map(Volume::parts);
        (format!("{key} {line} {distributor} {source} {placed}"), parts)
    };
    sums.iter().map(text).collect()
}

/// Compares the journal with its model, position by position.
pub(crate) async fn journal_agrees(world: &World, model: &MemoryStore) {
    assert_eq!(journal_sums(world).await, model_sums(model));
}

/// A part of the journal as rows: number, distributor, source, time and volumes.
type Row = (u64, String, VolumeSource, Timestamp, LineVolumes);

#[test]
fn the_journal_is_read_as_columns_up_to_a_number_and_a_time() {
    world("journal_read", async |world| {
        let (books, model) = (world.store(), MemoryStore::default());
        for (step, orders) in (0..).zip([3, 60, 2, 60]) {
            let runs: Vec<Computed> =
                (0..orders).map(|order| with_volumes(order, step + 1)).collect();
            let runs: Vec<&Computed> = runs.iter().collect();
            books.post(&runs, at(step)).await.unwrap();
            model.post(&runs, at(step)).await.unwrap();
        }
        let last = books.last_volume().await.unwrap();
        assert!(last > 100, "{last}");
        let on_the_dot = at(20) + SignedDuration::from_nanos(1_234_567);
        let ranges = [
            (0, u64::MAX, at(5_000)),
            (0, last, at(30)),
            (7, last / 2, at(5_000)),
            (last, last, at(5_000)),
            // The journal keeps microseconds, the caller may say more.
            (0, last, on_the_dot),
            (0, last, on_the_dot - SignedDuration::from_nanos(567)),
        ];
        let mut found = Vec::new();
        for (after, upto, before) in ranges {
            let range = JournalRange { after, upto, before };
            let rows = read(&books, range).await;
            let wanted = model.journal(range).into_iter().map(|(seq, entry)| {
                let VolumePosition { distributor, source, placed_at, .. } = entry.position;
                (seq, distributor.to_string(), source, placed_at, entry.amount)
            });
            assert_eq!(rows, wanted.collect::<Vec<Row>>(), "{range:?}");
            found.push(rows.len());
        }
        assert!(found[0] > found[1] && found[1] > 0 && found[2] > 0, "{found:?}");
        assert_eq!(found[3], 0);
        assert!(found[4] > found[5], "an order of that microsecond is before: {found:?}");
        assert_eq!(world.blocks_hold().await, 4);
    });
}

async fn read(books: &upline::store::postgres::Postgres, range: JournalRange) -> Vec<Row> {
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let number = |who: &str| {
        let next = u32::try_from(numbers.len()).unwrap();
        *numbers.entry(who.to_owned()).or_insert(next)
    };
    let mut pages = Vec::new();
    books.volume_journal(range, number, |page| pages.push(page.clone())).await.unwrap();
    let names: BTreeMap<u32, String> = numbers.into_iter().map(|(who, at)| (at, who)).collect();
    let rows = pages.iter().flat_map(|page| {
        (0..page.len()).map(|at| {
            let amount = LineVolumes { pv: page.pv[at], qv: page.qv[at], cv: page.cv[at] };
            let who = names[&page.member[at]].clone();
            (page.seq[at], who, page.source[at], page.placed_at[at], amount)
        })
    });
    rows.collect()
}

#[test]
fn a_batch_whose_volumes_cannot_be_written_leaves_no_money_either() {
    world("journal_fails", async |world| {
        let books = world.store();
        for (first, orders) in [(1_000, 3), (2_000, 60)] {
            let runs: Vec<Computed> =
                (first..first + orders).map(|order| with_volumes(order, 1)).collect();
            let runs: Vec<&Computed> = runs.iter().collect();
            let entries = "SELECT count(*) FROM upline.ledger_entry";
            let before = world.count(entries).await;
            // A line that no journal may hold: the database refuses it after the money was written.
            let closed =
                "ALTER TABLE upline.volume_entry ADD CONSTRAINT none CHECK (false) NOT VALID";
            world.execute(closed).await.unwrap();
            let refused = books.post(&runs, at(0)).await.unwrap_err();
            assert!(!refused.is_transient(), "{}", refused.chain());
            assert_eq!(world.count(entries).await, before);
            world.execute("ALTER TABLE upline.volume_entry DROP CONSTRAINT none").await.unwrap();
            let posted = books.post(&runs, at(0)).await.unwrap();
            assert!(posted.iter().all(|outcome| matches!(outcome, PostOutcome::Posted { .. })));
            assert!(world.count(entries).await > before);
        }
        assert_eq!(world.blocks_hold().await, 2);
    });
}

/// What a plan without volumes costs does not grow: nothing asks the journal, and its blocks have the
/// form that they had before there was one.
#[test]
fn a_plan_without_volumes_never_touches_the_journal() {
    world("journal_unused", async |world| {
        let touched = "SELECT (coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins)::bigint
                       FROM pg_stat_user_tables WHERE relname = 'volume_entry'";
        // Making an index reads a table too, and is reported by a connection that has ended.
        let made = world.count(touched).await;
        let books = world.store();
        for step in 0..20 {
            // New orders, and revisions of known ones.
            let runs: Vec<Computed> = (0..8).map(|order| computed(order, step + 1)).collect();
            let runs: Vec<&Computed> = runs.iter().collect();
            books.post(&runs, at(step)).await.unwrap();
            books.posted(step + 1..=step + 1).await.unwrap();
        }
        drop(books);
        let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables
                    WHERE relname = 'commission_run'";
        // A connection reports what it did when it ends, or a second later.
        let reported = async || (world.count(used).await >= 20).then_some(());
        eventually("the connection has reported", reported).await;
        assert_eq!(world.count(touched).await, made);
        let sealed = "SELECT count(*) FROM upline.ledger_block WHERE first_volume IS NOT NULL";
        assert_eq!(world.count(sealed).await, 0);
        assert_eq!(world.blocks_hold().await, 20);
    });
}

/// Imports what a kit has; what is no volume is refused, with the reason, and by the table too.
async fn import_volumes(world: &World) {
    let file = world.folder.join("skus.csv");
    let rows = "sku_id,platform,platform_sku,commission_class,cv_per_unit,qv_per_unit\n\
                KIT-STARTER-001,any,KIT-STARTER-001,kit,32.1234,40\n\
                FINE,any,FINE,kit,0.00001,\n\
                LOW,any,LOW,kit,,-1\n\
                HUGE,any,HUGE,kit,10000000000001,\n\
                ODD,any,ODD,kit,,many\n";
    fs::write(&file, rows).unwrap();
    let output = world.run(&["import", "skus", &file.display().to_string()]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines.iter().all(|line| line.contains("at most 4 decimal places")), "{said}");
    // Who writes past the import is held to the same.
    for volume in ["0.00001", "10000000000001", "-1", "'NaN'", "'Infinity'"] {
        for column in ["cv_per_unit", "qv_per_unit"] {
            let insert = format!(
                "INSERT INTO upline.sku_mapping
                     (sku_id, platform, platform_sku, commission_class, {column})
                 VALUES ('X', 'any', 'X', 'kit', {volume})"
            );
            let refused = world.execute(&insert).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "23514", "{insert}");
        }
    }
}

/// Imported volumes, an order of two units, a refund of one, a refund of all: through every stage into
/// the journal, and told.
#[test]
fn imported_volumes_reach_the_journal_and_are_told() {
    world("journal_whole", async |world| {
        import_volumes(world).await;
        let volumes = "[volumes]\npv = \"qv\"\ngroup = \"pv\"\nretail_orders = \"referrer\"\n\
                       negative_volume = \"carry\"\n\
                       conversion = \"1\"\nqv = { source = \"catalogue\", missing = \"zero\" }\n\
                       cv = { source = \"catalogue\", missing = \"zero\" }\n";
        world.write_plan(&format!("{PLAN}\n{volumes}"));
        let app = world.start().await;
        let mut order = shopify_order(7, 1, "paid", "KIT-STARTER-001", "50.00", "11043");
        order["line_items"][0]["quantity"] = json!(2);
        order["total_price"] = json!("100.00");
        let delivery = |id: &str, order: &Value| Delivery::shopify("orders/updated", id, order);
        world.client.deliver(app.http, &delivery("d1", &order)).await;
        world.settles().await;
        let refund = |id: u64, line: &Value| {
            let back = json!({ "id": id, "line_item_id": 1, "quantity": 1, "subtotal": "50.00",
                               "total_tax": "0.00", "line_item": line });
            json!({ "id": id, "created_at": "2026-10-02T10:02:00Z", "refund_line_items": [back],
                    "order_adjustments": [], "transactions": [{ "kind": "refund",
                    "status": "success", "amount": "50.00", "currency": "USD" }] })
        };
        let line = order["line_items"][0].clone();
        order["updated_at"] = json!("2026-10-02T10:02:00Z");
        order["refunds"] = json!([refund(1, &line)]);
        world.client.deliver(app.http, &delivery("d2", &order)).await;
        world.settles().await;
        let told = "SELECT concat_ws(' ', seq, revision, line_id, distributor_id, source,
                        trim_scale(pv), trim_scale(qv), trim_scale(cv))
                    FROM upline.volume_journal ORDER BY seq";
        let told = async || -> Vec<String> {
            world.rows(told).await.iter().map(|row| row.get(0)).collect()
        };
        let first = "1 1 1 11043 retail 80 80 64.2468";
        let second = "2 2 1 11043 retail -40 -40 -32.1234";
        assert_eq!(told().await, [first, second]);
        let output = world.run(&["explain", "7"]).await;
        let said = String::from_utf8(output.stdout).unwrap();
        for part in [
            "volume #1 for 11043, retail: PV 80, QV 80, CV 64.2468: line 1",
            "volume #2 for 11043, retail: PV -40, QV -40, CV -32.1234: line 1, corrects volume #1",
            "line  counts for  source",
        ] {
            assert!(said.contains(part), "{part:?} is not in\n{said}");
        }
        order["updated_at"] = json!("2026-10-02T10:03:00Z");
        order["refunds"] = json!([refund(1, &line), refund(2, &line)]);
        world.client.deliver(app.http, &delivery("d3", &order)).await;
        world.settles().await;
        assert_eq!(told().await[2..], ["3 3 1 11043 retail -40 -40 -32.1234"]);
        assert_eq!(journal_sums(world).await, Sums::new());
        world.pays("7", &[]).await;
        assert_eq!(world.blocks_hold().await, 3);
        app.stop().await;
    });
}
