//! The books of binaries and matrices: held row by row, and what changes of a plan mean for them.

use std::fs;

use serde_json::{Value, json};
use upline::{
    domain::{genealogy::Genealogy, id::TreeId, placement::Shape},
    store::postgres::Postgres,
};

use crate::{
    placements::{COMPONENTS, LEGS, found_with, imported, the_plan},
    support::{Delivery, Running, World, closing, said, world},
};

/// Everybody below their sponsor.
const GRID: &str = "position,distributor\n1,10001\n2,10090\n3,11043\n4,L2\n5,ABC123\n";

/// The company with both trees.
async fn placed(world: &World, components: &str) -> Running {
    let app = found_with(world, components).await;
    imported(world, LEGS, "legs", "4 written").await;
    imported(world, GRID, "grid", "5 written").await;
    app
}

/// Orders of 2026, each with the day `01-05`, and how many entries the journal then has.
async fn deliver(
    world: &World,
    app: &Running,
    orders: &[(u32, &str, &str, &str, &str)],
    journal: i64,
) {
    for (id, day, status, who, price) in orders {
        let at = format!("2026-{day}T10:00:00Z");
        let order = closing::order(*id, &at, status, who, price);
        world.client.deliver(app.http, &order).await;
        world.settles().await;
    }
    closing::journal_reaches(world, journal).await;
}

async fn lines(world: &World, query: &str) -> Vec<String> {
    world.rows(query).await.iter().map(|row| row.get(0)).collect()
}

