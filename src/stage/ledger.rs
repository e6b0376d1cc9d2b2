//! The last stages decode only: what they write is decided by `domain::ledger` inside the store's
//! transaction, because it depends on what is posted.

use crate::domain::article::ArticleEvent;

use super::{
    Judge, Verdict,
    message::{Computed, Validated},
};
use crate::domain::customer::CustomerEvent;

/// Defines a stage whose verdict is its decoded message.
macro_rules! decoding_stage {
    ($(#[$doc:meta])* $name:ident, $label:literal, $message:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name;

        impl Judge for $name {
            const NAME: &'static str = $label;
            type Input = $message;
            type Effect = $message;

            fn judge(&self, input: $message) -> Verdict<$message> {
                Verdict::Emit(input)
            }
        }
    };
}

decoding_stage!(
    /// Joins order events into the order book and maps the state (`stage::map`).
    Map, "map", Validated
);
decoding_stage!(
    /// Keeps what shops say of customers: their links, and what the privacy laws give them.
    Customers, "customers", CustomerEvent
);
decoding_stage!(
    /// Keeps the catalogue of what the shops sell.
    Catalogue, "catalogue", ArticleEvent
);
decoding_stage!(
    /// Posts the difference between a run and the ledger.
    Ledger, "ledger", Computed
);
