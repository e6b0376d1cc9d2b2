//! Placement trees, from the company's file to what a binary and a matrix pay, period after period.

use std::{collections::BTreeMap, fs, process::Output};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::Row;
use upline::{
    domain::{
        close::{
            Basis, CloseKey,
            binary::{Leg, Legs, Standing},
            placed::{CorrectionRecord, LevelRecord, PlacedRecords, PositionRecord},
        },
        digest::Digest,
        id::{ComponentId, TreeId},
        ledger::merkle_root,
        money::Money,
        placement::{Owner, Position, Shape, Spill},
        plan::period::PeriodId,
        volume::Volume,
    },
    stage::map::Company,
    store::postgres::CompanyReader,
};

use crate::{
    closes,
    support::{World, world},
};

/// 10 % of the weaker leg, three levels of a matrix, and 10 % of what those whom one enrolled earn on their
/// orders and in the binary.
pub(crate) const PLAN: &str = r#"
id = "field"
version = 1
effective_from = "2020-01-01T00:00:00Z"
rounding = "half_even"
currency = "USD"

[volumes]
pv = "qv"
group = "pv"
retail_orders = "referrer"
negative_volume = "carry"
conversion = "1"
qv = { source = "net", rate = "100 %" }
cv = { source = "net", rate = "100 %" }

[activity]
pv = "0"
look_back = 1
window = "sum"
active_leg = "frontline"

[period]
every = { kind = "monthly" }
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[component]]
kind = "direct"
id = "direct"
inactive_referrer = "breakage"
rates = { kit = "10 %" }

