//! Placement trees: from the company's file into the books, and what the books refuse.

use std::{fs, process::Output};

use upline::{
    domain::{
        id::TreeId,
        placement::{Shape, Spill},
    },
    stage::map::Company,
    store::postgres::CompanyReader,
};

use crate::support::{Running, World, closing::monthly, refused, said, world};

/// 10 % of the weaker leg, three levels of a matrix, and 10 % of what those whom one enrolled earn on their
/// orders and in the binary.
pub(crate) const COMPONENTS: &str = r#"
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

pub(crate) const GRID: &str =
    "position,distributor\ng1,10001\ng2,10090\ng3,11043\ng4,L2\ng5,ABC123\n";

async fn import(world: &World, file: &str, tree: &str, more: &[&str]) -> Output {
    let path = world.folder.join("placements.csv");
    fs::write(&path, file).unwrap();
    let path = path.display().to_string();
    world.run(&[&["import", "placements", &path, "--tree", tree], more].concat()).await
}

pub(crate) async fn imported(world: &World, file: &str, tree: &str, wanted: &str) {
    let told = said(&import(world, file, tree, &[]).await);
    assert!(told.contains(wanted), "{told}");
}

/// The company of every world, and L2 under 10090.
pub(crate) async fn found(world: &World) -> Running {
    found_with(world, COMPONENTS).await
}

/// A plan of these components in which everybody is active.
pub(crate) fn the_plan(components: &str) -> String {
    monthly(&[("pv = \"50\"", "pv = \"0\"")], &[components])
}

pub(crate) async fn found_with(world: &World, components: &str) -> Running {
    world.write_plan(&the_plan(components));
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
    let told = refused(&output);
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
    refused(&import(world, unread, "legs", &[]).await);
    assert_eq!(world.count(positions).await, 4, "also where a row cannot be read");
    let right = "position,distributor,parent,side\nh,10001,left,left\n";
    imported(world, right, "legs", "1 written").await;
}

#[test]
fn a_tree_is_imported_row_by_row_and_chained_by_the_books() {
    world("placements", async |world| {
        let app = found(world).await;
        let told = said(&import(world, LEGS, "legs", &["--dry-run"]).await);
        assert!(told.contains("4 would be written"), "{told}");
        assert_eq!(world.count("SELECT count(*) FROM upline.placement").await, 0);

        let told = refused(&import(world, LEGS, "other", &[]).await);
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
            let told = world.refuses(&statement).await;
            assert!(told.contains(says), "{rows}: {told}");
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
