//! Versions of a plan follow each other, in the files and in the books, and leave closed periods alone.

use std::fs;

use serde_json::json;
use upline::{
    app::closing::{Found, Prepared, prepare},
    domain::{
        id::Operator,
        plan::{Plan, period::PeriodId},
    },
    store::postgres::{CloseOutcome, Closing},
};

use crate::{
    late_returns::capped_and_carried,
    support::{PLAN, World, closing, said, world},
};

/// The plan in another version, from a day on.
fn version(number: u32, from: &str) -> String {
    let text = PLAN.replacen("version = 1", &format!("version = {number}"), 1);
    text.replacen("2020-01-01", from, 1)
}

/// Lists further plan files in the pipeline, and says what a command tells of it.
async fn told(world: &World, command: &[&str], plans: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = world.folder.join("pipelines");
    let mut listed = String::from("[\"plans/field.toml\"");
    for (name, text) in plans {
        fs::write(folder.join("plans").join(name), text).unwrap();
        listed.push_str(&format!(", \"plans/{name}\""));
    }
    let path = folder.join("acme.toml");
    let before = fs::read_to_string(&path).unwrap();
    let after = before.replacen("[\"plans/field.toml\"", &listed, 1);
    assert_ne!(plans.is_empty(), before != after);
    fs::write(&path, after).unwrap();
    let output = world.run(command).await;
    fs::write(&path, before).unwrap();
    (output.status.code(), format!("{}{}", utf8(output.stdout), utf8(output.stderr)))
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn versions_that_do_not_rise_with_their_starts_are_refused_with_file_line_and_both_versions() {
    world("version_order", async |world| {
        let (second, third) = (version(2, "2026-03-01"), version(3, "2026-03-01"));
        let early = version(4, "2026-01-01");
        for command in ["check", "serve"] {
            let (code, said) =
                told(world, &[command], &[("b.toml", &second), ("c.toml", &third)]).await;
            assert_eq!(code, Some(1), "{said}");
            for part in [
                "plans/c.toml:4: `effective_from`",
                "version 3 holds",
                "version 2, in force",
                "later",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        let (code, said) =
            told(world, &["check"], &[("b.toml", &second), ("d.toml", &early)]).await;
        assert!(code == Some(1) && said.contains("plans/d.toml:4"), "{said}");
        let (code, said) = told(world, &["check"], &[("e.toml", &version(1, "2026-01-01"))]).await;
        assert!(code == Some(1) && said.contains("version 1 is stated twice"), "{said}");
        let (code, said) = told(world, &["check"], &[("field.toml", PLAN)]).await;
        assert!(code == Some(1) && said.contains("acme.toml:2: `plans` names"), "{said}");
        let (code, said) = told(world, &["check"], &[("b.toml", &second)]).await;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(world.count("SELECT count(*) FROM upline.plan_version").await, 0);
    });
}

#[test]
fn plans_are_stored_before_the_service_runs_and_the_books_refuse_what_does_not_follow() {
    world("plan_store", async |world| {
        let (code, said) =
            told(world, &["plan", "store"], &[("b.toml", &version(2, "2026-03-01"))]).await;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(world.count("SELECT count(*) FROM upline.plan_version").await, 2);
        // The files alone are in order; beside what is stored they are not.
        let early = version(3, "2026-02-15");
        let (code, said) = told(world, &["plan", "store"], &[("c.toml", &early)]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("version 3 holds from 2026-02-15") && said.contains("version 2"),
            "{said}"
        );
        let (code, said) = told(world, &["serve"], &[("c.toml", &early)]).await;
        assert!(code == Some(1) && said.contains("version 3 holds"), "{said}");
        let (_, said) = told(world, &["plan", "store"], &[]).await;
        assert!(said.contains("plan field version 1: stored before"), "{said}");
    });
}

#[test]
fn a_version_does_not_reach_back_into_a_closed_period() {
    world("version_closed", async |world| {
        let store = world.store();
        store.register_plan(&Plan::parse(PLAN).unwrap(), PLAN).await.unwrap();
        world.execute(
            "INSERT INTO upline.period_close (plan_id, period, plan_version, plan_hash, starts_at,
                 ends_at, snapshot_at, pays_on, currency, engine, basis, summary, block, closed_by, closed_at)
             VALUES ('field', '2026-02', 1, decode(repeat('00', 32), 'hex'), '2026-02-01Z', '2026-03-01Z',
                 '2026-02-28Z', '2026-03-15', 'EUR', 'x', '{}', '{}', 1, 'somebody', now())",
        )
        .await
        .unwrap();
        let text = version(2, "2026-02-28");
        let error = store.register_plan(&Plan::parse(&text).unwrap(), &text).await.unwrap_err();
        let said = error.chain();
        for part in [
            "version 2 would hold",
            "period 2026-02, closed by version 1",
            "2026-03-01T00:00:00Z or later",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let text = version(2, "2026-03-01");
        store.register_plan(&Plan::parse(&text).unwrap(), &text).await.unwrap();
    });
}

/// Closes a period as it was computed before.
async fn seals(world: &World, prepared: &Prepared) -> CloseOutcome {
    let by = Operator::parse("finance-7").unwrap();
    let closing = Closing {
        basis: &prepared.basis,
        summary: "{}".to_owned(),
        members: &prepared.members(),
        carries: &prepared.carries(),
        entries: &prepared.entries(),
        placed: prepared.placed(),
        rank_bonuses: &prepared.rank_bonuses(),
        ranks: &prepared.rank_changes,
        by: &by,
        reason: None,
        now: "2026-03-10T00:00:00Z".parse().unwrap(),
    };
    world.store().commit_close(&closing).await.unwrap()
}

#[test]
fn what_a_version_drops_lapses_and_is_told_and_a_close_is_by_the_version_of_its_period() {
    world("version_drops", async |world| {
        let carried = capped_and_carried();
        fs::write(world.folder.join("pipelines/plans/field.toml"), &carried).unwrap();
        let app = world.start().await;
        let order = closing::order(1, "2026-01-05T10:00:00Z", "paid", "ABC123", "400.00");
        world.client.deliver(app.http, &order).await;
        closing::journal_reaches(world, 1).await;
        world.settles().await;
        app.stop().await;
        closing::commit(world, "2026-01").await;
        let entries = closing::entries(world, "2026-01").await;
        assert!(entries.contains(&"pool carried 8.00".to_owned()), "{entries:?}");

        let store = world.store();
        let second = carried.replacen("version = 1", "version = 2", 1);
        let second = second.replacen("2020-01-01", "2026-02-01", 1);
        let euros = second.replace("\"USD\"", "\"EUR\"");
        let refused = store.register_plan(&Plan::parse(&euros).unwrap(), &euros).await.unwrap_err();
        assert!(refused.chain().contains("closed period 2026-01 in USD"), "{}", refused.chain());

        // February is computed, then a version is stored that holds from its first instant on.
        let (february, now) = (PeriodId::parse("2026-02").unwrap(), "2026-03-10T00:00:00Z");
        let found = prepare(&store, &february, now.parse().unwrap(), 0).await.unwrap();
        let Found::Open(prepared) = found else { panic!("nobody has closed it") };
        let pool = second.find("[[component]]\nkind = \"pool\"").unwrap();
        let cap = pool + second[pool..].find("[[cap]]").unwrap();
        let without = format!("{}{}", &second[..pool], &second[cap..])
            .replace("after = \"pool\"", "after = \"matching\"")
            .replace(", \"pool\"]", "]");
        store.register_plan(&Plan::parse(&without).unwrap(), &without).await.unwrap();
        assert_eq!(seals(world, &prepared).await, CloseOutcome::Outdated);
        let notes = closing::shown(world, "2026-02").await["summary"]["notes"].clone();
        let lapses = json!({ "note": "pool_lapses", "component": "pool", "amount": "8.00" });
        assert_eq!(notes, json!([lapses]));
        let told = closing::commit(world, "2026-02").await;
        assert!(told.contains("pool: 8.00 that it had carried on stay with the company"), "{told}");
        said(&world.run(&["close", "2026-02", "--verify"]).await);
    });
}
