//! What a company sets up, and what the commands say of it: the genealogy, the plan, migrations, imports,
//! the configuration, the servers.

use std::fs;

use upline::{
    domain::{
        digest::Digest,
        genealogy::{Change, DistributorStatus, Genealogy, GenealogyEvent},
        id::DistributorId,
        plan::Plan,
    },
    stack::{self, Server, Status},
    stage::map::Company,
    store::postgres::{CompanyReader, migrate},
};

use crate::{
    books::trade,
    support::{PLAN, stack_config, world},
};

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
                "enrolled" => Change::Enrolled(sponsor),
                "sponsored" => Change::Sponsored(sponsor),
                status => Change::Status(DistributorStatus::parse(status).unwrap()),
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
            let said = world.refuses(&refused).await;
            assert!(said.contains("own downline"), "{refused}: {said}");
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
        let Status::Running { servers, .. } = stack::status(&stack_config()).unwrap() else {
            panic!("the stack does not run");
        };
        let nats = servers.iter().find(|server| server.server == Server::Nats).unwrap();
        let port = nats.monitor_port.unwrap();
        let page = world.client.get(([127, 0, 0, 1], port).into(), "/varz").await;
        let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(page["jetstream"]["config"]["sync_always"], true, "{}", page["jetstream"]);
    });
}
