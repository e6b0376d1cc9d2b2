//! What the adapters share for articles: ids, titles, stock, and the event around a fact.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{
    RawEvent, origin, parse_id,
    wire::{Path, Raw},
};
use crate::{
    domain::{
        article::{ArticleEvent, ArticleFact, Entity, Gone},
        id::ArticleId,
    },
    stage::{RejectCode, Rejection},
};

/// The longest title that is kept, in characters.
const TITLE: usize = 200;

/// The event of a fact. Without a version of the platform the receipt time is the version.
pub(super) fn event(
    raw: &RawEvent<'_>,
    version: Option<Timestamp>,
    fact: ArticleFact,
) -> ArticleEvent {
    ArticleEvent {
        platform: raw.platform,
        store: raw.store.clone(),
        origin: origin(raw),
        at: version.unwrap_or(raw.received_at),
        fact,
    }
}

/// A deletion. Platforms give no version for it: it counts from its receipt.
pub(super) fn gone(raw: &RawEvent<'_>, what: Entity, id: ArticleId) -> ArticleEvent {
    event(raw, None, ArticleFact::Gone(Gone { what, id }))
}

/// An id that has to be there.
pub(super) fn id(raw: &Raw<'_>, at: Path<'_>, what: &str) -> Result<ArticleId, Rejection> {
    parse_id(raw, at, what, ArticleId::parse)
}

/// An id, if there is one.
pub(super) fn id_if_any(raw: &Raw<'_>) -> Option<ArticleId> {
    raw.id().and_then(|id| ArticleId::parse(id).ok())
}

/// A title for people: one line, cut to a bearable length.
pub(super) fn title(parts: &[&Raw<'_>]) -> Option<Box<str>> {
    let parts = parts.iter().filter_map(|part| part.text());
    // Shopify calls the only variant of a product so.
    let parts: Vec<&str> = parts.filter(|part| *part != "Default Title").collect();
    let text: String = parts
        .join(", ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TITLE)
        .collect();
    if text.is_empty() { None } else { Some(text.into()) }
}

/// Units in stock, if the shop counts them; may be below zero.
pub(super) fn stock(raw: &Raw<'_>, at: Path<'_>) -> Result<Option<Decimal>, Rejection> {
    let Some(units) = raw.decimal(at)? else { return Ok(None) };
    if units.abs() > Decimal::from(1_000_000_000_000_i64) {
        return Err(at.reject(RejectCode::Value, "the stock is above 1000000000000"));
    }
    Ok(Some(units.round_dp(6).normalize()))
}