[[component]]
kind = "binary"
id = "pairs"
tree = "legs"
volume = "cv"
carry = { policy = "forward", cap = "none", expires_after = "2" }
cap = { semantics = "pay_cap", limit = "35" }
owner_cap = "none"
qualification = { own_active = true, enrolled_each_side = true }
unqualified = "breakage"
[component.pays]
kind = "percentage"
rate = "10 %"
matching = { conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" }

[[component]]
kind = "matrix"
id = "levels"
tree = "grid"
volume = "pv"
width = 2
height = 3
conversion = "1"
rates = ["5 %", "2 %", "1 %"]
spillover = "breadth_first"
compression = "none"
unlocks = { by = "activity" }
line = "order"

[[component]]
kind = "matching"
id = "matching"
on = ["direct", "pairs"]
rank = "paid_as"
compression = "none"
negative_earnings = "match"
rates = [{ rates = ["10 %"] }]
"#;

pub(crate) const LEGS: &str = "position,distributor,parent,side,placed_at\n\
    top,10090,,,2026-01-02\n\
    left,11043,top,left,2026-01-02\n\
    right,L2,top,right,2026-01-03\n\
    deep,ABC123,left,right,2026-01-03\n";

const GRID: &str = "position,distributor\ng1,10001\ng2,10090\ng3,11043\ng4,L2\ng5,ABC123\n";

fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn import(world: &World, file: &str, tree: &str, more: &[&str]) -> Output {
    let path = world.folder.join("placements.csv");
    fs::write(&path, file).unwrap();
    let path = path.display().to_string();
    world.run(&[&["import", "placements", &path, "--tree", tree], more].concat()).await
}

pub(crate) async fn imported(world: &World, file: &str, tree: &str, wanted: &str) {
    let told = closes::said(&import(world, file, tree, &[]).await);
    assert!(told.contains(wanted), "{told}");
}

/// The company of every world, and L2 under 10090.
async fn found(world: &World) -> crate::support::Running {
    found_with(world, PLAN).await
}

pub(crate) async fn found_with(world: &World, plan: &str) -> crate::support::Running {
    fs::write(world.folder.join("pipelines/plans/field.toml"), plan).unwrap();
    world.enrol(&[("L2", Some("10090"))]).await;
    world.start().await
}

async fn nothing_is_placed_while_a_row_is_refused(world: &World) {
    let wrong = "position,distributor,parent,side,placed_at\n\
        a,NOBODY,left,left,\n\
        b,10001,,,\n\
        c,10001,top,left,\n\
        d,10001,nowhere,left,\n\
        e,10001,left,middle,\n\
        f,10001,left,left,2026-01-01\n\
        g,10001,left,left,2199-01-01\n\
        left,11043,top,right,\n\
        h,10001,left,left,\n";
    let output = import(world, wrong, "legs", &[]).await;
    let told = failed(&output);
    for says in [
        "line 2: distributor NOBODY is unknown: import distributors first",
        "line 3: parent is empty",
        "line 4: side left below parent top is taken",
        "line 5: parent nowhere is not placed",
        "line 6: side is \"middle\", not left or right",
        "line 7: placed_at is 2026-01-01T00:00:00Z, before",
        "line 8: placed_at 2199-01-01T00:00:00Z is in the future",
        "line 9: position left is placed already, at side left below top",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 would be, but nothing is placed while a row is refused"), "{told}");
    let positions = "SELECT count(*) FROM upline.placement";
    assert_eq!(world.count(positions).await, 4, "the row that is right waits for the others");
    let unread = "position,distributor,parent,side\n?!,\nh,10001,left,left\n";
    failed(&import(world, unread, "legs", &[]).await);
    assert_eq!(world.count(positions).await, 4, "also where a row cannot be read");
    let right = "position,distributor,parent,side\nh,10001,left,left\n";
    imported(world, right, "legs", "1 written").await;
}

#[test]
fn a_tree_is_imported_row_by_row_and_chained_by_the_books() {
    world("placements", async |world| {
        let app = found(world).await;
        let told = closes::said(&import(world, LEGS, "legs", &["--dry-run"]).await);
        assert!(told.contains("4 would be written"), "{told}");
        assert_eq!(world.count("SELECT count(*) FROM upline.placement").await, 0);

        let told = failed(&import(world, LEGS, "other", &[]).await);
        assert!(told.contains("no plan pays on a tree other; there are grid, legs"), "{told}");
        imported(world, LEGS, "legs", "4 written, 0 unchanged").await;
        imported(world, LEGS, "legs", "0 written, 4 unchanged").await;
        nothing_is_placed_while_a_row_is_refused(world).await;

        // In the matrix everybody spills below their sponsor.
        imported(world, GRID, "grid", "5 written").await;
        let places = "SELECT concat_ws(' ', position_id, parent_id, place) FROM upline.placement
                      WHERE tree = 'grid' ORDER BY position_id";
        let places: Vec<String> = world.rows(places).await.iter().map(|row| row.get(0)).collect();
        assert_eq!(places, ["g1", "g2 g1 0", "g3 g2 0", "g4 g2 1", "g5 g3 0"]);

        // The domain's chain is the books' chain, of both trees, and after rows written by hand.
        let by_hand = "INSERT INTO upline.placement VALUES
            ('legs', 'i', '10001', 'h', 0, '2026-02-01'), ('legs', 'j', '10001', 'i', 1, '2026-02-01')";
        world.execute(by_hand).await.unwrap();
        let store = world.store();
        let mut company = Company::default();
        CompanyReader::new(store.clone()).catch_up(&mut company).await.unwrap();
        let matrix = Shape::Matrix { width: 2, height: 3, spill: Spill::BreadthFirst };
        for (tree, shape, positions) in [("legs", Shape::Binary, 7), ("grid", matrix, 5)] {
            let tree = TreeId::parse(tree).unwrap();
            let end = "2026-03-01T00:00:00Z".parse().unwrap();
            let version = store.placement_version(&tree, end).await.unwrap();
            assert_eq!(version.seq, positions);
            store.placements(&tree, shape, version, &company.genealogy).await.unwrap();
        }
        let tree = TreeId::parse("legs").unwrap();
        let early = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(store.placement_version(&tree, early).await.unwrap().seq, 2);
        let version = store.placement_version(&tree, early).await.unwrap();
        assert!(store.placements(&tree, matrix, version, &company.genealogy).await.is_err());
        app.stop().await;
    });
}

#[test]
fn the_books_themselves_refuse_what_cannot_be_placed() {
    world("placed_by_hand", async |world| {
        let app = found(world).await;
        imported(world, LEGS, "legs", "4 written").await;
        imported(world, GRID, "grid", "5 written").await;
        for (rows, says) in [
            ("('none', 'x', '10001', 'top', 0, '2026-02-01')", "placement tree none is not there"),
            ("('legs', 'x', 'NOBODY', 'left', 0, '2026-02-01')", "distributor NOBODY is unknown"),
            ("('legs', 'x', '10001', NULL, NULL, '2026-02-01')", "only the first position"),
            ("('legs', 'x', '10001', 'y', 0, '2026-02-01')", "its parent is not placed before it"),
            ("('legs', 'x', '10001', 'top', 0, '2026-02-01')", "the place is taken"),
            ("('legs', 'left', '11043', 'left', 0, '2026-02-01')", "is placed already"),
            ("('legs', 'x', '10001', 'left', 2, '2026-02-01')", "its parent has no such place"),
            (
                "('legs', 'x', '10001', 'left', 0, '2026-01-02')",
                "before that of the position placed",
            ),
            ("('legs', 'x', '10001', 'left', 0, '2199-01-02')", "in the future"),
            ("('grid', 'x', '10001', 'g5', 1, '2026-02-01')", "a matrix is filled from the left"),
            (
                "('legs', 'x', '10001', 'y', 0, '2026-02-01'), ('legs', 'y', '10001', 'left', 0, '2026-02-01')",
                "its parent is not placed before it",
            ),
            (
                "('legs', 'x', '10001', 'left', 0, '2026-02-01'), ('legs', 'y', '10001', 'left', 0, '2026-02-01')",
                "the place is taken",
            ),
        ] {
            let statement = format!("INSERT INTO upline.placement VALUES {rows}");
            let error = world.execute(&statement).await.unwrap_err();
            let told = error.as_db_error().map(|error| error.message().to_owned());
            assert!(told.as_ref().is_some_and(|told| told.contains(says)), "{rows}: {told:?}");
        }
        assert_eq!(world.count("SELECT count(*) FROM upline.placement_event").await, 9);
        for table in [
            "placement_tree",
            "placement",
            "placement_event",
            "period_position",
            "period_level",
            "period_correction",
        ] {
            let changed = world.execute(&format!("DELETE FROM upline.{table}")).await;
            assert!(changed.is_err(), "{table} can be changed");
        }
        app.stop().await;
    });
}

fn volume(row: &Row, column: usize) -> Volume {
    Volume::from_parts(row.get(column))
}

fn money(row: &Row, column: usize) -> Money {
    Money::from_decimal(row.get::<_, Decimal>(column)).unwrap()
}

fn position(number: i32) -> Position {
    Position(u32::try_from(number).unwrap())
}

fn word<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Option<T> {
    let reason: Option<String> = row.get(column);
    reason.map(|reason| serde_json::from_value(json!(reason)).unwrap())
}

/// What is kept of the positions of a close, read from the tables in the order of their leaves.
async fn kept(world: &World, period: &str) -> PlacedRecords {
    let component = |row: &Row| ComponentId::parse(row.get(0)).unwrap();
    let query = format!(
        "SELECT component, position, standing, left_opening, left_arrived, left_paired, left_expired,
                left_flushed, left_carried, right_opening, right_arrived, right_paired, right_expired,
                right_flushed, right_carried, pool, paid, breakage, capped, reason
         FROM upline.period_position WHERE period = '{period}' ORDER BY position"
    );
    let mut records = PlacedRecords::default();
    for row in world.rows(&query).await {
        let legs = |left, right| Legs { left: volume(&row, left), right: volume(&row, right) };
        let leg = |first| Leg {
            paired: volume(&row, first),
            expired: volume(&row, first + 1),
            flushed: volume(&row, first + 2),
            carried: volume(&row, first + 3),
        };
        records.positions.push(PositionRecord {
            component: component(&row).into(),
            position: position(row.get(1)),
            standing: Standing::from_bits(u8::try_from(row.get::<_, i16>(2)).unwrap()),
            opening: legs(3, 9),
            arrived: legs(4, 10),
            left: leg(5),
            right: leg(11),
            pool: money(&row, 15),
            paid: money(&row, 16),
            breakage: money(&row, 17),
            capped: money(&row, 18),
            unpaid: word(&row, 19),
        });
    }
    let query = format!(
        "SELECT component, position, level, volume, paid, breakage, reason FROM upline.period_level
         WHERE period = '{period}' ORDER BY level, position"
    );
    for row in world.rows(&query).await {
        let at: i32 = row.get(1);
        records.levels.push(LevelRecord {
            component: component(&row),
            position: (at >= 0).then(|| position(at)),
            level: u8::try_from(row.get::<_, i16>(2)).unwrap(),
            volume: volume(&row, 3),
            paid: money(&row, 4),
            breakage: money(&row, 5),
            unclaimed: word(&row, 6),
        });
    }
    let query = format!(
        "SELECT component, corrects, position, paid, breakage, capped, reason
         FROM upline.period_correction WHERE period = '{period}' ORDER BY corrects, position"
    );
    for row in world.rows(&query).await {
        records.corrections.push(CorrectionRecord {
            component: component(&row),
            corrects: PeriodId::parse(row.get(1)).unwrap(),
            position: position(row.get(2)),
            owner: Owner(0),
            paid: money(&row, 3),
            breakage: money(&row, 4),
            capped: money(&row, 5),
            refused: word(&row, 6),
        });
    }
    records
}

/// Computes the root of a close's block again from what stands in the tables.
async fn sealed(world: &World, period: &str) {
    let key = CloseKey { plan: "field".into(), period: PeriodId::parse(period).unwrap() };
    let (mut leaves, root) = closes::leaves(world, period).await;
    leaves.extend(kept(world, period).await.leaves(&key));
    assert_eq!(Digest::try_from(root.as_slice()).unwrap(), merkle_root(&leaves), "{period}");
    let basis = format!("SELECT basis::text FROM upline.period_close WHERE period = '{period}'");
    let basis: String = world.rows(&basis).await[0].get(0);
    let basis: Basis = serde_json::from_str(&basis).unwrap();
    let trees: Vec<&str> = basis.placements.iter().map(|placed| placed.tree.as_str()).collect();
    assert_eq!(trees, ["grid", "legs"]);
    assert!(basis.placements.iter().all(|placed| placed.version.seq > 0));
}

/// What everybody got in all closes together: component and account.
async fn sums(world: &World) -> BTreeMap<String, String> {
    let query = "SELECT component || ' ' || account, sum(amount)::numeric(20, 2)::text FROM (
             SELECT component, CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                    CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
             FROM upline.period_entry) t GROUP BY 1 HAVING sum(amount) <> 0";
    world.rows(query).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The entries of a period: component, account, amount below zero where it is taken back, reason, and the
/// period that is corrected.
async fn entries(world: &World, period: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', component, CASE debit WHEN 'commission' THEN credit ELSE debit END,
                          CASE debit WHEN 'commission' THEN amount ELSE -amount END, reason, corrects)
         FROM upline.period_entry WHERE period = '{period}' AND component <> 'levels' ORDER BY number"
    );
    world.rows(&query).await.iter().map(|row| row.get(0)).collect()
}

