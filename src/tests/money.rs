//! Orders in other currencies than the one that commission is paid in, with the real command line.

use std::fs;

use crate::support::{Delivery, World, eventually, metric_of, shopify_order, world};

/// Writes a file and imports it with the real program.
async fn import(world: &World, what: &str, text: &str) -> std::process::Output {
    let path = world.folder.join(format!("{what}.csv"));
    fs::write(&path, text).unwrap();
    world.run(&["import", what, path.to_str().unwrap()]).await
}

/// Adds a line to the Shopify store in the pipeline file.
fn configure(world: &World, line: &str) {
    let path = world.folder.join("pipelines/acme.toml");
    let text = fs::read_to_string(&path).unwrap();
    let secrets = "secrets = [\"UPLINE_SHOPIFY_SECRET\"]\n";
    fs::write(path, text.replace(secrets, &format!("{secrets}{line}\n"))).unwrap();
}

/// A state of order `id` in euros: placed on 2 October 2026.
fn euros(id: u64, minute: u8, status: &str, price: &str) -> Delivery {
    let mut body = shopify_order(id, minute, status, "KIT-STARTER-001", price, "ABC123");
    body["currency"] = "EUR".into();
    Delivery::shopify("orders/updated", &format!("{id}-{minute}"), &body)
}

#[test]
fn an_order_waits_for_its_rate_is_paid_by_it_and_keeps_it_to_the_end() {
    world("currency", async |world| {
        configure(world, "payout_currency = \"USD\"");
        let app = world.serve().await;
        world.client.deliver(app.http, &euros(1, 1, "paid", "99.00")).await;
        let waits =
            "SELECT count(*) FROM upline.order_wait WHERE kind = 'rate' AND value = 'EUR/USD'";
        eventually("the order waits for its rate", async || {
            (world.count(waits).await == 1).then_some(())
        })
        .await;
        // A rate that holds from the day after the order is no help.
        let head = "base_currency,quote_currency,rate,effective_from,source\n";
        let late = import(world, "rates", &format!("{head}EUR,USD,9.99,2026-10-03,ECB\n")).await;
        assert!(late.status.success(), "{late:?}");
        world.settles().await;
        assert_eq!(world.count(waits).await, 1);
        let rows = format!("{head}EUR,USD,1.0842,2026-10-01,ECB\nEUR,USD,-1,2026-10-01,ECB\n");
        let some = import(world, "rates", &rows).await;
        assert_eq!(some.status.code(), Some(1), "a row was refused");
        assert!(String::from_utf8_lossy(&some.stderr).contains("line 3"), "{some:?}");
        // 99.00 EUR are 107.34 USD; 10 %, 5 %, 3 %, 2 %, 1 % of these.
        let paid = ["10001 2.15", "10090 3.22", "11043 5.37", "ABC123 10.73", "breakage 1.07"];
        world.pays("1", &paid).await;
        assert_eq!(world.count(waits).await, 0);
        // A correction of the rate is for orders that are not paid yet.
        let rows = format!("{head}EUR,USD,2.00,2026-10-01,ECB\n");
        assert!(import(world, "rates", &rows).await.status.success());
        eventually("the correction is loaded", async || {
            let page = world.client.get(app.admin, "/metrics").await.body;
            (metric_of(&page, "upline_rates_version", &[]) >= 3).then_some(())
        })
        .await;
        world.client.deliver(app.http, &euros(1, 2, "paid", "49.50")).await;
        let half = ["10001 1.07", "10090 1.61", "11043 2.68", "ABC123 5.37", "breakage 0.54"];
        world.pays("1", &half).await;
        let locked = "SELECT calc_snapshot_json #>> '{order,locks,rate,rate}',
                             calc_snapshot_json #>> '{order,lines,0,net}',
                             calc_snapshot_json #>> '{order,lines,0,payout_base}'
                      FROM upline.commission_run WHERE order_id = '1' ORDER BY revision DESC";
        let snapshot = &world.rows(locked).await[0];
        let text = |column: usize| snapshot.get::<_, &str>(column).to_owned();
        assert_eq!([text(0), text(1), text(2)], ["1.0842", "49.50", "53.67"]);
        world.client.deliver(app.http, &euros(2, 1, "paid", "10.00")).await;
        world
            .pays("2", &["10001 0.40", "10090 0.60", "11043 1.00", "ABC123 2.00", "breakage 0.20"])
            .await;
        let mut cancelled = shopify_order(1, 4, "paid", "KIT-STARTER-001", "49.50", "ABC123");
        cancelled["currency"] = "EUR".into();
        cancelled["cancelled_at"] = "2026-10-02T10:04:00Z".into();
        world
            .client
            .deliver(app.http, &Delivery::shopify("orders/cancelled", "1-4", &cancelled))
            .await;
        world.pays("1", &[]).await;
        let foreign = "SELECT count(*) FROM upline.ledger WHERE currency <> 'USD'";
        assert_eq!(world.count(foreign).await, 0, "every entry is in the payout currency");
        world.warehouse_agrees().await;
        world.blocks_hold().await;
        let order =
            "SELECT concat(currency, ' ', payout_currency) FROM orders WHERE order_id = '2'";
        assert_eq!(world.analysed(order).await, ["EUR USD"]);
    });
}

#[test]
fn the_table_of_rates_is_append_only_and_without_gaps() {
    world("rates", async |world| {
        let head = "base_currency,quote_currency,rate,effective_from,source\n";
        let rows = format!("{head}EUR,USD,1.1,2026-10-01,a\nGBP,USD,1.3,2026-10-01,\n");
        assert!(import(world, "rates", &rows).await.status.success());
        let again = import(world, "rates", &rows).await;
        assert!(String::from_utf8_lossy(&again.stdout).contains("0 written, 2 unchanged"));
        let changed = format!("{head}EUR,USD,1.2,2026-10-01,a\n");
        assert!(import(world, "rates", &changed).await.status.success());
        let gaps = "SELECT count(*) FROM upline.exchange_rate HAVING max(seq) = 3 AND min(seq) = 1";
        assert_eq!(world.count(gaps).await, 3);
        for change in
            ["UPDATE upline.exchange_rate SET rate = 1", "DELETE FROM upline.exchange_rate"]
        {
            assert!(world.execute(change).await.is_err(), "{change}");
        }
    });
}
