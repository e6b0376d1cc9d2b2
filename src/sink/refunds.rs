//! Refunds that a WooCommerce shop told the sum of: asks the shop for their lines.
//!
//! What the shop answers goes into the log as if the shop had delivered it under the topic `refund`:
//! validate reads the same bytes, and nothing after it knows the difference.
//!
//! Nothing depends on the answer. Until it comes the sum counts, as in a store without access; so a
//! shop that does not answer delays a correction and no order.

mod rest;

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;

use self::rest::{Failure, Fetched, Rest};
pub use self::rest::{RestAccess, UrlError as RestUrlError};
use crate::{
    clock::Clock,
    domain::{
        digest::Digest,
        id::{OrderKey, Platform, RefundId, StoreId},
        order::Detail,
    },
    metric::{self, RefundFetch},
    stage::{
        RejectCode, Rejection, SkipReason,
        message::{Headers, Subject},
        refunds::Wanted,
    },
    store::Store,
    stream::{Effect, Fate, Outgoing, Publish, ServiceError, Sink},
};

/// The most orders that a shop is asked for at once.
pub const AT_ONCE: usize = 4;

/// The most messages in work for one shop: two batches, so that none waits here for longer than two
/// requests take. One that comes again while it is in work is asked for twice and published once.
pub const IN_FLIGHT: usize = 2 * AT_ONCE;

/// Asks one shop and publishes what it answers.
#[derive(Debug)]
pub struct RefundsSink<S, P> {
    store: Arc<S>,
    log: Arc<P>,
    clock: Clock,
    shop: StoreId,
    access: RestAccess,
    rest: Rest,
}

/// What became of one order.
enum Asked {
    /// These are to be published; empty if the shop knows none of the refunds any more.
    Answered(Vec<Outgoing>),
    /// Nothing had to be asked.
    Known,
    /// Asked in vain for too long, or for nothing that can be.
    GivenUp(String),
    /// Another time.
    Later(String),
}

impl<S: Store, P: Publish> RefundsSink<S, P> {
    /// A sink that asks `shop` and looks into `store` for what is known already.
    pub fn new(
        store: Arc<S>,
        log: Arc<P>,
        clock: Clock,
        shop: StoreId,
        access: RestAccess,
    ) -> Self {
        let rest = Rest::new(&access);
        Self { store, log, clock, shop, access, rest }
    }

    /// Asks for the refunds of an order that are not in `known`.
    async fn ask(&self, wanted: &Wanted, known: &BTreeSet<RefundId>) -> Asked {
        let missing: Vec<&RefundId> =
            wanted.refunds.iter().filter(|id| !known.contains(*id)).collect();
        if missing.is_empty() {
            return Asked::Known;
        }
        match self.rest.refunds(&wanted.key.order_id).await {
            Ok(refunds) => {
                let new = refunds.into_iter().filter(|refund| missing.contains(&&refund.id));
                Asked::Answered(new.map(|refund| self.delivery(refund)).collect())
            }
            Err(Failure::Refused(why)) => Asked::GivenUp(why),
            Err(Failure::Unavailable(why)) => {
                let since = self.clock.now().duration_since(wanted.received_at);
                let since = std::time::Duration::try_from(since).unwrap_or_default();
                if since > self.access.give_up_after {
                    Asked::GivenUp(why)
                } else {
                    Asked::Later(why)
                }
            }
        }
    }

    /// The refund as the edge would have taken it. The key is that of its bytes, as for a webhook.
    fn delivery(&self, refund: Fetched) -> Outgoing {
        let digest = Digest::of(&refund.body);
        let headers = Headers::default()
            .with(Headers::TOPIC, "refund")
            .with(Headers::RECEIVED_AT, &self.clock.now().as_microsecond().to_string())
            .with(Headers::DIGEST, &digest.to_string());
        Outgoing {
            subject: Subject::Ingest(Platform::WooCommerce, &self.shop).to_string(),
            id: format!("woo:{}:rest:refund:{digest}", self.shop),
            headers,
            payload: refund.body,
        }
    }

    fn count(&self, fetch: RefundFetch) {
        metric::refund_fetch(self.shop.as_str(), fetch);
    }

    fn fate(&self, asked: &Asked, wanted: &Wanted) -> Fate {
        match asked {
            Asked::Answered(published) if published.is_empty() => {
                self.count(RefundFetch::Missing);
                Fate::Skipped(SkipReason::NothingToFetch)
            }
            Asked::Answered(_) => {
                self.count(RefundFetch::Fetched);
                Fate::Delivered
            }
            Asked::Known | Asked::Later(_) => {
                self.count(RefundFetch::Known);
                Fate::Skipped(SkipReason::NothingToFetch)
            }
            Asked::GivenUp(why) => {
                self.count(RefundFetch::GivenUp);
                let message = format!(
                    "the refunds of order {} cannot be fetched, and their sums count: {why}; mend \
                     it and replay this letter",
                    wanted.key
                );
                Fate::Rejected(Rejection::new(RejectCode::Incomplete, "refunds", message))
            }
        }
    }
}

/// The refunds of an order that are known with their lines.
fn in_detail(
    booked: &std::collections::BTreeMap<OrderKey, crate::store::Booked>,
    key: &OrderKey,
) -> BTreeSet<RefundId> {
    let refunds = booked.get(key).into_iter().flat_map(|booked| booked.state.refunds.values());
    refunds.filter(|refund| refund.detail == Detail::Full).map(|refund| refund.id.clone()).collect()
}

impl<S: Store, P: Publish> Sink<Wanted> for RefundsSink<S, P> {
    /// What was answered is published even if another order of the batch comes again: then it is
    /// known.
    async fn deliver(&self, effects: &[Effect<Wanted>]) -> Result<Vec<Fate>, ServiceError> {
        let wanted: Vec<&Wanted> = effects.iter().map(|effect| &effect.value).collect();
        let keys: BTreeSet<OrderKey> = wanted.iter().map(|wanted| wanted.key.clone()).collect();
        let keys: Vec<OrderKey> = keys.into_iter().collect();
        let booked = self.store.load(&keys).await?;
        let known: Vec<_> = wanted.iter().map(|wanted| in_detail(&booked, &wanted.key)).collect();
        let asking = wanted.iter().zip(&known).map(|(wanted, known)| self.ask(wanted, known));
        let asked = join_all(asking).await;
        let mut messages = Vec::new();
        for asked in &asked {
            if let Asked::Answered(published) = asked {
                messages.extend(published.iter().cloned());
            }
        }
        self.log.publish_all(messages).await?;
        let mut later = None;
        for asked in &asked {
            if let Asked::Later(why) = asked {
                self.count(RefundFetch::Failed);
                later = Some(why);
            }
        }
        if let Some(why) = later {
            let source = format!("store {}: {why}", self.shop).into();
            return Err(ServiceError::Unavailable { service: "the shop's REST API", source });
        }
        Ok(asked.iter().zip(wanted).map(|(asked, wanted)| self.fate(asked, wanted)).collect())
    }
}
