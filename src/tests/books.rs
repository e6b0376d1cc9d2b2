//! The books in Postgres: against their model, and against whoever would change them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rust_decimal::Decimal;
use upline::{
    domain::{
        commission::{Account, Attribution, Breakage, CommissionLine, Locks, MappedOrder, Run},
        digest::Digest,
        genealogy::GenealogyVersion,
        id::{ComponentId, DistributorId, LineId, OrderKey},
        ledger::Position,
        money::{Currency, Money, Rate},
        order::{OrderState, Status},
        plan::PlanRef,
        story::{Chapter, Effect},
    },
    stage::{
        map::WaitsFor,
        message::{Computed, Trace},
        platform::{Parsed, RawEvent, StorePolicy, parse},
    },
    store::{Booked, Change, Store, memory::MemoryStore},
};

use crate::{
    journal::{journal_agrees, with_volumes},
    support::{Delivery, World, example, shopify_order, world},
};

/// A small generator of numbers: the seed fixes the test.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

pub(crate) fn key(number: u64) -> OrderKey {
    OrderKey::parse(&format!("shopify/acme/{number}")).unwrap()
}

pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + i64::try_from(second).unwrap()).unwrap()
}

/// The calculation of a revision: made up, but the same whenever it is asked for.
pub(crate) fn computed(order: u64, revision: u64) -> Computed {
    let mut dice = Dice(order * 1000 + revision);
    let mut lines = Vec::new();
    for line in 0..dice.roll(4) {
        let distributor = dice.roll(3);
        let account = match distributor {
            0 => Account::Breakage,
            id => Account::Distributor(DistributorId::parse(&id.to_string()).unwrap()),
        };
        let amount = Money::from_decimal(Decimal::new(i64::try_from(dice.roll(500)).unwrap(), 2));
        lines.push(CommissionLine {
            line: LineId::parse(&(line / 2).to_string()).unwrap(),
            component: ComponentId::parse("unilevel").unwrap(),
            level: u16::try_from(distributor).unwrap(),
            breakage: (distributor == 0).then_some(Breakage::EndOfUpline),
            account,
            base: Money::ZERO,
            rate: Rate::parse("5 %").unwrap(),
            amount: amount.unwrap(),
            rank: None,
            own: None,
            volume: None,
        });
    }
    let order = MappedOrder {
        key: key(order),
        refund_policy: upline::domain::order::RefundPolicy::default(),
        revision,
        status: Status::Paid,
        placed_at: at(order),
        // A shop may change the currency of an order.
        currency: Currency::parse(if dice.roll(4) == 0 { "EUR" } else { "USD" }).unwrap(),
        total: Money::ZERO,
        attribution: Attribution::default(),
        locks: locks(),
        chargebacks: Vec::new(),
        lines: Vec::new(),
    };
    let (order_hash, engine) = (order.hash(), "test".into());
    let (walks, totals, idle, volumes) = ([].into(), [].into(), [].into(), None);
    let run = Run { engine, order_hash, order, walks, lines, totals, idle, volumes };
    Computed { run, trace: Trace::start(at(revision)) }
}

fn locks() -> Locks {
    Locks {
        rate: None,
        attribution: None,
        ranks: None,
        ranks_hash: None,
        genealogy: GenealogyVersion::EMPTY,
        plan: PlanRef { id: "field".into(), version: 1, hash: Digest::ZERO },
        catalog: 3,
        late_lines: std::collections::BTreeMap::new(),
    }
}

/// States of orders as shops send them.
fn states() -> Vec<OrderState> {
    let mut states = vec![OrderState::default()];
    for file in ["paid-plain", "refund-lines", "code-discount", "cancelled"] {
        let (topic, body) = example(&format!("shopify/{file}.json"));
        let body = body.to_string();
        let event = RawEvent {
            platform: upline::domain::id::Platform::Shopify,
            store: &key(1).store,
            topic: &topic,
            delivery: "d",
            received_at: at(0),
            digest: Digest::of(body.as_bytes()),
            body: body.as_bytes(),
        };
        let Parsed::Facts(facts) = parse(&event, &StorePolicy::default()).unwrap() else {
            panic!("{file} holds no facts");
        };
        states.extend(facts.into_iter().map(OrderState::of));
    }
    states
}

/// An event of an order; the few deliveries come again and again.
fn chapter(dice: &mut Dice, number: u64) -> Chapter {
    Chapter {
        key: key(number),
        delivery: format!("d{}", dice.roll(4)).into(),
        topic: "orders/updated".into(),
        received_at: at(dice.roll(2)),
        digest: Digest::ZERO,
        fact: "snapshot".to_owned(),
        said: "paid".to_owned(),
        version_at: (dice.roll(2) == 0).then(|| at(7)),
        effect: [Effect::Revision, Effect::NothingNew, Effect::Recheck]
            [usize::try_from(number % 3).unwrap()],
        reason: None,
        revision: dice.roll(9),
    }
}

