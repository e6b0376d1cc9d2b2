//! Customers, as every platform sends them: whom they belong to, and the privacy topics of Shopify.
//!
//! Of a customer's record nothing is read but the id, tags, metadata and the time of the change. A
//! deletion changes nothing: what the customer bought stays attributed, and only an erasure removes
//! the id.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Parsed, RawEvent, ReferralPlace, StorePolicy, body, buyer, origin,
    referral::{self, Candidate, NameValue},
    wire::{Many, Maybe, Pairs, Path, Raw},
};
use crate::{
    domain::{
        customer::{CustomerEvent, CustomerFact, CustomerKey, CustomerLink},
        id::Platform,
    },
    stage::{Rejection, SkipReason},
};

/// What a topic says about a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// The customer's record, created or changed.
    Record,
    DataRequest,
    Redact,
    ShopRedact,
}

impl Topic {
    /// `None` for topics that are not about customers, and for those that change nothing.
    pub(super) fn of(platform: Platform, topic: &str) -> Option<Self> {
        match (platform, topic.replace('_', "/").as_str()) {
            (Platform::Shopify, "customers/create" | "customers/update")
            | (
                Platform::WooCommerce | Platform::Magento,
                "customer.created" | "customer.updated",
            ) => Some(Self::Record),
            // Adobe: observer.customer_save_after, observer.customer_save_commit_after.
            (Platform::Magento, name)
                if name.ends_with("customer/save/after")
                    || name.ends_with("customer/save/commit/after") =>
            {
                Some(Self::Record)
            }
            (Platform::Shopify, "customers/data/request") => Some(Self::DataRequest),
            (Platform::Shopify, "customers/redact") => Some(Self::Redact),
            (Platform::Shopify, "shop/redact") => Some(Self::ShopRedact),
            _ => None,
        }
    }
}

/// A customer's record in any of the forms, or what stands around one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    id: Raw<'a>,
    entity_id: Raw<'a>,
    /// Shopify.
    tags: Raw<'a>,
    /// WooCommerce.
    meta_data: Many<NameValue<'a>>,
    /// Magento.
    custom_attributes: Many<NameValue<'a>>,
    extension_attributes: Maybe<Pairs<'a>>,
    updated_at: Raw<'a>,
    date_modified_gmt: Raw<'a>,
    customer: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
}

/// Envelopes nest: a `CloudEvent` around Adobe's event around the value.
const MAX_ENVELOPES: usize = 6;

/// Reads a delivery about a customer.
pub(super) fn parse(
    event: &RawEvent<'_>,
    topic: Topic,
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    let mut json = body::text(event.body)?;
    if topic == Topic::ShopRedact {
        return Ok(about(event, "", CustomerFact::ShopRedact));
    }
    let mut record: Record<'_> = body::object(json, Path::ROOT)?;
    for _ in 0..MAX_ENVELOPES {
        let inner = [record.customer, record.event, record.data, record.value];
        let bare = record.id.id().is_none() && record.entity_id.id().is_none();
        let Some(inner) = inner.into_iter().flatten().next().filter(|_| bare) else { break };
        json = inner.get();
        record = body::object(json, Path::ROOT)?;
    }
    let id = buyer(&record.id).or_else(|| buyer(&record.entity_id));
    let Some(id) = id else { return Err(Path::ROOT.key("id").missing("the id of the customer")) };
    let fact = match topic {
        Topic::DataRequest => CustomerFact::DataRequest,
        Topic::Redact => CustomerFact::Redact,
        Topic::ShopRedact => CustomerFact::ShopRedact,
        Topic::Record => CustomerFact::Links(links(&record, event, policy)?),
    };
    if fact == CustomerFact::Links(Vec::new()) {
        return Ok(Parsed::Skip(SkipReason::NothingNew));
    }
    Ok(about(event, &id, fact))
}

fn about(event: &RawEvent<'_>, customer: &str, fact: CustomerFact) -> Parsed {
    let customer = CustomerKey {
        platform: event.platform,
        store: event.store.clone(),
        customer: customer.into(),
    };
    Parsed::Customer(Box::new(CustomerEvent { customer, origin: origin(event), fact }))
}

