//! What comes back after the close: the closed period gives back what it paid on it, to the cent, and nobody
//! else loses anything by it.

use std::fs;

use crate::support::{World, closing, said, world};

/// 10 % of the level below, half of what those whom one enrolled earn so, 2.5 % of all to who is gold; all of
/// it at most 7.5 % of the CV, which is 80 % of the net.
const PLAN: &str = r#"
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
cv = { source = "net", rate = "80 %" }

[activity]
pv = "100"
look_back = 1
window = "sum"
active_leg = "frontline"

[ladder]
reach = "each_step"
leg_rank = "paid_as"

[period]
every = { kind = "monthly" }
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[rank]]
id = "gold"
active = true
gv = "900"

[[component]]
kind = "direct"
id = "direct"
inactive_referrer = "breakage"
rates = { kit = "10 %" }

[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "none"
rates = [{ rates = ["10 %"] }]

[[component]]
kind = "matching"
id = "matching"
on = ["levels"]
rank = "paid_as"
compression = "none"
negative_earnings = "ignore"
rates = [{ rates = ["50 %"] }]

[[component]]
kind = "pool"
id = "pool"
size = { kind = "share_of_cv", rate = "2.5 %" }
rank = "paid_as"
shares = [{ from = "gold", shares = 1 }]
nobody = "breakage"

[[cap]]
id = "company"
after = "pool"
counts = ["levels", "matching", "pool"]
limit = { per = "company", share_of_cv = "7.5 %", method = "pro_rata" }
"#;

/// What is left of all that was posted for a period, with its corrections: component and account.
async fn left(world: &World, period: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', component, account, sum(amount)::numeric(20, 2)) FROM (
             SELECT component, CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                    CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
             FROM upline.period_entry WHERE coalesce(corrects, period) = '{period}') t
         GROUP BY component, account HAVING sum(amount) <> 0 ORDER BY component, account"
    );
    world.rows(&query).await.iter().map(|row| row.get(0)).collect()
}

/// 10001 over 10090 over 11043 over ABC123. Orders of January: 100, 200, 200 and 500 net, so CV 80, 160, 160
/// and 400.
async fn january(world: &World, deliver: &impl AsyncFn(u32, &str, &str, &str, &str)) {
    deliver(1, "2026-01-05T10:00:00Z", "paid", "10001", "100.00").await;
    deliver(2, "2026-01-06T10:00:00Z", "paid", "10090", "200.00").await;
    deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "200.00").await;
    deliver(4, "2026-01-08T10:00:00Z", "paid", "ABC123", "500.00").await;
    closing::journal_reaches(world, 4).await;
    closing::commit(world, "2026-01").await;
    assert_eq!(
        closing::entries(world, "2026-01").await,
        [
            // Levels 16, 16 and 40, and 8 of 10001's own for whom nobody stands above. Matching: half of
            // 10090's 16 and of 11043's 40, and of 10001's 16 for nobody. The pool of 20 to 10001 (GV 1,000)
            // and 10090 (900). Together 120 to members, and 7.5 % of 800 are 60: everybody keeps half.
            "levels distributor:10001 8.00",
            "levels distributor:10090 8.00",
            "levels distributor:11043 20.00",
            "levels breakage 8.00 end_of_upline",
            "levels capped:company 36.00",
            "matching distributor:10001 4.00",
            "matching distributor:10090 10.00",
            "matching breakage 8.00 end_of_upline",
            "matching capped:company 14.00",
            "pool distributor:10001 5.00",
            "pool distributor:10090 5.00",
            "pool capped:company 10.00",
        ]
    );
}

