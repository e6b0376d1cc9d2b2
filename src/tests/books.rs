//! The books in Postgres: against their model, against whoever would change them, and their commands.

use std::{collections::BTreeSet, fs};

use jiff::Timestamp;
use rust_decimal::Decimal;
use upline::{
    domain::{
        commission::{Account, Attribution, Breakage, CommissionLine, Locks, MappedOrder, Run},
        digest::Digest,
        genealogy::{Change as Event, Genealogy, GenealogyEvent, GenealogyVersion},
        id::{ComponentId, DistributorId, LineId, OrderKey},
        ledger::Position,
        money::{Currency, Money, Rate},
        order::{OrderState, Status},
        plan::{Plan, PlanRef},
        story::{Chapter, Effect},
    },
    stack::{self, Server, Status as Stack},
    stage::{
        map::{Company, WaitsFor},
        message::{Computed, Trace},
        platform::{Parsed, RawEvent, StorePolicy, parse},
    },
    store::{
        Booked, Change, Store, memory::MemoryStore, postgres::CompanyReader, postgres::migrate,
    },
};

use crate::{
    journal::{journal_agrees, with_volumes},
    support::{Delivery, PLAN, World, example, shopify_order, stack_config, world},
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
    let (walks, totals, idle) = ([].into(), [].into(), [].into());
    let volumes = None;
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
        let (mut posted, mut kept) =
            (books.posted(&keys).await.unwrap(), model.posted(&keys).await.unwrap());
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
async fn trade(world: &World) {
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
                let refused = world.execute(&statement).await.unwrap_err();
                let reason = refused.as_db_error().unwrap().message();
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

#[test]
fn the_chain_of_the_genealogy_is_accepted_and_an_altered_one_refused() {
    world("genealogy", async |world| {
        let moved = "UPDATE upline.distributors SET sponsor_id = '10001', status = 'inactive',
            changed_at = '2026-05-05T05:05:05.123456Z' WHERE distributor_id = 'ABC123'";
        world.execute(moved).await.unwrap();
        let query = "SELECT seq, distributor_id, sponsor_id, kind, effective_at, recorded_at, hash
            FROM upline.genealogy_event ORDER BY seq";
        let mut tree = Genealogy::default();
        for row in world.rows(query).await {
            let id = |text: &str| DistributorId::parse(text).unwrap();
            let sponsor = row.get::<_, Option<&str>>(2).map(id);
            let change = match row.get(3) {
                "enrolled" => Event::Enrolled(sponsor),
                "sponsored" => Event::Sponsored(sponsor),
                status => Event::Status(
                    upline::domain::genealogy::DistributorStatus::parse(status).unwrap(),
                ),
            };
            tree.apply(&GenealogyEvent {
                seq: u64::try_from(row.get::<_, i64>(0)).unwrap(),
                distributor: id(row.get(1)),
                change,
                effective_at: row.get(4),
                recorded_at: row.get(5),
                hash: Digest::try_from(row.get::<_, &[u8]>(6)).unwrap(),
            })
            .unwrap();
        }
        assert_eq!(tree.version().seq, 6);
        let mut company = Company::default();
        let reader = CompanyReader::new(world.store());
        reader.catch_up(&mut company).await.unwrap();
        assert_eq!(company.genealogy.version(), tree.version());

        let altered = "ALTER TABLE upline.genealogy_event DISABLE TRIGGER append_only;
            UPDATE upline.genealogy_event SET sponsor_id = '11043' WHERE seq = 2";
        world.execute(altered).await.unwrap();
        let refused = reader.catch_up(&mut Company::default()).await.unwrap_err();
        assert!(refused.chain().contains("event 2"), "{}", refused.chain());
        assert!(!refused.is_transient());
    });
}

#[test]
fn enrolling_in_bulk_records_the_same_as_one_by_one_and_refuses_every_loop() {
    world("bulk", async |world| {
        let events = async || {
            let query = "SELECT distributor_id, sponsor_id, kind FROM upline.genealogy_event
                WHERE seq > 4 ORDER BY seq";
            let text = |row: &tokio_postgres::Row| {
                let sponsor = row.get::<_, Option<&str>>(1).unwrap_or("-");
                format!("{} {} {}", row.get::<_, &str>(0), row.get::<_, &str>(2), sponsor)
            };
            world.rows(query).await.iter().map(text).collect::<Vec<_>>()
        };
        // Downwards, upwards, and one that is there already, in one statement.
        let bulk = "INSERT INTO upline.distributors (distributor_id, sponsor_id, status) VALUES
            ('A', '10001', 'active'), ('B', 'A', 'inactive'), ('D', 'C', 'active'),
            ('C', 'B', 'active'), ('11043', '10001', 'active')
            ON CONFLICT (distributor_id) DO UPDATE SET sponsor_id = excluded.sponsor_id";
        world.execute(bulk).await.unwrap();
        let recorded = [
            "11043 sponsored 10001",
            "A enrolled 10001",
            "B enrolled A",
            "B inactive -",
            "D enrolled C",
            "C enrolled B",
        ];
        assert_eq!(events().await, recorded);
        let within = "('E', 'F', 'active'), ('F', 'G', 'active'), ('G', 'E', 'active')";
        let hanging = "('H', 'K', 'active')";
        let closing = "('K', 'H', 'active')";
        let insert = "INSERT INTO upline.distributors (distributor_id, sponsor_id, status) VALUES";
        world.execute(&format!("{insert} {hanging}")).await.unwrap();
        for refused in [
            format!("{insert} {within}"),
            format!("{insert} {closing}"),
            "UPDATE upline.distributors SET sponsor_id = 'D' WHERE distributor_id = 'A'".into(),
        ] {
            let error = world.execute(&refused).await.unwrap_err();
            let said = error.as_db_error().map(|error| error.message().to_owned());
            assert!(said.is_some_and(|said| said.contains("own downline")), "{refused}");
        }
        assert_eq!(events().await.len(), recorded.len() + 1);
        // The chain holds, as the program computes it.
        let mut company = Company::default();
        CompanyReader::new(world.store()).catch_up(&mut company).await.unwrap();
        assert_eq!(company.genealogy.version().seq, 11);
        let before = company.genealogy.clone();
        world.execute(&format!("{insert} ('L', 'D', 'active')")).await.unwrap();
        CompanyReader::new(world.store()).catch_up(&mut company).await.unwrap();
        assert_eq!((before.version().seq, company.genealogy.version().seq), (11, 12));
        assert_eq!(
            (before.find_code("l", 99), company.genealogy.find_code("l", 99)),
            (None, Some("L"))
        );
    });
}

#[test]
fn a_changed_plan_of_the_same_version_is_refused() {
    world("plan", async |world| {
        let (books, plan) = (world.store(), Plan::parse(PLAN).unwrap());
        books.register_plan(&plan, PLAN).await.unwrap();
        books.register_plan(&plan, PLAN).await.unwrap();
        let path = world.folder.join("pipelines/plans/field.toml");
        fs::write(&path, PLAN.replace("20 %", "25 %")).unwrap();
        let output = world.run(&["serve"]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("plan field version 1 was changed"), "{said}");
        assert_eq!(world.count("SELECT count(*) FROM upline.plan_version").await, 1);
    });
}

#[test]
fn a_pipeline_that_names_a_plan_of_no_file_is_refused() {
    world("no_plan", async |world| {
        let path = world.folder.join("pipelines/acme.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("plan = \"field\"", "plan = \"feild\"")).unwrap();
        let output = world.run(&["check"]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("feild"), "{said}");
    });
}

#[test]
fn migrating_twice_or_from_several_processes_at_once_is_migrating_once() {
    world("migrate", async |world| {
        world.execute("DROP SCHEMA upline CASCADE").await.unwrap();
        let all = (0..8).map(|_| migrate(&world.database));
        let applied = futures_util::future::join_all(all).await;
        let applied: Vec<Vec<i32>> = applied.into_iter().map(Result::unwrap).collect();
        let by: Vec<&Vec<i32>> = applied.iter().filter(|numbers| !numbers.is_empty()).collect();
        assert_eq!(by.len(), 1, "one of them applied everything: {applied:?}");
        assert_eq!(by[0].first(), Some(&1));
        assert_eq!(migrate(&world.database).await.unwrap(), [0; 0]);
        let both = tokio::join!(world.run(&["migrate"]), world.run(&["migrate"]));
        for output in [both.0, both.1] {
            assert!(output.status.success(), "{output:?}");
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.contains("up to date"), "{said}");
        }
        trade(world).await;
    });
}