/// What tags and metadata assign, from the time of the change on.
fn links(
    record: &Record<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<Vec<CustomerLink>, Rejection> {
    let mut found: Vec<Candidate<'_>> = Vec::new();
    let place = ReferralPlace::CustomerTag;
    referral::add_tags(place, &record.tags, &mut found);
    referral::add_named(place, &record.meta_data, &mut found);
    referral::add_named(place, &record.custom_attributes, &mut found);
    if let Some(pairs) = record.extension_attributes.get() {
        referral::add_pairs(place, pairs, &mut found);
    }
    let changed = match record.updated_at.time(Path::ROOT.key("updated_at"))? {
        Some(at) => Some(at),
        None => record.date_modified_gmt.time(Path::ROOT.key("date_modified_gmt"))?,
    };
    let link = |(kind, distributor)| CustomerLink {
        seq: 0,
        distributor,
        kind,
        source: place.as_str().into(),
        order: None,
        effective_from: changed.unwrap_or(event.received_at),
    };
    Ok(referral::links(policy, &found).into_iter().map(link).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::stage::platform::{ReferralRule, parse as read, testing};

    fn fact(platform: Platform, topic: &str, body: &Value) -> Option<(String, CustomerFact)> {
        match testing::json(platform, topic, body).unwrap() {
            Parsed::Customer(event) => Some((event.customer.customer.to_string(), event.fact)),
            Parsed::Skip(_) => None,
            other @ (Parsed::Facts(_) | Parsed::Articles(_)) => panic!("{other:?}"),
        }
    }

    fn linked(platform: Platform, topic: &str, body: &Value) -> Option<(String, String)> {
        let (customer, fact) = fact(platform, topic, body)?;
        let CustomerFact::Links(links) = fact else { panic!("{fact:?}") };
        let text = |link: &CustomerLink| format!("{:?} {}", link.kind, link.distributor);
        Some((customer, links.iter().map(text).collect::<Vec<_>>().join(", ")))
    }

    #[test]
    fn a_tag_or_metadata_links_a_customer_and_nothing_personal_is_kept() {
        let shopify = json!({
            "id": 207, "email": "jane@example.com", "first_name": "Jane", "tags": "vip, ref:D7",
            "updated_at": "2026-10-02T10:00:00Z", "default_address": {"city": "Bonn"},
        });
        let links = linked(Platform::Shopify, "customers/update", &shopify);
        assert_eq!(links, Some(("207".into(), "Lifetime D7".into())));
        let event = testing::json(Platform::Shopify, "CUSTOMERS_CREATE", &shopify).unwrap();
        let Parsed::Customer(event) = event else { panic!("{event:?}") };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains("2026-10-02T10:00:00Z"), "{text}");
        for personal in ["jane", "Jane", "Bonn"] {
            assert!(!text.contains(personal), "{text}");
        }
        let woo = json!({"id": 3, "meta_data": [{"id": 1, "key": "x", "value": "ref:D8"}]});
        let links = linked(Platform::WooCommerce, "customer.created", &woo);
        assert_eq!(links, Some(("3".into(), "Lifetime D8".into())));
        let attribute = json!([{"attribute_code": "referrer", "value": "ref:D9"}]);
        let magento = json!({"data": {"id": 4, "custom_attributes": attribute}});
        let links = linked(Platform::Magento, "customer.updated", &magento);
        assert_eq!(links, Some(("4".into(), "Lifetime D9".into())));
    }

    #[test]
    fn a_customer_without_a_code_and_a_deletion_change_nothing() {
        for (topic, tags) in [("customers/update", "vip"), ("customers/delete", "ref:D7")] {
            let body = json!({"id": 207, "tags": tags});
            assert_eq!(fact(Platform::Shopify, topic, &body), None, "{topic}");
        }
    }

    #[test]
    fn a_rule_says_which_tag_makes_a_customer_a_distributor() {
        let rule = |from, prefix: Option<&str>| ReferralRule {
            from,
            name: None,
            prefix: prefix.map(str::to_owned),
        };
        let policy = StorePolicy {
            attribution: vec![
                rule(ReferralPlace::Customer, Some("member:")),
                rule(ReferralPlace::CustomerTag, None),
            ],
            ..StorePolicy::default()
        };
        let store = crate::domain::id::StoreId::parse("acme").unwrap();
        let event = RawEvent {
            platform: Platform::Shopify,
            store: &store,
            topic: "customers/update",
            delivery: "d",
            received_at: jiff::Timestamp::UNIX_EPOCH,
            digest: crate::domain::digest::Digest::ZERO,
            body: br#"{"id": 1, "tags": "gold, Member:D1"}"#,
        };
        let Ok(Parsed::Customer(event)) = read(&event, &policy) else { panic!("no customer") };
        let CustomerFact::Links(links) = event.fact else { panic!("no links") };
        assert_eq!(links.len(), 1, "a rule that takes any tag links nobody: {links:?}");
        assert_eq!(links[0].distributor.as_str(), "D1");
    }

    #[test]
    fn the_privacy_topics_are_read() {
        let body = json!({
            "shop_id": 1, "shop_domain": "acme", "orders_to_redact": [1],
            "customer": {"id": 191, "email": "jane@example.com", "phone": "555"},
        });
        for (topic, wanted) in [
            ("customers/data_request", CustomerFact::DataRequest),
            ("customers/redact", CustomerFact::Redact),
        ] {
            let got = fact(Platform::Shopify, topic, &body);
            assert_eq!(got, Some(("191".to_owned(), wanted)), "{topic}");
        }
        let got = fact(Platform::Shopify, "SHOP_REDACT", &json!({"shop_id": 1}));
        assert_eq!(got, Some((String::new(), CustomerFact::ShopRedact)));
        let nobody = testing::json(Platform::Shopify, "customers/redact", &json!({"shop_id": 1}));
        assert_eq!(testing::code(nobody).1, "id");
    }
}
