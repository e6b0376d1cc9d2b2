//! What shops say of customers.

use std::sync::Arc;

use crate::{
    domain::customer::{CustomerEvent, CustomerFact},
    store::postgres::{Postgres, customers::CustomerRow, import::ImportRow},
    stream::{Effect, Fate, ServiceError, Sink},
};

/// Writes the links of customers and does what privacy requests ask for. Both are idempotent: a link
/// that is in force already is not written again, and a request is done once for each delivery.
#[derive(Debug)]
pub struct CustomersSink {
    store: Arc<Postgres>,
}

impl CustomersSink {
    /// A sink that writes to these books.
    pub fn new(store: Arc<Postgres>) -> Self {
        Self { store }
    }
}

impl Sink<CustomerEvent> for CustomersSink {
    /// In the order of the log; the messages are few.
    async fn deliver(&self, effects: &[Effect<CustomerEvent>]) -> Result<Vec<Fate>, ServiceError> {
        for event in effects.iter().map(|effect| &effect.value) {
            if let Some(kind) = event.fact.privacy() {
                self.store.privacy(event, kind).await?;
            }
            if let CustomerFact::Links(links) = &event.fact {
                let row = |link| CustomerRow { row: 0, customer: event.customer.clone(), link };
                let rows: Vec<CustomerRow> = links.iter().cloned().map(row).collect();
                CustomerRow::write(&self.store, &rows).await?;
            }
        }
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}