#[test]
fn a_closed_period_gives_back_what_it_paid_on_a_return_and_no_other_period_knows_of_it() {
    world("late_returns", async |world| {
        fs::write(world.folder.join("pipelines/plans/field.toml"), PLAN).unwrap();
        let app = world.start().await;
        let deliver = async |id: u32, placed: &str, status: &str, who: &str, price: &str| {
            let order = closing::order(id, placed, status, who, price);
            world.client.deliver(app.http, &order).await;
        };
        january(world, &deliver).await;

        // The 500 come back. In February ABC123 and 11043 sell 100 each and are active by that.
        deliver(4, "2026-01-08T10:00:00Z", "cancelled", "ABC123", "500.00").await;
        deliver(5, "2026-02-05T10:00:00Z", "paid", "ABC123", "100.00").await;
        deliver(6, "2026-02-06T10:00:00Z", "paid", "11043", "100.00").await;
        closing::journal_reaches(world, 7).await;
        let shown = closing::shown(world, "2026-02").await;
        assert_eq!(
            (&shown["summary"]["cv"], &shown["summary"]["active"]),
            (&"160".into(), &2.into())
        );
        closing::commit(world, "2026-02").await;
        assert_eq!(
            closing::entries(world, "2026-02").await,
            [
                // 10 % of ABC123's 80, half of it to nobody active; nobody is gold. 12 may be paid.
                "levels distributor:11043 8.00",
                "levels breakage 8.00 not_active",
                "matching breakage 4.00 not_active",
                "pool breakage 4.00 nobody_qualified",
                // January without the 400: levels 16, 16, 0; matching 8, 0; the pool of 10 to the same two.
                // Together 50, and 7.5 % of 400 are 30: everybody keeps six tenths.
                "levels distributor:10001 1.60 2026-01",
                "levels distributor:10090 1.60 2026-01",
                "levels distributor:11043 -20.00 2026-01",
                "levels capped:company -23.20 2026-01",
                "matching distributor:10001 0.80 2026-01",
                "matching distributor:10090 -10.00 2026-01",
                "matching capped:company -10.80 2026-01",
                "pool distributor:10001 -2.00 2026-01",
                "pool distributor:10090 -2.00 2026-01",
                "pool capped:company -6.00 2026-01",
            ]
        );
        let told = said(&world.run(&["explain", "11043", "2026-02"]).await);
        assert!(told.contains("levels of 2026-01, corrected, -20.00"), "{told}");

        // In March all the rest of January comes back: nothing is left of what it paid, in any account, and
        // nothing of February has changed.
        let february = left(world, "2026-02").await;
        for (id, day, who, price) in [
            (1, "05", "10001", "100.00"),
            (2, "06", "10090", "200.00"),
            (3, "07", "11043", "200.00"),
        ] {
            let placed = format!("2026-01-{day}T10:00:00Z");
            deliver(id, &placed, "cancelled", who, price).await;
        }
        closing::journal_reaches(world, 10).await;
        closing::commit(world, "2026-03").await;
        assert_eq!(left(world, "2026-01").await, Vec::<String>::new());
        assert_eq!(left(world, "2026-02").await, february);
        assert_eq!(left(world, "2026-03").await, Vec::<String>::new());
        for period in ["2026-01", "2026-02", "2026-03"] {
            said(&world.run(&["close", period, "--verify"]).await);
        }
        world.statements_agree().await;

        // A correction that somebody makes smaller afterwards is found.
        world.execute("ALTER TABLE upline.period_entry DISABLE TRIGGER USER").await.unwrap();
        let less = "UPDATE upline.period_entry SET amount = 19 WHERE period = '2026-02'
                    AND debit = 'distributor:11043' AND corrects = '2026-01'";
        world.execute(less).await.unwrap();
        let found = world.run(&["close", "2026-02", "--verify"]).await;
        assert!(!found.status.success());
        app.stop().await;
    });
}

/// A cap of 30 on what orders earn, and a pool for which nobody qualifies.
pub(crate) fn capped_and_carried() -> String {
    let breaks = "nobody = \"breakage\"";
    assert!(PLAN.contains(breaks));
    let cap = "[[cap]]\nid = \"own\"\nafter = \"direct\"\ncounts = [\"direct\"]\n\
               limit = { per = \"distributor\", amount = \"30\", rank = \"paid_as\" }\n";
    format!("{}\n{cap}", PLAN.replace(breaks, "nobody = \"carry\""))
}

#[test]
fn a_cap_gives_back_what_it_took_of_an_order_and_a_pool_has_less_to_carry_on() {
    world("late_carries", async |world| {
        let plan = world.folder.join("pipelines/plans/field.toml");
        fs::write(plan, capped_and_carried()).unwrap();
        let app = world.start().await;
        let deliver = async |status: &str| {
            let order = closing::order(1, "2026-01-05T10:00:00Z", status, "ABC123", "400.00");
            world.client.deliver(app.http, &order).await;
            world.settles().await;
        };
        let entries = async |period| {
            let entries = closing::entries(world, period).await;
            let wanted = |entry: &String| entry.starts_with("direct") || entry.starts_with("pool");
            entries.into_iter().filter(wanted).collect::<Vec<_>>()
        };
        deliver("paid").await;
        closing::journal_reaches(world, 1).await;
        closing::commit(world, "2026-01").await;
        // The order posted 40 itself. 2.5 % of 320 wait for somebody gold.
        let wanted =
            ["direct distributor:ABC123 -10.00", "direct capped:own 10.00", "pool carried 8.00"];
        assert_eq!(entries("2026-01").await, wanted);
        closing::commit(world, "2026-02").await;
        assert_eq!(entries("2026-02").await, ["pool carried 8.00"]);

        // The order took back its 40: the 10 that the cap had are ABC123's. What January did not carry on,
        // February did not either, and March does not begin with it.
        deliver("cancelled").await;
        closing::journal_reaches(world, 2).await;
        closing::commit(world, "2026-03").await;
        assert_eq!(
            entries("2026-03").await,
            [
                "direct distributor:ABC123 10.00 2026-01",
                "direct capped:own -10.00 2026-01",
                "pool carried -8.00 2026-01",
                "pool carried -8.00 2026-02",
            ]
        );
        let april = closing::shown(world, "2026-04").await;
        assert_eq!(april["summary"]["corrected"], serde_json::Value::Null, "corrected once");
        for period in ["2026-01", "2026-02", "2026-03"] {
            assert_eq!(left(world, period).await, Vec::<String>::new());
            said(&world.run(&["close", period, "--verify"]).await);
        }
        app.stop().await;
    });
}
