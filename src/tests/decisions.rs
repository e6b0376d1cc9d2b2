//! What only a person can decide, with the real command line on the real servers.

use serde_json::{Value, json};
use upline::{
    domain::{
        id::{LineId, Operator, OrderKey, Reason, Sku},
        order::{Decision, Fact, OrderEvent, Origin, Sells, Verdict},
    },
    stage::message::{Headers, Subject, Trace, Validated},
    stream::{Outgoing, Publish},
};

use crate::support::{Delivery, World, eventually, shopify_order, world};

/// A paid order of two lines: one of a known SKU for 100.00, one of nothing known for 50.00.
fn order(minute: u8) -> Delivery {
    let mut body = shopify_order(1, minute, "paid", "BEAUTY02", "100.00", "11043");
    let mut custom = body["line_items"][0].clone();
    custom["id"] = json!(2);
    custom["price"] = json!("50.00");
    for absent in ["sku", "variant_id", "product_id"] {
        custom[absent] = Value::Null;
    }
    body["line_items"].as_array_mut().unwrap().push(custom);
    body["total_price"] = json!("150.00");
    Delivery::shopify("orders/paid", &format!("order-{minute}"), &body)
}

async fn waits(world: &World, wanted: &[(&str, &str)]) {
    eventually(&format!("the order waits for {wanted:?}"), async || {
        let rows = world.rows("SELECT kind, value FROM upline.order_wait ORDER BY 1, 2").await;
        let found: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        (found == wanted).then_some(())
    })
    .await;
}

