//! Keeps the company in memory up to date, and lets orders go on that waited for it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{
        digest::Digest,
        id::OrderKey,
        order::{Decision, Fact, OrderEvent, Origin},
    },
    metric,
    sink::CompanyCell,
    stage::{
        commission::CurrentCompany,
        map::Company,
        message::{Headers, Subject, Trace, Validated},
    },
    store::postgres::{CompanyReader, Versions},
    stream::{Outgoing, Publish, ServiceError},
};

/// How often the versions are looked at: one cheap query.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// How many orders are released at a time.
const RELEASE: i64 = 1_000;

/// Reports what is loaded.
pub(super) fn report(company: &Company) {
    metric::company(
        company.genealogy.len(),
        company.genealogy.version().seq,
        company.catalog.version(),
        company.rates.version(),
    );
}

fn versions(company: &Company) -> Versions {
    Versions {
        genealogy: company.genealogy.version().seq,
        catalog: company.catalog.version(),
        rates: company.rates.version(),
        links: 0,
        ranks: company.ranks.version().seq,
        plans: u64::try_from(company.plans.iter().count()).unwrap_or(u64::MAX),
    }
}

/// Watches the books for new distributors, SKU rows, exchange rates and plans.
pub(super) struct Keeper<P> {
    pub(super) reader: CompanyReader,
    pub(super) cell: CompanyCell,
    pub(super) log: Arc<P>,
    pub(super) clock: Clock,
}

impl<P: Publish> Keeper<P> {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut released = Versions::default();
        loop {
            if let Err(error) = self.look(&mut released).await {
                tracing::warn!(error = error.chain(), "the company cannot be read");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Loads what is new; when something is, releases the orders that waited for it.
    async fn look(&self, released: &mut Versions) -> Result<(), ServiceError> {
        let stored = self.reader.versions().await?;
        let company = self.cell.current();
        let loaded = |company: &Company| Versions { links: stored.links, ..versions(company) };
        if loaded(&company) != stored {
            let mut next = (*company).clone();
            self.reader.catch_up(&mut next).await?;
            report(&next);
            self.cell.replace(next);
        }
        let loaded = loaded(&self.cell.current());
        if *released != loaded {
            self.release(loaded).await?;
            *released = loaded;
        }
        metric::parked(self.reader.parked().await?);
        Ok(())
    }

    /// Asks the map stage to look again at orders that wait for something that is known now.
    async fn release(&self, loaded: Versions) -> Result<(), ServiceError> {
        let mut last = String::new();
        loop {
            let orders = self.reader.releasable(&last, RELEASE).await?;
            let Some((key, _)) = orders.last() else { return Ok(()) };
            last = key.to_string();
            let mut messages = Vec::with_capacity(orders.len());
            for (key, edition) in &orders {
                // With the edition: another process that has not heard of the news yet may have
                // parked the order again, and then it needs another look for the same reason.
                let reason = format!(
                    "{edition}:{}:{}:{}:{}",
                    loaded.genealogy, loaded.catalog, loaded.rates, loaded.links
                );
                messages.push(recheck(key, &reason, &self.clock)?);
            }
            tracing::info!(orders = orders.len(), "orders that waited go on");
            self.log.publish_all(messages).await?;
        }
    }
}

/// The message that asks to map an order again. `reason` is part of its deduplication key: one look
/// for each reason.
pub(crate) fn recheck(
    key: &OrderKey,
    reason: &str,
    clock: &Clock,
) -> Result<Outgoing, ServiceError> {
    let now = clock.now();
    let id = format!("recheck:{key}:{reason}");
    let origin = Origin {
        delivery: id.into(),
        topic: "recheck".into(),
        received_at: now,
        digest: Digest::ZERO,
    };
    event_message(&OrderEvent { key: key.clone(), origin, fact: Fact::Recheck })
}

/// What a person decided about an order, as an event of it.
pub(crate) fn decided(key: &OrderKey, decision: Decision) -> OrderEvent {
    let digest = decision.digest();
    let origin = Origin {
        delivery: format!("decision:{key}:{digest}").into(),
        topic: "decision".into(),
        received_at: decision.at,
        digest,
    };
    OrderEvent { key: key.clone(), origin, fact: Fact::Decision(decision) }
}

/// An event that no shop sent, on its way to the order book. Its delivery is the deduplication key.
pub(crate) fn event_message(event: &OrderEvent) -> Result<Outgoing, ServiceError> {
    let trace = Trace::start(event.origin.received_at);
    let message = Validated { event: event.clone(), trace };
    let payload = serde_json::to_vec(&message)
        .map_err(|error| ServiceError::Refused { service: "json", source: error.into() })?;
    Ok(Outgoing {
        subject: Subject::Valid(&event.key).to_string(),
        id: event.origin.delivery.to_string(),
        headers: Headers::default(),
        payload: payload.into(),
    })
}
