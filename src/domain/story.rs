//! What became of each event of an order: its story, for whoever asks why.
//!
//! Invariant: a story holds no personal data of customers; it says status words, ids, amounts and
//! times, and who of the company decided what, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    id::OrderKey,
    money::Money,
    order::{Decision, Fact, Footing, OrderEvent, OrderState},
};

/// What an event made of its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The order has a new state, and commission follows it.
    Revision,
    /// The state held all of it already.
    NothingNew,
    /// The order has a new state and waits for something.
    Parked,
    /// It is kept until the order itself arrives.
    NoOrderYet,
    /// What the order waited for was looked for again.
    Recheck,
}

impl Effect {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revision => "revision",
            Self::NothingNew => "nothing_new",
            Self::Parked => "parked",
            Self::NoOrderYet => "no_order_yet",
            Self::Recheck => "recheck",
        }
    }
}

/// One event of an order and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// The order.
    pub key: OrderKey,
    /// The transport key of the delivery.
    pub delivery: Box<str>,
    /// The platform's topic.
    pub topic: Box<str>,
    /// When the edge had read the body.
    pub received_at: Timestamp,
    /// SHA-256 of the body.
    pub digest: Digest,
    /// `snapshot`, `refund:ID`, `chargeback:ID`, `deleted`, `restored`, `decision:SUBJECT` or `recheck`.
    pub fact: String,
    /// What it said, for people.
    pub said: String,
    /// The platform's version of what it said.
    pub version_at: Option<Timestamp>,
    /// What it made of the order.
    pub effect: Effect,
    /// Why, where there is more to say.
    pub reason: Option<String>,
    /// The revision of the order after it.
    pub revision: u64,
}

impl Chapter {
    /// What an event says, before it is known what becomes of it.
    pub fn of(event: &OrderEvent, revision: u64) -> Self {
        let (fact, said, version_at) = match &event.fact {
            Fact::Snapshot(snapshot) => {
                let status = snapshot.status.as_str();
                let mut said = match snapshot.refunds.as_ref().map_or(0, Vec::len) {
                    0 => format!("{status} ({})", snapshot.platform_status),
                    some => format!("{status} ({}), {some} refunds", snapshot.platform_status),
                };
                if !snapshot.footing.holds() {
                    let Footing { rows, header, .. } = snapshot.footing;
                    said += &format!(", rows of {rows} under a header of {header}");
                }
                ("snapshot".to_owned(), said, Some(snapshot.version.at))
            }
            Fact::Refund(refund) => {
                let net: Money = refund.lines.iter().map(|line| line.net).sum();
                let loose: Money = refund.loose.iter().map(|loose| loose.gross).sum();
                let said = format!("{net} of the lines, {loose} besides");
                (format!("refund:{}", refund.id), said, refund.at)
            }
            Fact::Chargeback(chargeback) => {
                let stage = chargeback.stage.as_str();
                let said = format!("{stage}, {} {}", chargeback.amount, chargeback.currency);
                (format!("chargeback:{}", chargeback.id), said, None)
            }
            Fact::Deleted => ("deleted".to_owned(), "deleted".to_owned(), None),
            Fact::Decision(decision) => {
                let Decision { by, why, verdict, .. } = decision;
                let said = format!("{verdict}, decided by {by}: {why}");
                (format!("decision:{}", verdict.subject()), said, Some(decision.at))
            }
            Fact::Restored => ("restored".to_owned(), "restored".to_owned(), None),
            Fact::Recheck => ("recheck".to_owned(), "look again".to_owned(), None),
        };
        let origin = &event.origin;
        Self {
            key: event.key.clone(),
            delivery: origin.delivery.clone(),
            topic: origin.topic.clone(),
            received_at: origin.received_at,
            digest: origin.digest,
            fact,
            said,
            version_at,
            effect: Effect::Recheck,
            reason: None,
            revision,
        }
    }
}

/// What became of an order with a batch of its events.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The effect on the order.
    pub effect: Effect,
    /// What it waits for, for people; empty if it waits for nothing.
    pub waits: &'a str,
    /// The revision after it.
    pub revision: u64,
}

/// The chapters of a batch of events, in their order. `known` is the state before them with its
/// revision.
pub fn tell(
    events: &[&OrderEvent],
    known: Option<(&OrderState, u64)>,
    outcome: Outcome<'_>,
) -> Vec<Chapter> {
    let before = known.map_or(0, |(_, revision)| revision);
    let mut exists = known.is_some();
    let mut state = known.map(|(state, _)| state.clone()).unwrap_or_default();
    let mut chapters = Vec::with_capacity(events.len());
    for event in events {
        let next = state.clone().join(OrderState::of((*event).clone()));
        let changed = next != state || !exists;
        let mut chapter = Chapter::of(event, outcome.revision);
        if event.fact == Fact::Recheck {
            chapter.reason = Some(match outcome.waits {
                "" => "it waits for nothing any more".to_owned(),
                waits => format!("it still waits for {waits}"),
            });
        } else if changed {
            chapter.effect = outcome.effect;
            chapter.reason = match outcome.waits {
                "" => None,
                waits => Some(format!("waits for {waits}")),
            };
        } else {
            chapter.effect = Effect::NothingNew;
            let revision = if chapters.is_empty() { before } else { outcome.revision };
            chapter.reason = Some(why_nothing(&event.fact, &state, revision));
        }
        chapters.push(chapter);
        (state, exists) = (next, true);
    }
    overtaken(events, &state, &mut chapters);
    chapters
}

/// Why an event said nothing new to a state.
fn why_nothing(fact: &Fact, state: &OrderState, revision: u64) -> String {
    match (fact, state.snapshot.as_deref()) {
        (Fact::Snapshot(told), Some(known)) if told.version.at < known.version.at => {
            format!("stale: revision {revision} has the younger version of {}", known.version.at)
        }
        (Fact::Snapshot(told), Some(known)) if told.version != known.version => format!(
            "stale: of two versions of {} revision {revision} has the one further on",
            known.version.at
        ),
        (Fact::Refund(_), _) => {
            format!("duplicate: revision {revision} knows the refund in this or more detail")
        }
        (Fact::Chargeback(_), _) => {
            format!("duplicate: revision {revision} knows the chargeback in this or a later stage")
        }
        (Fact::Decision(told), _) => match state.decisions.get(&told.verdict.subject()) {
            Some(known) if known != told => {
                format!("stale: revision {revision} has the later decision of {}", known.at)
            }
            Some(_) | None => format!("duplicate: revision {revision} knows it"),
        },
        (Fact::Snapshot(_) | Fact::Deleted | Fact::Restored | Fact::Recheck, _) => {
            format!("duplicate: revision {revision} knows it")
        }
    }
}

/// Marks states that a younger one of the same batch has overtaken: no revision of theirs exists.
fn overtaken(events: &[&OrderEvent], last: &OrderState, chapters: &mut [Chapter]) {
    let winner = last.snapshot.as_deref().map(|snapshot| snapshot.version);
    for (event, chapter) in events.iter().zip(chapters) {
        if let Fact::Snapshot(told) = &event.fact
            && chapter.effect != Effect::NothingNew
            && Some(told.version) != winner
        {
            chapter.reason = Some("overtaken: a younger version came with it".to_owned());
        }
    }
}
