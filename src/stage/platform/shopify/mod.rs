//! Shopify: classic webhooks and REST bodies, which are the same objects.
//!
//! Every `orders/*` topic but `delete` and `edited` carries the whole order, with all its refunds.
//! Money is in the shop's currency: the fields without `_set`, or `_set.shop_money`.

mod dispute;
mod order;
mod product;
mod refund;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Found, Parsed, RawEvent, StorePolicy, body, order_id,
    wire::{Maybe, Path, Raw},
};
use crate::{
    domain::{money::Money, order::Fact},
    stage::{Rejection, SkipReason},
};

/// An amount in both currencies: the shop's and the buyer's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct MoneySet<'a> {
    shop_money: Maybe<Side<'a>>,
    presentment_money: Maybe<Side<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Side<'a> {
    amount: Raw<'a>,
    currency_code: Raw<'a>,
}

/// An optional [`MoneySet`].
pub(crate) type Set<'a> = Maybe<MoneySet<'a>>;

/// The amount in shop currency: the plain field, or its `_set`.
fn shop(plain: &Raw<'_>, set: &Set<'_>, at: Path<'_>) -> Result<Option<Money>, Rejection> {
    match plain.amount_if_any(at)? {
        Some(amount) => Ok(Some(amount)),
        None => shop_side(set, at),
    }
}

/// The shop's side of a `_set`.
fn shop_side(set: &Set<'_>, at: Path<'_>) -> Result<Option<Money>, Rejection> {
    match set.get().and_then(|set| set.shop_money.get()) {
        Some(side) => side.amount.amount_if_any(at.key("shop_money").key("amount")),
        None => Ok(None),
    }
}

/// The buyer's side of a `_set`.
fn presentment_side(set: &Set<'_>, at: Path<'_>) -> Result<Option<Money>, Rejection> {
    match set.get().and_then(|set| set.presentment_money.get()) {
        Some(side) => side.amount.amount_if_any(at.key("presentment_money").key("amount")),
        None => Ok(None),
    }
}

/// The shop's currency by a `_set`.
fn shop_code<'s>(set: &'s Set<'_>) -> Option<&'s str> {
    set.get()?.shop_money.get()?.currency_code.word()
}

/// What can stand around a resource, and what tells an id from a whole resource.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    order: Option<&'a RawValue>,
    orders: Option<&'a RawValue>,
    refund: Option<&'a RawValue>,
    refunds: Option<&'a RawValue>,
    order_edit: Option<&'a RawValue>,
    id: Raw<'a>,
    admin_graphql_api_id: Raw<'a>,
    line_items: Option<&'a RawValue>,
    refund_line_items: Option<&'a RawValue>,
}

/// What a topic is about.
enum Topic {
    Order,
    Deletion,
    Refund,
    Dispute,
    Skip(SkipReason),
}

impl Topic {
    /// Topics are `orders/paid`; `EventBridge` and GraphQL write `ORDERS_PAID`.
    fn of(topic: &str) -> Self {
        let resources = ["draft_orders", "order_transactions", "orders", "refunds", "disputes"];
        let resource = resources.into_iter().find_map(|resource| {
            let rest = topic.strip_prefix(resource)?;
            rest.strip_prefix(['/', '_']).map(|event| (resource, event))
        });
        match resource {
            Some(("orders", "delete")) => Self::Deletion,
            // An edit has only deltas of lines, and a payment changes the order: the orders/updated
            // or orders/paid that follows says how.
            Some(("orders", "edited") | ("order_transactions", _)) => {
                Self::Skip(SkipReason::Notice)
            }
            Some(("orders", _)) => Self::Order,
            Some(("refunds", _)) => Self::Refund,
            Some(("disputes", _)) => Self::Dispute,
            Some(("draft_orders", _)) => Self::Skip(SkipReason::NotAnOrder),
            _ if topic.starts_with("checkouts") || topic.starts_with("carts") => {
                Self::Skip(SkipReason::NotAnOrder)
            }
            _ => Self::Skip(SkipReason::IrrelevantTopic),
        }
    }
}

/// Reads a Shopify delivery.
pub(super) fn parse(
    event: &RawEvent<'_>,
    topic: &str,
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    if let Some(topic) = product::Topic::of(topic) {
        return product::read(event, topic).map(Parsed::Articles);
    }
    let topic = match Topic::of(topic) {
        Topic::Skip(reason) => return Ok(Parsed::Skip(reason)),
        topic @ (Topic::Order | Topic::Deletion | Topic::Refund | Topic::Dispute) => topic,
    };
    let json = body::text(event.body)?;
    let root = Path::ROOT;
    let outer: Envelope<'_> = body::object(json, root)?;
    if outer.id.id().is_none() {
        body::refuse_error_object(json, root)?;
    }
    let found = match (&topic, &outer) {
        (Topic::Order, Envelope { order_edit: Some(_), .. }) => {
            return Ok(Parsed::Skip(SkipReason::Notice));
        }
        (Topic::Deletion, outer) => vec![deletion(outer, root)?],
        (Topic::Dispute, _) => vec![dispute::read(&body::object(json, root)?, root)?],
        (Topic::Order, Envelope { order: Some(inner), line_items: None, .. }) => {
            vec![one_order(inner.get(), root.key("order"), event, policy)?]
        }
        (Topic::Order, Envelope { orders: Some(list), line_items: None, .. }) => {
            let at = root.key("orders");
            let orders: Vec<&RawValue> = body::value(list.get(), at)?;
            let orders = orders.iter().enumerate();
            orders
                .map(|(i, order)| one_order(order.get(), at.index(i), event, policy))
                .collect::<Result<_, _>>()?
        }
        (Topic::Refund, Envelope { refund: Some(inner), refund_line_items: None, .. }) => {
            vec![one_refund(inner.get(), root.key("refund"))?]
        }
        (Topic::Refund, Envelope { refunds: Some(list), refund_line_items: None, .. }) => {
            let at = root.key("refunds");
            let refunds: Vec<&RawValue> = body::value(list.get(), at)?;
            let refunds = refunds.iter().enumerate();
            refunds
                .map(|(i, refund)| one_refund(refund.get(), at.index(i)))
                .collect::<Result<_, _>>()?
        }
        (Topic::Refund, _) => vec![one_refund(json, root)?],
        (Topic::Order | Topic::Skip(_), _) => vec![one_order(json, root, event, policy)?],
    };
    Ok(Parsed::Facts(found.into_iter().map(|found| found.into_event(event)).collect()))
}

/// A deletion may carry more than the id, or the order in its envelope: the id is what counts.
fn deletion(outer: &Envelope<'_>, root: Path<'_>) -> Result<Found, Rejection> {
    if let (Some(inner), None) = (outer.order, outer.id.id()) {
        let at = root.key("order");
        return deletion(&body::object(inner.get(), at)?, at);
    }
    let id = if outer.id.id().is_some() { &outer.id } else { &outer.admin_graphql_api_id };
    Ok(Found { order: order_id(id, root.key("id"))?, fact: Fact::Deleted })
}

fn one_order(
    json: &str,
    at: Path<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    order::read(&body::object(json, at)?, at, event, policy)
}

fn one_refund(json: &str, at: Path<'_>) -> Result<Found, Rejection> {
    let refund: refund::WireRefund<'_> = body::object(json, at)?;
    if refund.is_stub() {
        return Err(body::incomplete(at.key("refund_line_items"), "refund_line_items"));
    }
    let order = order_id(&refund.order_id, at.key("order_id"))?;
    let fact = Fact::Refund(refund::read(&refund, at, &refund::Context::alone())?);
    Ok(Found { order, fact })
}
