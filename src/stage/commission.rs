//! Commission: an order revision to the lines that it should have produced.

use std::sync::Arc;

use super::{
    DeferReason, Judge, Verdict,
    map::Company,
    message::{Computed, Mapped},
};
use crate::domain::commission::run;

/// Where a stage finds the company as it is loaded now.
pub trait CurrentCompany: Send + Sync + 'static {
    /// The company, immutable: a later one replaces it, it never changes.
    fn current(&self) -> Arc<Company>;
}

/// The stage.
#[derive(Debug, Clone)]
pub struct Commission<C> {
    company: C,
}

impl<C: CurrentCompany> Commission<C> {
    /// A stage over what `company` has loaded.
    pub fn new(company: C) -> Self {
        Self { company }
    }
}

impl<C: CurrentCompany> Judge for Commission<C> {
    const NAME: &'static str = "commission";
    type Input = Mapped;
    type Effect = Computed;

    fn judge(&self, Mapped { order, trace }: Mapped) -> Verdict<Computed> {
        let company = self.company.current();
        let Some(plan) = company.plans.get(&order.locks.plan) else {
            return Verdict::Defer(DeferReason::VersionNotLoaded);
        };
        let ranks = company.ranks.of(&plan.reference.id);
        match run(order, &company.genealogy, ranks, plan) {
            Ok(run) => Verdict::Emit(Computed { run, trace }),
            Err(_not_loaded) => Verdict::Defer(DeferReason::VersionNotLoaded),
        }
    }
}