/// What each position of the binary carries out of a period: left and right.
async fn carried(world: &World, period: &str) -> Vec<String> {
    let legs = |r: &PositionRecord| {
        let carried = r.carried();
        format!("{} {} {}", r.position, carried.left, carried.right)
    };
    kept(world, period).await.positions.iter().map(legs).collect()
}

async fn january_with_the_order(world: &World) {
    // 440 left with 500 right is 44, of which 9 are above the cap. Matching: of direct 40 of 11043 and 50 of
    // L2 to 10090, 4 of ABC123 to 11043, and of 35 in the binary to 10001.
    assert_eq!(
        entries(world, "2026-01").await,
        [
            "pairs distributor:10090 35.00",
            "pairs capped:pairs 9.00",
            "matching distributor:10001 3.50",
            "matching distributor:10090 9.00",
            "matching distributor:11043 0.40",
        ]
    );
    assert_eq!(carried(world, "2026-01").await, ["0 0 60", "1 0 40"]);
}

async fn february_corrects_january(world: &World) {
    assert_eq!(
        entries(world, "2026-02").await,
        [
            // 40 for 400, cap 35.
            "pairs distributor:10090 35.00",
            "pairs capped:pairs 5.00",
            "matching distributor:10001 3.50",
            // Of direct 40 and 10.
            "matching distributor:10090 5.00",
            // Of the 7 of 10001, who has no sponsor.
            "matching breakage 0.70 end_of_upline",
            "pairs distributor:10090 -21.00 2026-01",
            "pairs capped:pairs -9.00 2026-01",
            // What was matched in January of the 21, and of the 30 that the order had earned.
            "matching distributor:10001 -2.10 2026-01",
            "matching distributor:10090 -3.00 2026-01",
        ]
    );
    let march = closes::shown(world, "2026-03").await;
    assert_eq!(march["summary"]["corrected"], Value::Null, "corrected once");
}

