//! The stages, each with its consumer and its sink; as a chain through the log, or fused.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{BuildError, CONSUMERS, Inside, refunds, stores_of, terms_of};
use crate::{
    domain::id::StoreId,
    sink::{
        CatalogueSink, CompanyCell, CustomersSink, Feed, Fused, LedgerSink, OrderBookSink,
        PublishEvents, PublishRuns, ToLog, Unless,
    },
    stage::{
        Stage,
        commission::Commission,
        ledger::{Catalogue, Customers, Ledger, Map},
        message::{Computed, Mapped, Validated},
        refunds::has_summaries,
        validate::Validate,
    },
    store::postgres::Postgres,
    stream::{
        Forward, Sink,
        jetstream::{JetStream, JetStreamInbox, StreamName},
        runner::{Limits, Runner},
    },
};

impl Inside {
    /// What the stages read from, each a durable consumer.
    pub(super) async fn inboxes(&self) -> Result<Vec<JetStreamInbox>, BuildError> {
        let mut inboxes = Vec::with_capacity(CONSUMERS.len());
        for (stream, name, filter) in CONSUMERS {
            inboxes.push(self.inbox(stream, name, filter).await?);
        }
        Ok(inboxes)
    }

    /// Starts the stages.
    pub(super) async fn spawn_stages(
        &self,
        inboxes: Vec<JetStreamInbox>,
        stop: &CancellationToken,
    ) -> Result<JoinSet<()>, BuildError> {
        let limits = self.config.pipelines.limits;
        let stage = limits.stage();
        let mut work = JoinSet::new();
        let Ok([raw, valid, articles, customers, mapped, run]) =
            <[JetStreamInbox; 6]>::try_from(inboxes)
        else {
            return Ok(work);
        };
        if limits.fused_lanes == 0 {
            let events = self.events(self.to_log());
            work.spawn(self.runner(self.validate(), events, raw, stage).run(stop.clone()));
        } else {
            drop(raw);
            for _ in 0..limits.fused_lanes {
                let (stream, name, filter) = CONSUMERS[0];
                let raw = self.inbox(stream, name, filter).await?;
                work.spawn(
                    self.runner(self.validate(), self.fused(), raw, stage).run(stop.clone()),
                );
            }
        }
        let book = self.book(self.to_log());
        work.spawn(self.runner(Map, book, valid, stage).run(stop.clone()));
        let catalogue = CatalogueSink::new(self.store.clone());
        work.spawn(self.runner(Catalogue, catalogue, articles, stage).run(stop.clone()));
        let links = CustomersSink::new(self.store.clone());
        work.spawn(self.runner(Customers, links, customers, stage).run(stop.clone()));
        let runs = self.runs(self.to_log());
        work.spawn(self.runner(self.commission(), runs, mapped, stage).run(stop.clone()));
        work.spawn(self.runner(Ledger, self.ledger(), run, stage).run(stop.clone()));
        let feed = Feed {
            store: self.store.clone(),
            warehouse: self.warehouse.clone(),
            recent: self.recent.clone(),
            clock: self.clock.clone(),
            linger: Duration::from_millis(limits.warehouse_linger_ms),
            entries: limits.warehouse_batch,
            limits: stage,
        };
        work.spawn(feed.run(stop.clone()));
        Ok(work)
    }

    async fn inbox(
        &self,
        stream: StreamName,
        name: &str,
        filter: &str,
    ) -> Result<JetStreamInbox, BuildError> {
        let limits = self.config.pipelines.limits;
        let wait = Duration::from_secs(limits.ack_wait_seconds);
        Ok(self.log.consumer(stream, name, filter, wait, limits.in_flight).await?)
    }

    fn to_log(&self) -> ToLog<JetStream> {
        ToLog::new(self.log.clone())
    }

    fn validate(&self) -> Validate {
        Validate::new(stores_of(&self.config))
    }

    fn commission(&self) -> Commission<CompanyCell> {
        Commission::new(self.company.clone())
    }

    fn events<F: Forward<Validated>>(&self, next: F) -> PublishEvents<JetStream, F> {
        PublishEvents::new(self.log.clone(), next, self.clock.clone())
    }

    fn book<F: Forward<Mapped>>(&self, next: F) -> OrderBookSink<Postgres, F> {
        OrderBookSink {
            store: Arc::clone(&self.store),
            next,
            company: self.company.clone(),
            terms: terms_of(&self.config),
            clock: self.clock.clone(),
        }
    }

    fn runs<F: Forward<Computed>>(&self, next: F) -> PublishRuns<F> {
        PublishRuns::new(next, self.clock.clone())
    }

    fn ledger(&self) -> LedgerSink<Postgres> {
        LedgerSink::new(self.store.clone(), self.recent.clone(), self.clock.clone())
    }

    /// What follows validate, as one: nothing goes through the log on its way into the books.
    fn fused(&self) -> impl Sink<<Validate as Stage>::Effect> + use<> {
        let ledger = Fused::new(Ledger, self.ledger());
        let commission = Fused::new(self.commission(), self.runs(ledger));
        let book = Fused::new(Map, self.book(commission));
        let asked: BTreeSet<StoreId> = refunds::asked(&self.config);
        let wanted = move |valid: &Validated| {
            asked.contains(&valid.event.key.store) && has_summaries(&valid.event)
        };
        self.events(Unless::new(wanted, book, self.to_log()))
    }

    pub(super) fn runner<S: Stage, K: Sink<S::Effect>>(
        &self,
        stage: S,
        sink: K,
        inbox: JetStreamInbox,
        limits: Limits,
    ) -> Runner<S, K, JetStreamInbox, JetStream> {
        let (dead, clock) = (self.log.clone(), self.clock.clone());
        Runner { stage, sink, inbox, dead, clock, limits }
    }
}
