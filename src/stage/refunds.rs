//! Refunds of which an order tells only the sum: which of them a store should be asked for.
//!
//! WooCommerce lists `{id, reason, total}` in the body of its order, tax and shipping included. Which
//! lines a refund is for stands in a resource of its own, which no webhook delivers.

use jiff::Timestamp;

use super::{Judge, SkipReason, Verdict, message::Validated};
use crate::domain::{
    id::{OrderKey, Platform, RefundId, StoreId},
    order::{Detail, Fact, OrderEvent},
};

/// An order whose refunds are to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The order.
    pub key: OrderKey,
    /// The refunds that it names by their sum only.
    pub refunds: Vec<RefundId>,
    /// When the order was received.
    pub received_at: Timestamp,
}

/// The stage, for one WooCommerce store. Each store has a consumer of its own, so that one that does
/// not answer holds up no other.
#[derive(Debug, Clone)]
pub struct Refunds {
    store: StoreId,
}

impl Refunds {
    /// A stage for this store.
    pub fn new(store: StoreId) -> Self {
        Self { store }
    }
}

/// Whether the event of an order names refunds by their sum only.
pub fn has_summaries(event: &OrderEvent) -> bool {
    summaries(event).next().is_some()
}

fn summaries(event: &OrderEvent) -> impl Iterator<Item = &RefundId> {
    let told = if event.key.platform == Platform::WooCommerce { Some(&event.fact) } else { None };
    let listed = told.and_then(|fact| {
        if let Fact::Snapshot(snapshot) = fact { snapshot.refunds.as_ref() } else { None }
    });
    listed
        .into_iter()
        .flatten()
        .filter(|refund| refund.detail == Detail::Summary)
        .map(|refund| &refund.id)
}

impl Judge for Refunds {
    const NAME: &'static str = "refunds";
    type Input = Validated;
    type Effect = Wanted;

    fn judge(&self, Validated { event, .. }: Validated) -> Verdict<Wanted> {
        let refunds: Vec<RefundId> = summaries(&event).cloned().collect();
        if event.key.store != self.store || refunds.is_empty() {
            return Verdict::Skip(SkipReason::NothingToFetch);
        }
        Verdict::Emit(Wanted { key: event.key, refunds, received_at: event.origin.received_at })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::stage::{Message, Stage};
    use crate::{
        domain::digest::Digest,
        stage::{
            message::{Headers, Trace},
            platform::{Parsed, RawEvent, StorePolicy, parse},
        },
    };

    /// What the stage of the store `acme` makes of a delivery.
    fn judge(platform: Platform, store: &str, topic: &str, body: &Value) -> Verdict<Wanted> {
        let (store, body) = (StoreId::parse(store).unwrap(), body.to_string());
        let event = RawEvent {
            platform,
            store: &store,
            topic,
            delivery: "d1",
            received_at: Timestamp::UNIX_EPOCH,
            digest: Digest::of(body.as_bytes()),
            body: body.as_bytes(),
        };
        let Ok(Parsed::Facts(mut events)) = parse(&event, &StorePolicy::default()) else {
            panic!("no facts");
        };
        let trace = Trace::start(Timestamp::UNIX_EPOCH);
        let message = Validated { event: events.remove(0), trace };
        let payload = serde_json::to_vec(&message).unwrap();
        let headers = Headers::default();
        let message = Message { subject: "orders.valid.1", headers: &headers, payload: &payload };
        Refunds::new(StoreId::parse("acme").unwrap()).apply(message)
    }

    fn example(name: &str) -> Value {
        let file = format!("{}/schemas/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    #[test]
    fn only_sums_of_the_own_store_are_asked_for() {
        let order = example("woocommerce/refund-summaries.json");
        let own = |store, topic, body: &Value| judge(Platform::WooCommerce, store, topic, body);
        let told = &order["also"][0]["body"];
        let Verdict::Emit(wanted) = own("acme", "order.updated", told) else {
            panic!("two sums are there");
        };
        let ids: Vec<&str> = wanted.refunds.iter().map(RefundId::as_str).collect();
        assert_eq!((wanted.key.order_id.as_str(), ids), ("704", vec!["816", "814"]));
        let nothing = Verdict::Skip(SkipReason::NothingToFetch);
        assert_eq!(own("other", "order.updated", &order["body"]), nothing);
        let refund = &order["also"][1];
        assert_eq!(own("acme", "refund", &refund["body"]), nothing);
        let mut none = told.clone();
        none["refunds"] = json!([]);
        assert_eq!(own("acme", "order.updated", &none), nothing);
        let shopify = example("shopify/refund-lines.json");
        let topic = shopify["topic"].as_str().unwrap();
        assert_eq!(judge(Platform::Shopify, "acme", topic, &shopify["body"]), nothing);
    }
}