/// An order of January that comes back after its close, if it is there at all; three periods.
async fn three_months(world: &World, with_return: bool) -> BTreeMap<String, String> {
    let app = found(world).await;
    imported(world, LEGS, "legs", "4 written").await;
    imported(world, GRID, "grid", "5 written").await;
    let deliver = async |id, placed: &str, status: &str, who: &str, price: &str| {
        let order = closes::order(id, placed, status, who, price);
        world.client.deliver(app.http, &order).await;
    };
    let mut entries_there = 3;
    deliver(2, "2026-01-06T10:00:00Z", "paid", "L2", "500.00").await;
    deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "100.00").await;
    deliver(4, "2026-01-08T10:00:00Z", "paid", "ABC123", "40.00").await;
    if with_return {
        deliver(1, "2026-01-05T10:00:00Z", "paid", "11043", "300.00").await;
        entries_there += 1;
    }
    closes::journal_reaches(world, entries_there).await;
    closes::commit(world, "2026-01").await;
    sealed(world, "2026-01").await;
    if with_return {
        january_with_the_order(world).await;
        deliver(1, "2026-01-05T10:00:00Z", "cancelled", "11043", "300.00").await;
        entries_there += 1;
    }
    deliver(5, "2026-02-05T10:00:00Z", "paid", "11043", "400.00").await;
    deliver(6, "2026-02-06T10:00:00Z", "paid", "L2", "100.00").await;
    deliver(7, "2026-02-07T10:00:00Z", "paid", "10001", "70.00").await;
    entries_there += 3;
    closes::journal_reaches(world, entries_there).await;
    let preview: Value = closes::shown(world, "2026-02").await;
    assert_eq!(
        preview["summary"]["unplaced"],
        json!([{ "component": "pairs", "tree": "legs", "distributors": 1, "volume": "70" }])
    );
    let corrected = if with_return { json!("-47.10") } else { Value::Null };
    // 21 of the binary, 5.10 matched, 5 % and 2 % of 300 in the matrix.
    assert_eq!(preview["summary"]["corrected"], corrected);
    closes::commit(world, "2026-02").await;
    sealed(world, "2026-02").await;
    // In January 140 pair with 500: 360 are carried, and with the 100 of February meet the 400.
    assert_eq!(carried(world, "2026-02").await, ["0 0 60", "1 0 40"]);
    if with_return {
        february_corrects_january(world).await;
    }
    // Later something else of the same period comes back, in both worlds.
    deliver(3, "2026-01-07T10:00:00Z", "cancelled", "11043", "100.00").await;
    deliver(8, "2026-03-06T10:00:00Z", "paid", "L2", "30.00").await;
    closes::journal_reaches(world, entries_there + 2).await;
    closes::commit(world, "2026-03").await;
    sealed(world, "2026-03").await;
    // January pairs 40, February 400: of the right leg 60 of January are left, which are too old now, 100 of
    // February and 30 of March. The 40 of the leg that never had a partner are as old.
    assert_eq!(carried(world, "2026-03").await, ["0 0 130", "1 0 0"]);
    // Each is computed again from its basis, whatever was closed and corrected since.
    for period in ["2026-01", "2026-02", "2026-03"] {
        closes::said(&world.run(&["close", period, "--verify"]).await);
    }
    let sums = sums(world).await;
    app.stop().await;
    sums
}