#[test]
fn an_import_names_bad_rows_by_line_takes_the_good_ones_and_changes_nothing_twice() {
    world("import", async |world| {
        let file = world.folder.join("distributors.csv");
        let rows = [
            "distributor_id,sponsor_id,status,created_at",
            "N2,N1,active,2026-01-31",
            "N1,10001,,",
            "N3,N3,,",
            "10001,ABC123,,",
            "N4,10001,asleep,",
            "N5,10001,,yesterday",
            "N6,10090,inactive,",
        ];
        fs::write(&file, rows.join("\n")).unwrap();
        let file = file.display().to_string();
        let output = world.run(&["import", "distributors", &file]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for (line, reason) in [(4, "own sponsor"), (5, "downline"), (6, "asleep"), (7, "yesterday")]
        {
            let line = format!("line {line}: ");
            let named = said.lines().find(|text| text.starts_with(&line));
            assert!(named.is_some_and(|text| text.contains(reason)), "{line}{reason}\n{said}");
        }
        assert!(String::from_utf8_lossy(&output.stdout).contains("3 written, 0 unchanged"));
        let events = "SELECT count(*) FROM upline.genealogy_event";
        assert_eq!(world.count(events).await, 4 + 4);
        let output = world.run(&["import", "distributors", &file]).await;
        assert!(String::from_utf8_lossy(&output.stdout).contains("0 written, 3 unchanged"));
        assert_eq!(world.count(events).await, 8);

        let file = world.folder.join("skus.csv");
        let rows = "sku_id,platform,platform_sku,commission_class,cv_per_unit,name\n\
                    A,any,A-1,beauty,12.50,\"Cream, blue\"\nB,amazon,B,beauty,,\nC,any,C,,,\n";
        fs::write(&file, rows).unwrap();
        let file = file.display().to_string();
        for (written, unchanged) in [(1, 0), (0, 1)] {
            let output = world.run(&["import", "skus", &file, "--json"]).await;
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(said["written"], written, "{said}");
            assert_eq!(said["unchanged"], unchanged, "{said}");
            let refused = said["refused"].as_array().unwrap();
            assert_eq!(refused.len(), 2, "{said}");
        }
        assert_eq!(world.count("SELECT count(*) FROM upline.sku_mapping").await, 4);
    });
}

#[test]
fn check_shows_the_configuration_and_no_secret() {
    world("check", async |world| {
        let secret_url = world.database.replace("upline@", "upline:hidden-word@");
        let output = world
            .program(&["check"])
            .env("UPLINE_DATABASE_URL", &secret_url)
            .env("UPLINE_NATS_URL", "nats://someone:hidden-word@127.0.0.1:4222")
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        for shown in ["UPLINE_SHOPIFY_SECRET=***", "postgres://***@", "nats://***@", "field"] {
            assert!(said.contains(shown), "{shown} is not in\n{said}");
        }
        let secrets = world.variables();
        let secrets = secrets
            .iter()
            .filter(|(name, _)| name.ends_with("_SECRET") || name.ends_with("_TOKEN"));
        for hidden in secrets.map(|(_, value)| value.as_str()).chain(["hidden-word"]) {
            assert!(!said.contains(hidden), "{hidden} is in\n{said}");
        }
    });
}

#[test]
fn the_servers_sync_what_they_acknowledge() {
    world("sync", async |world| {
        let setting = "SELECT count(*) FROM pg_settings WHERE (name, setting) IN
            (('fsync', 'on'), ('synchronous_commit', 'on'), ('full_page_writes', 'on'))";
        assert_eq!(world.count(setting).await, 3);
        let Stack::Running { servers, .. } = stack::status(&stack_config()).unwrap() else {
            panic!("the stack does not run");
        };
        let nats = servers.iter().find(|server| server.server == Server::Nats).unwrap();
        let port = nats.monitor_port.unwrap();
        let page = world.client.get(([127, 0, 0, 1], port).into(), "/varz").await;
        let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(page["jetstream"]["config"]["sync_always"], true, "{}", page["jetstream"]);
    });
}
