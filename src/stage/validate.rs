//! Validate: raw bytes to order events, one adapter per platform; the money must foot.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    Message, RejectCode, Rejection, SkipReason, Stage, Verdict,
    message::Headers,
    platform::{Parsed, RawEvent, Scope, StorePolicy, forbidden, parse},
};
use crate::domain::{
    article::ArticleEvent,
    customer::CustomerEvent,
    digest::Digest,
    id::{Platform, StoreId},
    order::{Fact, Footing, OrderEvent, Status},
};

/// What the stage knows of a store.
#[derive(Debug, Clone)]
pub struct Store {
    /// How its orders are read.
    pub policy: StorePolicy,
    /// What happens to an order whose rows do not add up to its header.
    pub on_unfooted: OnUnfooted,
}

/// What happens to an order whose rows do not add up to its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnfooted {
    /// Keep it as a dead letter with both sums until somebody has looked. The default for
    /// WooCommerce and Magento, whose rows are complete.
    Quarantine,
    /// Let it through: a Shopify order can hold components that the body does not itemise.
    #[default]
    Accept,
}

impl OnUnfooted {
    /// The default for a platform.
    pub fn default_for(platform: Platform) -> Self {
        match platform {
            Platform::Shopify => Self::Accept,
            Platform::WooCommerce | Platform::Magento | Platform::Api => Self::Quarantine,
        }
    }
}

/// What a delivery is understood to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Understood {
    /// Facts about orders.
    Orders(Vec<OrderEvent>),
    /// Facts about articles.
    Articles(Vec<ArticleEvent>),
    /// A fact about a customer.
    Customer(Box<CustomerEvent>),
}

/// The stage.
#[derive(Debug, Clone)]
pub struct Validate {
    stores: HashMap<(Platform, StoreId), Store>,
}

impl Validate {
    /// A stage for these stores.
    pub fn new(stores: HashMap<(Platform, StoreId), Store>) -> Self {
        Self { stores }
    }

    fn judge(&self, message: Message<'_>) -> Result<Parsed, Rejection> {
        let (platform, store) = endpoint(message.subject)?;
        let known = self.stores.get(&(platform, store.clone())).ok_or_else(|| {
            Rejection::new(
                RejectCode::UnknownStore,
                "$",
                format!("store {store} of {platform} is in no pipeline file"),
            )
        })?;
        let header = |name| message.headers.get(name).unwrap_or_default();
        let received_at = header(Headers::RECEIVED_AT).parse().ok();
        let event = RawEvent {
            platform,
            store: &store,
            topic: header(Headers::TOPIC),
            delivery: header(Headers::DELIVERY),
            received_at: received_at
                .and_then(|micros| Timestamp::from_microsecond(micros).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            digest: Digest::try_from(header(Headers::DIGEST).to_owned())
                .unwrap_or_else(|_absent| Digest::of(message.payload)),
            body: message.payload,
        };
        let parsed = parse(&event, &known.policy)?;
        if let Parsed::Facts(events) = &parsed {
            let scope = Scope::new(store.clone(), &known.policy);
            if let Some(event) = events.iter().find(|event| !scope.covers(&event.key)) {
                let shop = format!("{}/{}", event.key.platform, event.key.store);
                let message = forbidden(&store, &shop);
                return Err(Rejection::new(RejectCode::UnknownStore, "store", message));
            }
            events.iter().try_for_each(|event| footing(event, known.on_unfooted))?;
        }
        Ok(parsed)
    }
}

/// The platform and store that a subject `ingest.<platform>.<store>` names.
fn endpoint(subject: &str) -> Result<(Platform, StoreId), Rejection> {
    let refuse = |message: String| Rejection::new(RejectCode::UnknownStore, "$", message);
    let mut parts = subject.split('.').skip(1);
    let platform = Platform::parse(parts.next().unwrap_or_default());
    let store = StoreId::parse(parts.next().unwrap_or_default());
    match (platform, store) {
        (Ok(platform), Ok(store)) => Ok((platform, store)),
        (Err(error), _) | (_, Err(error)) => Err(refuse(error.to_string())),
    }
}

/// Refuses an order that would earn although its rows do not add up.
fn footing(event: &OrderEvent, policy: OnUnfooted) -> Result<(), Rejection> {
    let Fact::Snapshot(snapshot) = &event.fact else { return Ok(()) };
    let Footing { rows, header, tolerance, parents } = snapshot.footing;
    let earns = snapshot.status == Status::Paid;
    if !earns || policy == OnUnfooted::Accept || snapshot.footing.holds() {
        return Ok(());
    }
    let parents = parents.map_or_else(String::new, |parents| {
        format!(" (with the parents of bundles in the place of their children to {parents})")
    });
    Err(Rejection::new(
        RejectCode::Unfooted,
        "$",
        format!(
            "the rows of order {} add up to {rows} {}{parents}, its header says {header} (tolerance \
             {tolerance}): find what is missing, then replay it or accept such orders with \
             on_unfooted = \"accept\"",
            event.key, snapshot.currency
        ),
    ))
}

impl Stage for Validate {
    const NAME: &'static str = "validate";
    type Effect = Understood;

    fn apply(&self, message: Message<'_>) -> Verdict<Understood> {
        match self.judge(message) {
            Ok(Parsed::Facts(events)) if events.is_empty() => Verdict::Skip(SkipReason::NotAnOrder),
            Ok(Parsed::Facts(events)) => Verdict::Emit(Understood::Orders(events)),
            Ok(Parsed::Articles(events)) if events.is_empty() => {
                Verdict::Skip(SkipReason::NothingNew)
            }
            Ok(Parsed::Articles(events)) => Verdict::Emit(Understood::Articles(events)),
            Ok(Parsed::Customer(event)) => Verdict::Emit(Understood::Customer(event)),
            Ok(Parsed::Skip(reason)) => Verdict::Skip(reason),
            Err(rejection) => Verdict::Reject(rejection),
        }
    }
}
