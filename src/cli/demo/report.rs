//! What the demonstration prints at its end, and whether it was right.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use rust_decimal::Decimal;

use super::{
    Running,
    reconcile::{Books, Line, totals},
    send::Sent,
    traffic::{Expected, ShotKind},
};
use crate::cli::{explain, output};

/// Prints everything; the code says whether it reconciles.
pub(super) async fn print(
    running: &Running,
    expected: &Expected,
    sent: &Sent,
    books: &Books,
    before: &[Line],
) -> anyhow::Result<ExitCode> {
    orders(running).await?;
    explained(running).await?;
    sla(running, sent).await?;
    let mut wrong = duplicates(running, expected, sent, books).await?;
    wrong.extend(reconciliation(expected, books, before));
    if wrong.is_empty() {
        output::line("Everything reconciles.");
        return Ok(ExitCode::SUCCESS);
    }
    output::line("It does not reconcile:");
    for line in wrong.iter().take(20) {
        output::line(&format!("  {line}"));
    }
    Ok(ExitCode::FAILURE)
}

/// Some orders, the three of the brief first.
async fn orders(running: &Running) -> anyhow::Result<()> {
    let client = running.store.client().await?;
    let rows = client
        .query(
            "SELECT b.order_key, b.state -> 'snapshot' ->> 'buyer',
                    r.calc_snapshot_json -> 'order' -> 'attribution' ->> 'referrer',
                    r.calc_snapshot_json -> 'order' -> 'attribution' ->> 'own_purchase',
                    (SELECT string_agg(DISTINCT line ->> 'sku', ' ')
                     FROM json_array_elements(r.calc_snapshot_json -> 'order' -> 'lines') line),
                    r.calc_snapshot_json -> 'order' ->> 'total', r.currency, r.status,
                    (SELECT coalesce(sum(amount), 0) FROM upline.ledger l
                     WHERE l.order_key = b.order_key AND distributor_id IS NOT NULL)
             FROM upline.order_book b
             JOIN LATERAL (SELECT * FROM upline.commission_run c WHERE c.order_key = b.order_key
                           ORDER BY revision DESC LIMIT 1) r ON true
             ORDER BY r.order_id NOT IN ('301', '302', '587364120'),
                      md5(b.order_key) LIMIT 16",
            &[],
        )
        .await?;
    let text = |value: Option<&str>| value.unwrap_or("-").to_owned();
    let cells = |row: &tokio_postgres::Row| {
        let own: Option<&str> = row.get(3);
        let referrer = own.map_or_else(|| text(row.get(2)), |_| "own purchase".to_owned());
        let total: Option<&str> = row.get(5);
        vec![
            row.get::<_, &str>(0).to_owned(),
            text(row.get(4)).chars().take(36).collect(),
            text(row.get(1)),
            referrer,
            format!("{:>10} {}", total.unwrap_or("-"), row.get::<_, &str>(6)),
            row.get::<_, &str>(7).to_owned(),
            format!("{:>8}", row.get::<_, Decimal>(8)),
        ]
    };
    let table: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::line("ORDERS (16 of them)");
    let head = ["order", "SKU", "buyer", "referrer", "value", "status", "paid"];
    output::line(&output::table(&head, &table));
    Ok(())
}