/// What `close --verify` lists: part, which, field, in the books, computed.
async fn differences(world: &World, period: &str) -> Vec<String> {
    let output = world.run(&["close", period, "--verify", "--json"]).await;
    assert!(!output.status.success(), "the books hold");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    let line = |difference: &Value| {
        let fields = ["of", "which", "field", "stored", "computed"];
        fields.map(|field| text(&difference[field])).join("; ")
    };
    told["differences"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn every_row_of_positions_is_held_against_what_is_computed() {
    world("verify_placed", async |world| {
        let app = placed(world, COMPONENTS).await;
        let january = [
            (1, "01-05", "paid", "11043", "300.00"),
            (2, "01-06", "paid", "L2", "500.00"),
            (3, "01-07", "paid", "11043", "100.00"),
            (4, "01-08", "paid", "ABC123", "40.00"),
        ];
        deliver(world, &app, &january, 4).await;
        closing::commit(world, "2026-01").await;
        let back = [(1, "01-05", "cancelled", "11043", "300.00")];
        deliver(world, &app, &back, 5).await;
        closing::commit(world, "2026-02").await;
        app.stop().await;
        for period in ["2026-01", "2026-02"] {
            let told = said(&world.run(&["close", period, "--verify"]).await);
            assert!(told.contains("2 positions of binaries"), "{told}");
        }

        for table in ["period_position", "period_level", "period_correction", "period_entry"] {
            let off = format!("ALTER TABLE upline.{table} DISABLE TRIGGER USER");
            world.execute(&off).await.unwrap();
        }
        // 440 with 500 earned 44, of which the cap of 35 left 9; 140 with 500 earn 14.
        let february = "UPDATE upline.period_correction SET paid = -20, cap = 'most', spared = -1;
            UPDATE upline.period_entry SET corrects = '2025-12'
            WHERE period = '2026-02' AND debit = 'distributor:10090' AND corrects = '2026-01';";
        world.execute(february).await.unwrap();
        let wanted = [
            "entry; 6 pairs distributor:10090; corrects; 2025-12; 2026-01",
            "correction; pairs 2026-01 0; cap; most; nothing",
            "correction; pairs 2026-01 0; paid; -20.00; -21.00",
            "correction; pairs 2026-01 0; spared; -1.00; 0.00",
        ];
        let found = differences(world, "2026-02").await;
        let found: Vec<_> = found.iter().map(|line| line.replace("-20;", "-20.00;")).collect();
        let found: Vec<_> = found.iter().map(|line| line.replace("-1;", "-1.00;")).collect();
        assert_eq!(found, wanted);

        let january = "UPDATE upline.period_position SET left_carried = left_carried + 70000,
                   left_paired = left_paired - 70000, standing = 0, reason = 'inactive'
            WHERE period = '2026-01' AND position = 0;
            DELETE FROM upline.period_position WHERE period = '2026-01' AND position = 1;
            INSERT INTO upline.period_position SELECT plan_id, period, component, 3, standing,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL
            FROM upline.period_position WHERE period = '2026-01' AND position = 0;
            INSERT INTO upline.period_position SELECT plan_id, period, 'ghost', 3, standing,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL
            FROM upline.period_position WHERE period = '2026-01' AND position = 0;
            UPDATE upline.period_level SET paid = 'NaN', volume = 10000
            WHERE period = '2026-01' AND level = 1 AND position = 1;
            DELETE FROM upline.period_level WHERE period = '2026-01' AND level = 3 AND position = -1;
            INSERT INTO upline.period_level VALUES
                ('field', '2026-01', 'levels', 1, 4, 10000, 2, 0, NULL);";
        world.execute(january).await.unwrap();
        let wanted = [
            "position; ghost; row; 1 rows; nothing",
            "position; pairs 0; left_carried; 7; 0",
            "position; pairs 0; left_paired; 433; 440",
            "position; pairs 0; reason; inactive; nothing",
            "position; pairs 0; standing; 0; 7",
            "position; pairs 1; row; nothing; paid 0.00, standing 6",
            "position; pairs 3; row; paid 0, standing 0; nothing",
            "level; levels level 1 1; paid; no amount; 45.00",
            "level; levels level 1 1; volume; 1; 900",
            "level; levels level 1 4; row; 1 points, paid 2; nothing",
            "level; levels level 3 -1; row; nothing; 900 points, paid 0.00",
        ];
        assert_eq!(differences(world, "2026-01").await, wanted);
    });
}

#[test]
fn a_position_that_had_nothing_left_is_unpaired_with_what_spoke_for_it_then() {
    let plan = COMPONENTS.replace("unqualified = \"breakage\"", "unqualified = \"flush\"");
    assert_ne!(plan, COMPONENTS);
    world("emptied", async |world| {
        let app = placed(world, &plan).await;
        let january =
            [(1, "01-05", "paid", "11043", "100.00"), (2, "01-06", "paid", "L2", "100.00")];
        deliver(world, &app, &january, 2).await;
        closing::commit(world, "2026-01").await;
        closing::commit(world, "2026-02").await;
        let positions = "SELECT concat_ws(' ', period, position) FROM upline.period_position";
        let kept = lines(world, positions).await;
        assert_eq!(kept, ["2026-01 0"], "what paired wholly waits for nothing");

        // In February 10090 might have earned, so what came apart in January was not emptied there.
        let later =
            [(2, "01-06", "cancelled", "L2", "100.00"), (3, "03-06", "paid", "L2", "100.00")];
        deliver(world, &app, &later, 4).await;
        closing::commit(world, "2026-03").await;
        let pairs =
            "SELECT concat_ws(' ', credit, debit, amount, corrects) FROM upline.period_entry
                     WHERE period = '2026-03' AND component = 'pairs' ORDER BY number";
        assert_eq!(
            lines(world, pairs).await,
            ["distributor:10090 commission 10.00", "commission distributor:10090 10.00 2026-01"]
        );
        for period in ["2026-01", "2026-02", "2026-03"] {
            said(&world.run(&["close", period, "--verify"]).await);
        }
        app.stop().await;
    });
}

#[test]
fn a_binary_that_begins_anew_says_so() {
    world("anew", async |world| {
        placed(world, COMPONENTS).await.stop().await;
        let second = the_plan(COMPONENTS)
            .replace("version = 1", "version = 2")
            .replace(
                "effective_from = \"2020-01-01T00:00:00Z\"",
                "effective_from = \"2026-02-01T00:00:00Z\"",
            )
            .replace("tree = \"legs\"", "tree = \"other\"");
        fs::write(world.folder.join("pipelines/plans/field2.toml"), second).unwrap();
        let file = world.folder.join("pipelines/acme.toml");
        let text = fs::read_to_string(&file).unwrap();
        let both =
            text.replace("[\"plans/field.toml\"]", "[\"plans/field.toml\", \"plans/field2.toml\"]");
        assert_ne!(both, text);
        fs::write(&file, both).unwrap();
        let app = world.start().await;
        imported(world, LEGS, "other", "4 written").await;
        let january =
            [(1, "01-05", "paid", "11043", "300.00"), (2, "01-06", "paid", "L2", "500.00")];
        deliver(world, &app, &january, 2).await;
        closing::commit(world, "2026-01").await;
        let back = [(2, "01-06", "cancelled", "L2", "500.00")];
        deliver(world, &app, &back, 3).await;

        let notes = closing::shown(world, "2026-02").await["summary"]["notes"].clone();
        assert_eq!(
            notes,
            json!([
                { "note": "begins_anew", "component": "pairs", "after": "2026-01", "because": "tree",
                  "positions": 1, "volume": "200" },
                { "note": "not_unpaired", "component": "pairs", "upto": "2026-01", "volume": "500" },
            ])
        );
        let told = closing::commit(world, "2026-02").await;
        for says in [
            "pairs takes nothing over from 2026-01, as it paid on another tree then: 200 points in the \
             legs of 1 position lapse",
            "pairs: 500 points of periods up to 2026-01 came back and are not un-paired",
        ] {
            assert!(told.contains(says), "{says}: {told}");
        }
        said(&world.run(&["close", "2026-02", "--verify"]).await);
        assert_eq!(
            closing::shown(world, "2026-03").await["summary"]["notes"],
            Value::Null,
            "told once"
        );
        app.stop().await;
    });
}

#[test]
fn a_correction_of_what_other_rules_closed_says_so() {
    world("other_rules", async |world| {
        let app = placed(world, COMPONENTS).await;
        let january =
            [(1, "01-05", "paid", "11043", "300.00"), (2, "01-06", "paid", "L2", "500.00")];
        deliver(world, &app, &january, 2).await;
        closing::commit(world, "2026-01").await;
        let older = "ALTER TABLE upline.period_close DISABLE TRIGGER USER;
            UPDATE upline.period_close SET engine = 'older', basis = jsonb_set(basis::jsonb,
                '{engine}', '\"older\"')::json;";
        world.execute(older).await.unwrap();
        let notes = async || closing::shown(world, "2026-02").await["summary"]["notes"].clone();
        assert_eq!(notes().await, Value::Null, "nothing of it came back");
        deliver(world, &app, &[(2, "01-06", "cancelled", "L2", "500.00")], 3).await;
        let note = json!({ "note": "other_rules", "component": "pairs", "period": "2026-01", "engine": "older" });
        assert_eq!(notes().await, json!([note]));
        let told = closing::commit(world, "2026-02").await;
        assert!(told.contains("pairs: 2026-01 was closed by the rules older"), "{told}");
        app.stop().await;
    });
}

#[test]
fn an_order_of_a_matrix_is_rounded_after_what_came_back_before_the_close() {
    world("matrix_orders", async |world| {
        let app = placed(world, COMPONENTS).await;
        let states = [("10.31", 1), ("10.22", 2), ("10.01", 3)].map(|(price, minute)| {
            let placed = "2026-01-05T10:00:00Z";
            let order = closing::order(1, placed, "paid", "10090", price);
            let mut body: Value = serde_json::from_str(&order.body).unwrap();
            body["updated_at"] = json!(format!("2026-01-05T10:0{minute}:00Z"));
            Delivery::api("/v1/orders", &body)
        });
        // 5 % of 10.31 are 0.5155, of the 0.09 less 0.0045: apart they would be 0.52 less 0.00.
        for (state, entries) in states.iter().zip([1, 2]) {
            world.client.deliver(app.http, state).await;
            closing::journal_reaches(world, entries).await;
        }
        closing::commit(world, "2026-01").await;
        let level = "SELECT concat_ws(' ', period, volume, paid, breakage) FROM upline.period_level
                     WHERE level = 1 ORDER BY period";
        assert_eq!(lines(world, level).await, ["2026-01 102200 0.51 0"]);
        // After the close it is a line of the next.
        world.client.deliver(app.http, &states[2]).await;
        closing::journal_reaches(world, 3).await;
        closing::commit(world, "2026-02").await;
        let wanted = ["2026-01 102200 0.51 0", "2026-02 -2100 -0.01 0"];
        assert_eq!(lines(world, level).await, wanted);
        app.stop().await;
    });
}

#[test]
fn a_tree_with_an_owner_whom_the_genealogy_does_not_have_is_not_read() {
    world("owner_unknown", async |world| {
        let app = placed(world, COMPONENTS).await;
        let (store, tree): (Postgres, _) = (world.store(), TreeId::parse("legs").unwrap());
        let at = "2026-03-01T00:00:00Z".parse().unwrap();
        let version = store.placement_version(&tree, at).await.unwrap();
        let nobody = Genealogy::default();
        let error = store.placements(&tree, Shape::Binary, version, &nobody).await.unwrap_err();
        let mut told = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            told += &format!(": {error}");
            source = error.source();
        }
        let says = "position top of tree legs belongs to 10090, who is not in the genealogy";
        assert!(told.contains(says), "{told}");
        app.stop().await;
    });
}
