//! WooCommerce: webhooks of the REST API, and its orders and refunds as fetched.
//!
//! A body is the state at delivery, not at the event. Refunds are in it as sums only; their lines
//! are in resources of their own, which whoever fetches them delivers under the topic `refund`.

mod order;
mod product;
mod refund;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Found, Parsed, RawEvent, StorePolicy, body, order_id,
    wire::{Path, Raw},
};
use crate::{
    domain::order::Fact,
    stage::{Rejection, SkipReason},
};

/// The fields that tell what a body is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    data: Option<&'a RawValue>,
    id: Raw<'a>,
    amount: Raw<'a>,
    total: Raw<'a>,
    status: Raw<'a>,
    line_items: Option<&'a RawValue>,
}

impl Envelope<'_> {
    /// A refund has an `amount` and neither a `total` nor a `status`; an order has both.
    fn is_refund(&self) -> bool {
        !self.amount.is_nothing() && self.total == Raw::Absent && self.status == Raw::Absent
    }
}

/// Reads a WooCommerce delivery.
pub(super) fn parse(
    event: &RawEvent<'_>,
    topic: &str,
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    let (resource, name) = topic.split_once('.').unwrap_or((topic, ""));
    match resource {
        "order" | "refund" | "order_refund" | "" => {}
        "product" => return product::read(event, name).map(Parsed::Articles),
        // {action, arg}: a hook ran, and order.updated says what it changed.
        "action" => return Ok(Parsed::Skip(SkipReason::Notice)),
        "subscription" => return Ok(Parsed::Skip(SkipReason::NotAnOrder)),
        _ => return Ok(Parsed::Skip(SkipReason::IrrelevantTopic)),
    }
    let json = body::text(event.body)?;
    let root = Path::ROOT;
    let found = match body::elements(json)? {
        Some(list) => {
            let each = list.iter().enumerate();
            each.map(|(i, element)| one(element.get(), root.index(i), event, name, policy))
                .collect::<Result<_, _>>()?
        }
        None => vec![one(json, root, event, name, policy)?],
    };
    let found = found.into_iter().flat_map(|found| {
        // A restored order keeps its old time of change, so that it is restored is a fact of its own.
        let order = matches!(found.fact, Fact::Snapshot(_)).then(|| found.order.clone());
        let order = order.filter(|_| name == "restored");
        [Some(found), order.map(|order| Found { order, fact: Fact::Restored })]
    });
    Ok(Parsed::Facts(found.flatten().map(|found| found.into_event(event)).collect()))
}

fn one(
    json: &str,
    at: Path<'_>,
    event: &RawEvent<'_>,
    name: &str,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    let outer: Envelope<'_> = body::object(json, at)?;
    if outer.id.id().is_none() {
        body::refuse_error_object(json, at)?;
    }
    if let (Some(inner), None) = (outer.data, outer.id.id()) {
        // Proxies of the REST API put the resource under `data`; an error object has left already.
        let at = at.key("data");
        return plain(inner.get(), &body::object(inner.get(), at)?, at, event, name, policy);
    }
    plain(json, &outer, at, event, name, policy)
}

fn plain(
    json: &str,
    fields: &Envelope<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    name: &str,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    if fields.is_refund() {
        return refund::read(&body::object(json, at)?, at);
    }
    if name == "deleted" {
        return Ok(Found { order: order_id(&fields.id, at.key("id"))?, fact: Fact::Deleted });
    }
    for (missing, name) in [
        (fields.line_items.is_none(), "line_items"),
        (fields.total.is_nothing(), "total"),
        (fields.status.is_nothing(), "status"),
    ] {
        if missing && fields.id.id().is_some() {
            return Err(body::incomplete(at.key(name), name));
        }
    }
    order::read(&body::object(json, at)?, at, event, policy)
}