/// A write of somebody who has read the order at some time: at `edition` or before.
fn change(dice: &mut Dice, number: u64, edition: u64, states: &[OrderState]) -> Change {
    let state = usize::try_from(dice.roll(u64::try_from(states.len()).unwrap())).unwrap();
    let waits = (0..dice.roll(3))
        .map(|n| WaitsFor::Distributor(DistributorId::parse(&format!("D{n}")).unwrap()));
    Change {
        touch: None,
        key: key(number),
        booked: Booked {
            edition: edition.saturating_sub(dice.roll(2)) + 1,
            revision: dice.roll(4),
            state: states[state].clone(),
            locks: (dice.roll(2) == 0).then(locks),
            plan: "field".into(),
        },
        waits: waits.collect(),
        outcome: ["ready", "parked", "no_order_yet"][usize::try_from(dice.roll(3)).unwrap()],
        received_at: at(dice.roll(100)),
        events: (0..dice.roll(3)).map(|_| chapter(dice, number)).collect(),
    }
}

#[test]
fn the_books_answer_as_their_model() {
    world("model", async |world| {
        let (books, model) = (world.store(), MemoryStore::default());
        let states = states();
        let keys: Vec<OrderKey> = (0..15).map(key).collect();
        for seed in 0..3u64 {
            let mut dice = Dice(seed);
            for step in 0..60 {
                // Each order once: within one batch the real books take the newest and leave the rest.
                let orders: BTreeSet<u64> =
                    (0..=dice.roll(4)).map(|_| seed * 5 + dice.roll(5)).collect();
                if dice.roll(2) == 0 {
                    let known = model.load(&keys).await.unwrap();
                    let edition = |order| known.get(&key(order)).map_or(0, |booked| booked.edition);
                    let changes: Vec<Change> = orders
                        .iter()
                        .map(|order| change(&mut dice, *order, edition(*order), &states))
                        .collect();
                    let idle: Vec<Chapter> =
                        (0..dice.roll(3)).map(|n| chapter(&mut dice, seed * 5 + n)).collect();
                    let saved = books.save(&changes, &idle).await.unwrap();
                    let wanted = model.save(&changes, &idle).await.unwrap();
                    assert_eq!(saved, wanted, "seed {seed}/{step}");
                } else {
                    let runs: Vec<Computed> = orders
                        .iter()
                        .map(|order| with_volumes(*order, dice.roll(step + 3)))
                        .collect();
                    let runs: Vec<&Computed> = runs.iter().collect();
                    let posted = books.post(&runs, at(step)).await.unwrap();
                    let wanted = model.post(&runs, at(step)).await.unwrap();
                    assert_eq!(posted, wanted, "seed {seed}, step {step}");
                }
                let loaded = books.load(&keys).await.unwrap();
                assert_eq!(loaded, model.load(&keys).await.unwrap(), "seed {seed}, step {step}");
            }
        }
        let all = || 1..=u64::MAX;
        let (mut posted, mut kept) =
            (books.posted(all()).await.unwrap(), model.posted(all()).await.unwrap());
        for postings in [&mut posted, &mut kept] {
            postings.sort_by_key(|p| (p.run.order.key.clone(), p.run.order.revision));
        }
        assert!(posted.len() > keys.len() && posted == kept, "what is posted differs");
        assert!(posted.iter().flat_map(|posting| &posting.volumes).any(|v| v.corrects.is_some()));
        let wanted: Vec<(String, String, String)> = model
            .waits()
            .iter()
            .flat_map(|(key, waits)| waits.iter().map(move |wait| (key.to_string(), wait.parts())))
            .map(|(key, (kind, value))| (key, kind.to_owned(), value.into_owned()))
            .collect();
        assert_eq!(books.waits().await.unwrap(), wanted);
        for key in &keys {
            let query = format!(
                "SELECT concat_ws(' ', delivery, effect, revision) FROM upline.order_event
                 WHERE order_key = '{key}' ORDER BY seq"
            );
            let rows = world.rows(&query).await;
            let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let story = model.story(key);
            let line = |c: &Chapter| format!("{} {} {}", c.delivery, c.effect.as_str(), c.revision);
            assert_eq!(found, story.iter().map(line).collect::<Vec<_>>(), "{key}");
        }
        assert!(world.blocks_hold().await > 10);
    });
}

