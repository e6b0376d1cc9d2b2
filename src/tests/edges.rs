//! What the edges of the shops need beyond a secret: Adobe's signatures.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use serde_json::Value;

use crate::support::{Delivery, World, world};

impl World {
    /// Adds text to the pipeline file.
    pub(crate) fn add_to_pipeline(&self, text: &str) {
        let path = self.folder.join("pipelines/acme.toml");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn an_order_that_adobe_signed_is_paid_and_a_changed_one_is_refused() {
    world("adobe", async |world| {
        let vectors: Value =
            serde_json::from_str(include_str!("../ingest/tests/adobe.json")).unwrap();
        let key = vectors["keys"][1].as_str().unwrap();
        fs::write(world.folder.join("pipelines/adobe-2.pem"), key).unwrap();
        let client = vectors["client_id"].as_str().unwrap();
        world.add_to_pipeline(&format!(
            "\n[[store]]\nname = \"commerce\"\nplatform = \"magento\"\n\
             adobe = {{ client_id = \"{client}\", keys = [\"adobe-2.pem\"] }}\n"
        ));
        let app = world.start().await;
        let order = &vectors["vectors"][0];
        let signature = |i: usize| order["signatures"][i].as_str().unwrap().to_owned();
        let mut delivery = Delivery {
            path: "/webhooks/magento/commerce/observer.sales_order_save_commit_after".to_owned(),
            headers: vec![
                ("x-adobe-digital-signature-1", signature(0)),
                ("x-adobe-digital-signature-2", signature(1)),
                ("x-adobe-event-id", "e-1".to_owned()),
            ],
            body: order["body"].as_str().unwrap().replacen("108.0000", "208.0000", 1),
        };
        let refused = world.client.post(app.http, &delivery).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        delivery.body = order["body"].as_str().unwrap().to_owned();
        world.client.deliver(app.http, &delivery).await;
        // 20 % of 100.00 less 12.00, of which 2.00 are tax compensation.
        world.pays("19", &["11043 18.00"]).await;
        app.stop().await;
    });
}