/// Runs `decide` on order 1: whether it succeeded, and what it said.
async fn decide(world: &World, arguments: &[&str]) -> (bool, String) {
    let signed = ["--by", "ops-7", "--why", "the fair in May, ticket 12"];
    let output = world.run(&[&["decide", "1"], arguments, &signed].concat()).await;
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

/// What the order does not have, and what the company does not know, is refused.
async fn refuses(world: &World) {
    for (arguments, why) in [
        (&["--line", "9", "--class", "beauty"][..], "no line 9, only 1, 2"),
        (&["--line", "9", "--class", "beauty"], "waits for chargeback 77 in EUR, line 2"),
        (&["--line", "2", "--class", "luxury"], "class luxury"),
        (&["--line", "2", "--sku", "NOPE"], "no article NOPE"),
        (&["--chargeback", "78", "--takes", "1"], "no chargeback 78"),
        (&["--chargeback", "77", "--takes=-1"], "--takes is -1"),
        (&["--chargeback", "77", "--takes", "-5"], "write what is taken, 0 or more"),
        (&["--referrer", "99999"], "no distributor 99999"),
        (&["--line", "2"], "--class"),
        (&["--no-referrer", "--line", "2", "--no-commission"], "cannot be used"),
    ] {
        let (done, told) = decide(world, arguments).await;
        assert!(!done && told.contains(why), "{arguments:?}: {told}");
    }
    let unsigned = world.run(&["decide", "1", "--no-referrer"]).await;
    assert_eq!(unsigned.status.code(), Some(2), "who and why are needed");
}

/// The story tells who decided what and why; the sealed calculation proves the reason and does not hold it.
async fn explains(world: &World) {
    let output = world.run(&["explain", "1"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "line 2 earns as class beauty, decided by ops-7: the fair in May, ticket 12",
        "chargeback 77 takes 30.00 USD, decided by ops-7",
        "parked as revision 3 (waits for chargeback 77 in EUR)",
        "line 2 earns nothing: decided",
        "referrer ABC123 (by decision)",
        "who referred it: decided by ops-7 at",
        "line 2: decided by ops-7 at",
        "corrects #1",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let proof = "SELECT r.calc_snapshot_json #>> '{order,lines,1,decision,digest}',
                        r.calc_snapshot_json::text, b.state::text
                 FROM upline.commission_run r JOIN upline.order_book b USING (order_key)
                 ORDER BY r.revision DESC LIMIT 1";
    let row = &world.rows(proof).await[0];
    let state: upline::domain::order::OrderState =
        serde_json::from_str(row.get::<_, &str>(2)).unwrap();
    let decided =
        state.decisions.values().find(|d| d.digest().to_string() == row.get::<_, &str>(0));
    assert_eq!(decided.unwrap().why.as_str(), "the fair in May, ticket 12");
    assert!(!row.get::<_, &str>(1).contains("ticket 12"));
}

#[test]
fn what_only_a_person_can_say_is_decided_posted_corrected_and_explained() {
    world("decisions", async |world| {
        let app = world.start().await;
        world.client.deliver(app.http, &order(1)).await;
        let dispute = json!({ "id": 77, "order_id": 1, "type": "chargeback", "status": "lost",
                              "amount": "28.00", "currency": "EUR" });
        waits(world, &[("line", "2")]).await;
        let dispute = Delivery::shopify("disputes/create", "dispute", &dispute);
        world.client.deliver(app.http, &dispute).await;
        waits(world, &[("chargeback", "77 in EUR"), ("line", "2")]).await;

        refuses(world).await;

        // A trial says what would still be missing, and changes nothing.
        let line = ["--line", "2", "--class", "beauty"];
        let (done, told) = decide(world, &[&line[..], &["--dry-run"]].concat()).await;
        assert!(done && told.contains("would wait for chargeback 77 in EUR"), "{told}");
        world.settles().await;
        waits(world, &[("chargeback", "77 in EUR"), ("line", "2")]).await;

        assert!(decide(world, &line).await.0);
        waits(world, &[("chargeback", "77 in EUR")]).await;
        let much = ["--chargeback", "77", "--takes", "300", "--dry-run"];
        let (done, told) = decide(world, &much).await;
        let warning = "warning: --takes 300.00 USD is more than the order's total of 150.00 USD";
        assert!(done && told.contains(warning), "{told}");
        let takes = ["--chargeback", "77", "--takes", "30"];
        let (done, told) = decide(world, &[&takes[..], &["--dry-run", "--json"]].concat()).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(done && told["sent"] == false, "{told}");
        assert_eq!(told["run"]["totals"]["direct"]["paid"], "18.00", "{told}");
        assert!(decide(world, &takes).await.0);
        // 30.00 of 150.00 are gone: 15 % of 80.00 and of 40.00.
        world.pays("1", &["11043 18.00"]).await;
        waits(world, &[]).await;

        // Later decisions are facts like others: what they change is a correction.
        assert!(decide(world, &["--line", "2", "--no-commission"]).await.0);
        world.pays("1", &["11043 12.00"]).await;
        assert!(decide(world, &["--referrer", "ABC123"]).await.0);
        world.pays("1", &["ABC123 12.00"]).await;
        // The shop says the old again, under a new version: what was decided holds.
        world.client.deliver(app.http, &order(5)).await;
        world.settles().await;
        world.pays("1", &["ABC123 12.00"]).await;

        explains(world).await;
        world.blocks_hold().await;
        world.warehouse_agrees().await;
    });
}

/// Another program may have decided for an article that nobody has mapped: mapping it releases the order,
/// by the id of the company, whatever the platforms call it.
#[test]
fn an_order_that_waits_for_a_decided_article_goes_on_when_it_is_mapped() {
    world("fair", async |world| {
        let app = world.start().await;
        world.client.deliver(app.http, &order(1)).await;
        waits(world, &[("line", "2")]).await;
        let decision = Decision {
            at: "2026-10-03T00:00:00Z".parse().unwrap(),
            by: Operator::parse("ops-7").unwrap(),
            why: Reason::parse("the kit of the fair").unwrap(),
            verdict: Verdict::Line {
                line: LineId::parse("2").unwrap(),
                sells: Sells::Article(Sku::parse("FAIR-KIT").unwrap()),
            },
        };
        let origin = Origin {
            delivery: "decided".into(),
            topic: "decision".into(),
            received_at: decision.at,
            digest: decision.digest(),
        };
        let key = OrderKey::parse("shopify/acme/1").unwrap();
        let event = OrderEvent { key: key.clone(), origin, fact: Fact::Decision(decision) };
        let trace = Trace::start(event.origin.received_at);
        let message = Outgoing {
            subject: Subject::Valid(&key).to_string(),
            id: "decided".to_owned(),
            headers: Headers::default(),
            payload: serde_json::to_vec(&Validated { event, trace }).unwrap().into(),
        };
        world.log.publish_all(vec![message]).await.unwrap();
        waits(world, &[("article", "FAIR-KIT")]).await;
        let rows = "sku_id,platform,platform_sku,commission_class\nFAIR-KIT,any,99-KIT,beauty\n";
        let path = world.folder.join("fair.csv");
        std::fs::write(&path, rows).unwrap();
        let imported = world.run(&["import", "skus", path.to_str().unwrap()]).await;
        assert!(imported.status.success(), "{imported:?}");
        world.pays("1", &["11043 22.50"]).await;
        waits(world, &[]).await;
    });
}
