//! The generations of a leadership override above the first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::money::Rate;

/// What leaders further up earn on a leg that broke away, by generation. Generation 1 is the override
/// itself; a guaranteed amount counts and moves what was received in generation 1 alone.
///
/// ```
/// let deeper: upline::domain::plan::close::Deeper = toml::from_str(r#"
///     rates = ["2 %", "1 %"]
///     leader = "broke_away"
/// "#).unwrap();
/// assert_eq!(deeper.rates.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deeper {
    /// The shares of the CV of the own group of the leg, from generation 2 on.
    pub rates: Vec<Rate>,
    /// Who holds a generation: always the next above the one who holds the generation before.
    pub leader: Leader,
}

/// Who holds a generation of an override above the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leader {
    /// Whoever may receive the override. Everybody else is passed over.
    Qualified,
    /// Whoever leads a leg that broke away. One who may not receive the override is passed over where
    /// `unqualified` says `roll_up`; else they hold the generation and the company keeps its money.
    BrokeAway,
}
