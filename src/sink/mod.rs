//! The sinks: what makes the effect of each stage durable.
//!
//! | stage | sink |
//! |---|---|
//! | validate | hands facts about orders on, publishes those about articles and customers |
//! | map | joins the event into the order book, hands the revision on |
//! | catalogue | joins what shops say of their articles into the catalogue |
//! | customers | writes links, does what privacy requests ask |
//! | refunds | asks a shop for refunds that it told the sum of |
//! | commission | hands the calculation on |
//! | ledger | posts the difference |
//!
//! The warehouse is no stage: it follows the blocks of the ledger ([`Feed`]).
//!
//! To hand on is to publish, or to let the next stage go on at once ([`Fused`]).
//!
//! A sink that writes and then publishes can be cut off in between. The message then comes again,
//! marked as redelivered, and the sink publishes what it finds written: the effect is repeated, not
//! lost, and everything after it is idempotent.

mod catalogue;
mod customers;
mod forward;
mod ledger;
mod order_book;
mod publish;
mod refunds;
mod warehouse;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

pub use self::{
    catalogue::CatalogueSink,
    customers::CustomersSink,
    forward::{Fused, ToLog, Unless},
    ledger::LedgerSink,
    order_book::{OrderBookSink, StoreTerms},
    publish::{PublishEvents, PublishRuns},
    refunds::{
        AT_ONCE as REFUNDS_AT_ONCE, IN_FLIGHT as REFUNDS_IN_FLIGHT, RefundsSink, RestAccess,
        RestUrlError,
    },
    warehouse::{Feed, NAME as WAREHOUSE},
};
use crate::stage::{commission::CurrentCompany, map::Company};

/// The company as it is loaded now: readers take the whole of it, a writer replaces it.
#[derive(Debug, Clone, Default)]
pub struct CompanyCell(Arc<RwLock<Arc<Company>>>, Arc<AtomicBool>);

impl CompanyCell {
    /// A cell that holds this company.
    pub fn new(company: Company) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(company))), Arc::new(AtomicBool::new(true)))
    }

    /// Replaces the company; who holds the earlier one keeps it.
    pub fn replace(&self, company: Company) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(company);
        self.1.store(true, Ordering::Release);
    }

    /// Whether a company has been put in; before that the cell holds an empty one.
    pub fn is_loaded(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }
}

impl CurrentCompany for CompanyCell {
    fn current(&self) -> Arc<Company> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