#[test]
fn what_comes_back_after_the_close_is_unpaired_there_and_all_closes_together_pay_as_without_it() {
    let mut with = BTreeMap::new();
    world("unpaired", async |world| with = three_months(world, true).await);
    let mut without = BTreeMap::new();
    world("never_sold", async |world| without = three_months(world, false).await);
    assert_eq!(with, without);
    assert_eq!(with["pairs distributor:10090"], "39.00");
}

/// The limit of 35 as a cap of the plan instead of one of the binary.
fn capped_by_the_plan() -> String {
    let own = "cap = { semantics = \"pay_cap\", limit = \"35\" }";
    assert!(PLAN.contains(own));
    let cap = "[[cap]]\nid = \"most\"\nafter = \"pairs\"\ncounts = [\"pairs\"]\n\
               limit = { per = \"distributor\", amount = \"35\", rank = \"paid_as\" }\n";
    format!("{}\n{cap}", PLAN.replace(own, "cap = { semantics = \"none\" }"))
}

#[test]
fn a_cap_of_the_plan_gives_back_what_it_took_and_nothing_is_added_to_a_closed_period() {
    world("plan_cap", async |world| {
        let app = found_with(world, &capped_by_the_plan()).await;
        imported(world, LEGS, "legs", "4 written").await;
        imported(world, GRID, "grid", "5 written").await;
        let deliver = async |id, placed: &str, status: &str, who: &str, price: &str| {
            let order = closes::order(id, placed, status, who, price);
            world.client.deliver(app.http, &order).await;
        };
        deliver(1, "2026-01-05T10:00:00Z", "paid", "11043", "300.00").await;
        deliver(2, "2026-01-06T10:00:00Z", "paid", "L2", "500.00").await;
        deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "140.00").await;
        closes::journal_reaches(world, 3).await;
        closes::commit(world, "2026-01").await;
        sealed(world, "2026-01").await;
        let pairs = async |period| {
            let entries = entries(world, period).await;
            entries.into_iter().filter(|entry| entry.starts_with("pairs")).collect::<Vec<_>>()
        };
        // 440 with 500 earn 44, of which the plan's cap takes 9.
        let wanted = ["pairs distributor:10090 35.00", "pairs capped:most 9.00"];
        assert_eq!(pairs("2026-01").await, wanted);

        // 140 with 500 would have earned 14: 30 less, of which 9 were never paid.
        deliver(1, "2026-01-05T10:00:00Z", "cancelled", "11043", "300.00").await;
        closes::journal_reaches(world, 4).await;
        closes::commit(world, "2026-02").await;
        sealed(world, "2026-02").await;
        let wanted = ["pairs distributor:10090 -21.00 2026-01", "pairs capped:most -9.00 2026-01"];
        assert_eq!(pairs("2026-02").await, wanted);

        let story = closes::said(&world.run(&["explain", "10090", "2026-02"]).await);
        // The matrix and what was matched on the order take back too.
        let gets = "gets -39.00 USD: levels of 2026-01, corrected, -15.00, matching of 2026-01, corrected, \
                    -3.00, pairs of 2026-01, corrected, -21.00";
        assert!(story.contains(gets), "{story}");
        let story = world.run(&["explain", "10090", "2026-02", "--json"]).await;
        let story: Value = serde_json::from_str(&closes::said(&story)).unwrap();
        let corrected = json!({ "component": "pairs", "corrects": "2026-01", "amount": "-21.00" });
        assert_eq!((&story["paid"], &story["corrected"][2]), (&json!("-39.00"), &corrected));

        // The rest comes back too: what is left is nothing, also of the cap.
        deliver(3, "2026-01-07T10:00:00Z", "cancelled", "11043", "140.00").await;
        closes::journal_reaches(world, 5).await;
        closes::commit(world, "2026-03").await;
        sealed(world, "2026-03").await;
        assert_eq!(pairs("2026-03").await, ["pairs distributor:10090 -14.00 2026-01"]);
        for period in ["2026-01", "2026-02", "2026-03"] {
            closes::said(&world.run(&["close", period, "--verify"]).await);
        }
        let sums = sums(world).await;
        assert!(!sums.keys().any(|account| account.starts_with("pairs")), "{sums:?}");

        // Nobody decides ranks in a plan that has none.
        let clear = ["rank", "clear", "10090", "--plan", "field", "--from", "2026-05"];
        let clear = world.run(&[&clear[..], &["--by", "staff-7", "--why", "none"]].concat()).await;
        assert!(failed(&clear).contains("has no ranks"));

        for row in [
            "period_position SELECT plan_id, period, component, 3, standing, left_opening,
                 left_arrived, left_paired, left_expired, left_flushed, left_carried, right_opening,
                 right_arrived, right_paired, right_expired, right_flushed, right_carried, pool, paid,
                 breakage, capped, reason FROM upline.period_position WHERE period = '2026-01' LIMIT 1",
            "period_carry VALUES ('field', '2026-01', '11043', -1, 0, 0)",
            "period_entry VALUES (gen_random_uuid(), 'field', '2026-02', 99, 'pairs', 'commission',
                 'distributor:L2', 1, 'USD')",
        ] {
            let error = world.execute(&format!("INSERT INTO upline.{row}")).await.unwrap_err();
            let told = error.as_db_error().map(|error| error.message().to_owned());
            let says = "is closed: nothing is added to it";
            assert!(told.as_ref().is_some_and(|told| told.contains(says)), "{row}: {error}");
        }
        app.stop().await;
    });
}