/// The order with the deepest commission.
async fn explained(running: &Running) -> anyhow::Result<()> {
    let client = running.store.client().await?;
    let row = client
        .query_opt(
            "SELECT order_key FROM upline.ledger_entry
             GROUP BY order_key HAVING count(*) FILTER (WHERE kind = 'reversed') = 0
             ORDER BY max(level) DESC, count(*) DESC, order_key LIMIT 1",
            &[],
        )
        .await?;
    drop(client);
    if let Some(row) = row {
        output::line("ONE ORDER, EXPLAINED");
        for run in running.store.latest_runs(row.get(0)).await? {
            output::line(&explain::explain(&run));
        }
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> String {
    let tenths = duration.as_micros().div_ceil(100);
    format!("{:>8}.{} ms", tenths.div_euclid(10), tenths.rem_euclid(10))
}

/// The two latencies that have limits.
async fn sla(running: &Running, sent: &Sent) -> anyhow::Result<()> {
    let micros: Vec<u64> = running
        .warehouse
        .client()
        .query("SELECT arrayMap(x -> toUInt64(x), quantilesExact(0.5, 0.95, 0.99)(emit_us)) FROM stage_latencies")
        .fetch_one()
        .await?;
    let emit = |at: usize| Duration::from_micros(micros.get(at).copied().unwrap_or_default());
    let verdict = |p99: Duration, limit: u64, great: u64| {
        let word = if p99 <= Duration::from_millis(great) {
            "great"
        } else if p99 <= Duration::from_millis(limit) {
            "kept"
        } else {
            "MISSED"
        };
        word.to_owned()
    };
    let row = |what: &str, p: [Duration; 3], limit: u64, great: u64| {
        let [p50, p95, p99] = p;
        vec![
            what.to_owned(),
            milliseconds(p50),
            milliseconds(p95),
            milliseconds(p99),
            format!("{limit} / {great} ms"),
            verdict(p99, limit, great),
        ]
    };
    let webhook = [50, 95, 99].map(|p| sent.percentile(p));
    let rows = [
        row("webhook answer (seen by the shop)", webhook, 300, 120),
        row("commission emitted (edge to ledger)", [emit(0), emit(1), emit(2)], 2_000, 500),
    ];
    output::line("SLA");
    let head = ["", "p50", "p95", "p99", "limit / great", ""];
    output::line(&output::table(&head, &rows));
    Ok(())
}

/// Duplicates seen against duplicates paid; returns what is wrong.
async fn duplicates(
    running: &Running,
    expected: &Expected,
    sent: &Sent,
    books: &Books,
) -> anyhow::Result<Vec<String>> {
    let client = running.store.client().await?;
    // A position that stands higher than the newest run says was paid more than once.
    let row = client
        .query_one(
            "WITH latest AS (
                 SELECT DISTINCT ON (order_key) order_key, calc_snapshot_json AS run
                 FROM upline.commission_run ORDER BY order_key, revision DESC),
             due AS (
                 SELECT order_key, line ->> 'line' AS line_id, line ->> 'component' AS component,
                        (line ->> 'level')::int AS level, line ->> 'account' AS account,
                        sum((line ->> 'amount')::numeric) AS amount
                 FROM latest, json_array_elements(run -> 'lines') line GROUP BY 1, 2, 3, 4, 5),
             posted AS (
                 SELECT order_key, line_id, component, level, account, sum(amount) AS amount
                 FROM upline.ledger GROUP BY 1, 2, 3, 4, 5)
             SELECT count(*) FROM posted LEFT JOIN due
                 USING (order_key, line_id, component, level, account)
             WHERE posted.amount > coalesce(due.amount, 0)",
            &[],
        )
        .await?;
    let paid_twice: i64 = row.get(0);
    let again = expected.count(ShotKind::Duplicate);
    let resent = expected.count(ShotKind::Resent);
    let stale = expected.count(ShotKind::Stale);
    output::line("DUPLICATES AND DISORDER");
    let rows = vec![
        vec!["deliveries sent again".to_owned(), again.to_string(), sent.duplicates.to_string()],
        vec!["bodies sent again as new deliveries".to_owned(), resent.to_string(), "-".to_owned()],
        vec!["old states after newer ones".to_owned(), stale.to_string(), "-".to_owned()],
        vec![
            "forged or unsigned".to_owned(),
            expected.count(ShotKind::BadSignature).to_string(),
            "-".to_owned(),
        ],
        vec!["put off (503) and sent again".to_owned(), sent.put_off.to_string(), "-".to_owned()],
        vec!["paid twice".to_owned(), "0".to_owned(), paid_twice.to_string()],
    ];
    output::line(&output::table(&["", "sent", "seen"], &rows));
    let mut wrong = Vec::new();
    if paid_twice != 0 {
        wrong.push(format!("{paid_twice} positions are paid more than once"));
    }
    if sent.duplicates != again {
        wrong.push(format!("{again} duplicates were sent, the edge saw {}", sent.duplicates));
    }
    for ((wanted, got), count) in &sent.surprises {
        wrong.push(format!("{count} requests were answered {got} instead of {wanted}"));
    }
    if books.parked != 0 {
        wrong.push(format!("{} orders are still parked", books.parked));
    }
    Ok(wrong)
}

/// Sent, Postgres and ClickHouse, to the cent; returns what is wrong.
fn reconciliation(expected: &Expected, books: &Books, before: &[Line]) -> Vec<String> {
    let lines = totals(&expected.totals, books);
    let row = |line: &Line| {
        vec![
            line.what.clone(),
            format!("{:>14}", line.expected.normalize()),
            format!("{:>14}", line.postgres.normalize()),
            format!("{:>14}", line.clickhouse.normalize()),
            if line.holds() { "agree" } else { "DIFFER" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    output::line("RECONCILIATION");
    output::line(&output::table(&["", "should be", "Postgres", "ClickHouse", ""], &rows));
    output::line(&format!(
        "  {} entries ({} reversals) in {} sealed blocks; {} orders ended at zero after they had \
         earned\n",
        books.entries,
        books.reversals,
        books.blocks,
        expected.orders.values().filter(|order| order.taken_back).count()
    ));
    let mut wrong: Vec<String> = lines
        .iter()
        .filter(|line| !line.holds())
        .map(|line| format!("{}: the three sums differ", line.what))
        .collect();
    let early = before.iter().filter(|line| !line.holds());
    wrong.extend(early.map(|line| format!("{} before the late article was mapped", line.what)));
    wrong.extend(order_by_order(expected, books));
    wrong
}

/// Every order and every distributor, one by one.
fn order_by_order(expected: &Expected, books: &Books) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, order) in &expected.orders {
        let status = books.statuses.get(key).map(String::as_str);
        if status != Some(order.status.as_str()) {
            wrong.push(format!("{key} should be {}, is {status:?}", order.status.as_str()));
        }
    }
    let known = |key: &&String| expected.orders.contains_key(*key);
    wrong.extend(
        books
            .statuses
            .keys()
            .filter(|key| !known(key))
            .map(|key| format!("{key} should not exist")),
    );
    let mut shares: BTreeMap<(String, String), Decimal> = BTreeMap::new();
    for (key, order) in &expected.orders {
        for (distributor, amount) in order.due.amounts.iter().filter(|(_, a)| !a.is_zero()) {
            shares.insert((key.clone(), distributor.clone()), *amount);
        }
    }
    for (share, amount) in &shares {
        let posted = books.shares.get(share).copied().unwrap_or_default();
        if posted != *amount {
            wrong.push(format!("{} should pay {amount} to {}, pays {posted}", share.0, share.1));
        }
    }
    let stray = books.shares.iter().filter(|(share, _)| !shares.contains_key(*share));
    wrong.extend(
        stray.map(|((key, who), amount)| format!("{key} pays {amount} to {who} for nothing")),
    );
    wrong
}