#[test]
fn a_batch_with_several_revisions_of_an_order_ends_where_the_model_ends() {
    world("batches", async |world| {
        let (books, model) = (world.store(), MemoryStore::default());
        let mut dice = Dice(7);
        for step in 0..40 {
            let count = dice.roll(6) + 1;
            let runs: Vec<Computed> =
                (0..count).map(|_| with_volumes(dice.roll(4), dice.roll(40))).collect();
            let runs: Vec<&Computed> = runs.iter().collect();
            assert_eq!(books.post(&runs, at(step)).await.unwrap().len(), runs.len());
            model.post(&runs, at(step)).await.unwrap();
        }
        let query = "SELECT order_key, line_id, component, level::int, account, sum(amount)::text,
                currency
            FROM upline.ledger GROUP BY 1, 2, 3, 4, 5, 7 HAVING sum(amount) <> 0";
        let rows = world.rows(query).await;
        let text = |row: &tokio_postgres::Row| {
            let sum: Decimal = row.get::<_, &str>(5).parse().unwrap();
            let columns: [&str; 5] = [row.get(0), row.get(1), row.get(2), row.get(4), row.get(6)];
            (columns.join(" "), row.get::<_, i32>(3), sum.normalize().to_string())
        };
        let found: BTreeSet<(String, i32, String)> = rows.iter().map(text).collect();
        let balances = model.balances();
        let wanted: BTreeSet<(String, i32, String)> = balances
            .iter()
            .map(|((key, position), sum)| {
                let Position { line, component, account, currency, .. } = position;
                let columns = format!("{key} {line} {component} {account} {currency}");
                let sum = sum.as_decimal().normalize().to_string();
                (columns, i32::from(position.level), sum)
            })
            .collect();
        assert_eq!(found, wanted);
        journal_agrees(world, &model).await;
        world.blocks_hold().await;
    });
}

/// A few orders with corrections, all posted.
pub(crate) async fn trade(world: &World) {
    let app = world.start().await;
    for (minute, price) in [(1, "99.00"), (2, "33.33"), (3, "77.77")] {
        let kit = Delivery::order(1, minute, "KIT-STARTER-001", price, "ABC123");
        world.client.deliver(app.http, &kit).await;
        world.settles().await;
    }
    let mut refunded = shopify_order(2, 1, "paid", "SUPP001", "10.01", "11043");
    world.client.deliver(app.http, &Delivery::shopify("orders/paid", "p", &refunded)).await;
    // Together in one batch the two would join to an order that never earned.
    world.settles().await;
    refunded["updated_at"] = "2026-10-02T11:00:00Z".into();
    refunded["cancelled_at"] = "2026-10-02T11:00:00Z".into();
    world.client.deliver(app.http, &Delivery::shopify("orders/cancelled", "c", &refunded)).await;
    world.settles().await;
    app.stop().await;
}

#[test]
fn nothing_posted_can_be_changed_by_anybody() {
    world("append_only", async |world| {
        trade(world).await;
        let service = world.store();
        let runs = [with_volumes(1, 1), with_volumes(2, 1), with_volumes(4, 1)];
        service.post(&runs.iter().collect::<Vec<_>>(), at(0)).await.unwrap();
        let tables = "ledger_entry:line_id volume_entry:line_id ledger_block:hash \
                      commission_run:status genealogy_event:hash";
        for (table, column) in tables.split(' ').filter_map(|table| table.split_once(':')) {
            assert!(world.count(&format!("SELECT count(*) FROM upline.{table}")).await > 0);
            for statement in [
                format!("UPDATE upline.{table} SET {column} = {column}"),
                format!("DELETE FROM upline.{table}"),
                format!("TRUNCATE upline.{table}"),
            ] {
                let reason = world.refuses(&statement).await;
                assert!(reason.contains("append-only"), "{statement}: {reason}");
                let client = service.client().await.unwrap();
                let refused = client.batch_execute(&statement).await.unwrap_err();
                assert_eq!(refused.code().unwrap().code(), "42501", "{statement}: {refused:?}");
            }
        }
        let role = "SELECT current_user::text";
        let client = service.client().await.unwrap();
        let row = client.query_one(role, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "upline_service");
    });
}

#[test]
fn blocks_chain_and_every_pool_is_paid_out_or_kept() {
    world("sums", async |world| {
        trade(world).await;
        assert!(world.blocks_hold().await >= 3);
        let query = "WITH newest AS (
                SELECT DISTINCT ON (order_key) order_key, calc_snapshot_json::jsonb AS snapshot
                FROM upline.commission_run ORDER BY order_key, revision DESC),
            totals AS (
                SELECT order_key, key AS component, (value->>'pool')::numeric AS pool,
                       (value->>'paid')::numeric AS paid, (value->>'breakage')::numeric AS kept
                FROM newest, jsonb_each(snapshot->'totals')),
            posted AS (
                SELECT order_key, component,
                       coalesce(sum(amount) FILTER (WHERE distributor_id IS NOT NULL), 0) AS paid,
                       coalesce(sum(amount) FILTER (WHERE distributor_id IS NULL), 0) AS kept
                FROM upline.ledger GROUP BY 1, 2)
            SELECT count(*) FILTER (WHERE coalesce(t.pool, 0) <> p.paid + p.kept
                       OR coalesce(t.paid, 0) <> p.paid OR coalesce(t.kept, 0) <> p.kept),
                   count(*) FILTER (WHERE p.kept > 0), count(*)
            FROM posted p LEFT JOIN totals t USING (order_key, component)";
        let row = &world.rows(query).await[0];
        assert_eq!(row.get::<_, i64>(0), 0, "a pool is not what was paid and kept");
        assert!(row.get::<_, i64>(1) >= 1 && row.get::<_, i64>(2) >= 3);
        assert_eq!(world.paid("2").await, [""; 0]);
    });
}
