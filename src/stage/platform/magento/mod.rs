//! Magento 2 and Adobe Commerce: the REST order, in whatever a module or Adobe I/O wraps it.
//!
//! A request has no reliable event name, so the body's shape decides what it is and the topic only
//! what to ignore. Money is in the base currency (`base_*`), which does not move with the buyer's.

mod items;
mod memo;
mod order;
mod product;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Found, Parsed, RawEvent, StorePolicy, body,
    wire::{Path, Raw, bounded},
};
use crate::{
    domain::money::{Currency, Money},
    stage::{Rejection, SkipReason},
};

/// What can stand around a resource, and what tells one resource from another.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Envelope<'a> {
    /// Adobe I/O: `{"event": {"data": {"value": {...}}}}`.
    event: Option<&'a RawValue>,
    /// mage-os async events and `CloudEvents`: `{"data": {...}}`.
    data: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    /// Modules that send several resources at once: `{"order": {...}, "creditmemo": {...}}`.
    order: Option<&'a RawValue>,
    creditmemo: Option<&'a RawValue>,
    entity: Option<&'a RawValue>,
    invoice: Option<&'a RawValue>,
    shipment: Option<&'a RawValue>,
    /// Of an order its rows; of a search its results.
    items: Option<&'a RawValue>,
    entity_id: Raw<'a>,
    id: Raw<'a>,
    increment_id: Raw<'a>,
    order_id: Raw<'a>,
    grand_total: Raw<'a>,
    base_grand_total: Raw<'a>,
    state: Raw<'a>,
    status: Raw<'a>,
    invoice_id: Raw<'a>,
    creditmemo_status: Raw<'a>,
    adjustment: Raw<'a>,
    adjustment_positive: Raw<'a>,
    base_adjustment: Raw<'a>,
    base_adjustment_positive: Raw<'a>,
    type_id: Raw<'a>,
    quote_id: Raw<'a>,
    protect_code: Raw<'a>,
    total_qty_ordered: Raw<'a>,
}

/// What a body, without its envelopes, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Order,
    CreditMemo,
    /// An invoice or a shipment: what it means stands in the order.
    Notice,
    /// A product, a customer: nothing that concerns orders.
    Other,
}

impl Envelope<'_> {
    fn is_resource(&self) -> bool {
        self.entity_id.id().is_some()
            || self.increment_id.text().is_some()
            || self.order_id.id().is_some()
    }

    fn resource(&self, topic: &str) -> Resource {
        // Modules add the key of an order as its `order_id`; these fields only orders have.
        let ordered = [&self.quote_id, &self.protect_code, &self.total_qty_ordered];
        if self.has_totals() && ordered.iter().any(|field| field.text().is_some()) {
            return Resource::Order;
        }
        if self.order_id.id().is_none() {
            let order = self.has_totals() || self.state.text().is_some() || topic.contains("order");
            let product = !self.type_id.is_nothing() && !self.has_totals();
            return if order && !product { Resource::Order } else { Resource::Other };
        }
        // Orders do not refer to an order; what does is a document of one.
        let memo = [
            &self.invoice_id,
            &self.creditmemo_status,
            &self.adjustment,
            &self.adjustment_positive,
            &self.base_adjustment,
            &self.base_adjustment_positive,
        ];
        let looks = memo.iter().any(|field| **field != Raw::Absent);
        if is_memo(topic) || (looks && !topic.contains("invoice")) {
            Resource::CreditMemo
        } else {
            Resource::Notice
        }
    }

    fn has_totals(&self) -> bool {
        !self.grand_total.is_nothing() || !self.base_grand_total.is_nothing()
    }
}

fn is_memo(topic: &str) -> bool {
    topic.contains("creditmemo") || topic.contains("credit_memo") || topic.contains("refund")
}

/// Topics that cannot concern commission. A topic that names an order, an invoice or a credit memo
/// is looked at, whatever else it names; so is one that is empty or says nothing.
fn ignored(topic: &str) -> Option<SkipReason> {
    let names = |words: &[&str]| words.iter().any(|word| topic.contains(word));
    if names(&["quote", "wishlist"]) || (names(&["cart"]) && !names(&["order"])) {
        return Some(SkipReason::NotAnOrder);
    }
    if names(&[
        "order_address",
        "order_payment",
        "order_status_history",
        "order_grid",
        "order_tax",
        "order_item",
    ]) {
        return Some(SkipReason::IrrelevantTopic);
    }
    if names(&["order", "invoice", "sales"]) || is_memo(topic) {
        return None;
    }
    if names(&["shipment"]) {
        return Some(SkipReason::Notice);
    }
    let others = ["catalog", "product", "category", "customer", "stock", "inventory", "newsletter"];
    if names(&others) { Some(SkipReason::IrrelevantTopic) } else { None }
}

/// Envelopes nest: a `CloudEvent` around Adobe's event around the value.
const MAX_ENVELOPES: usize = 6;

/// Reads a Magento delivery.
pub(super) fn parse(
    event: &RawEvent<'_>,
    topic: &str,
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    if let Some(topic) = product::Topic::of(topic) {
        return product::read(event, topic).map(Parsed::Articles);
    }
    if let Some(reason) = ignored(topic) {
        return Ok(Parsed::Skip(reason));
    }
    let json = body::text(event.body)?;
    let reader = Reader { event, topic, policy };
    let mut found = Vec::new();
    let skipped = reader.any(json, Path::ROOT, MAX_ENVELOPES, &mut found)?;
    if found.is_empty() {
        return Ok(Parsed::Skip(skipped.unwrap_or(SkipReason::NothingNew)));
    }
    Ok(Parsed::Facts(found.into_iter().map(|found| found.into_event(event)).collect()))
}

struct Reader<'r> {
    event: &'r RawEvent<'r>,
    topic: &'r str,
    policy: &'r StorePolicy,
}

impl Reader<'_> {
    /// Takes off envelopes until there is a resource, or several. Gives the reason if nothing in
    /// there is a fact.
    fn any(
        &self,
        json: &str,
        at: Path<'_>,
        depth: usize,
        found: &mut Vec<Found>,
    ) -> Result<Option<SkipReason>, Rejection> {
        if json.starts_with('[') {
            return self.each(json, at, depth, found);
        }
        let outer: Envelope<'_> = body::object(json, at)?;
        if !outer.is_resource() && depth > 0 {
            let depth = depth.saturating_sub(1);
            let inner = [
                ("event", outer.event),
                ("data", outer.data),
                ("value", outer.value),
                ("entity", outer.entity),
            ];
            if is_object(outer.order) || is_object(outer.creditmemo) {
                return self.several(&outer, at, found);
            }
            for (name, inner) in inner {
                if let Some(inner) = inner.filter(|inner| inner.get().starts_with(['{', '['])) {
                    return self.any(inner.get(), at.key(name), depth, found);
                }
            }
            if let (Some(items), false) = (outer.items, outer.has_totals()) {
                return self.each(items.get(), at.key("items"), depth, found);
            }
            if outer.invoice.is_some() || outer.shipment.is_some() {
                return Ok(Some(SkipReason::Notice));
            }
        }
        if !outer.is_resource() {
            body::refuse_error_object(json, at)?;
        }
        self.resource(json, &outer, at, found)
    }

    /// A list of resources: of a search, or of a batch.
    fn each(
        &self,
        json: &str,
        at: Path<'_>,
        depth: usize,
        found: &mut Vec<Found>,
    ) -> Result<Option<SkipReason>, Rejection> {
        let list: Vec<&RawValue> = body::value(json, at)?;
        let mut skipped = None;
        for (i, element) in list.iter().enumerate() {
            let depth = depth.saturating_sub(1);
            if element.get().starts_with('[') {
                let message = "expected an object";
                return Err(at.index(i).reject(crate::stage::RejectCode::Shape, message));
            }
            skipped = self.any(element.get(), at.index(i), depth, found)?.or(skipped);
        }
        Ok(skipped)
    }

    /// A body that holds an order and perhaps one of its documents. An invoice or shipment beside
    /// it says nothing that the order does not.
    fn several(
        &self,
        outer: &Envelope<'_>,
        at: Path<'_>,
        found: &mut Vec<Found>,
    ) -> Result<Option<SkipReason>, Rejection> {
        if let Some(order) = outer.order.filter(|order| is_object(Some(order))) {
            let at = at.key("order");
            found.push(self.order(order.get(), &body::object(order.get(), at)?, at)?);
        }
        if let Some(memo) = outer.creditmemo.filter(|memo| is_object(Some(memo))) {
            let rate = match outer.order.filter(|order| is_object(Some(order))) {
                Some(order) => Some(order::rate(order.get(), at.key("order"))?),
                None => None,
            };
            return memo_into(memo.get(), at.key("creditmemo"), rate, found);
        }
        Ok(None)
    }

    fn resource(
        &self,
        json: &str,
        fields: &Envelope<'_>,
        at: Path<'_>,
        found: &mut Vec<Found>,
    ) -> Result<Option<SkipReason>, Rejection> {
        match fields.resource(self.topic) {
            Resource::Order => {
                found.push(self.order(json, fields, at)?);
                Ok(None)
            }
            Resource::CreditMemo => memo_into(json, at, None, found),
            Resource::Notice => Ok(Some(SkipReason::Notice)),
            Resource::Other => Ok(Some(SkipReason::IrrelevantTopic)),
        }
    }

    /// Where the merchant chooses the fields of an event, the money may be left out.
    fn order(&self, json: &str, fields: &Envelope<'_>, at: Path<'_>) -> Result<Found, Rejection> {
        for (missing, name) in [
            (fields.entity_id.id().is_none() && fields.id.id().is_none(), "entity_id"),
            (fields.items.is_none(), "items"),
            (!fields.has_totals(), "base_grand_total"),
            (fields.state.text().is_none() && fields.status.text().is_none(), "state"),
        ] {
            if missing {
                return Err(body::incomplete(at.key(name), name));
            }
        }
        order::read(&body::object(json, at)?, at, self.event, self.policy)
    }
}

/// Whether an object stands there; PHP writes an empty one as `[]`.
fn is_object(value: Option<&RawValue>) -> bool {
    value.is_some_and(|value| value.get().starts_with('{') && value.get() != "{}")
}

fn memo_into(
    json: &str,
    at: Path<'_>,
    rate: Option<Rate>,
    found: &mut Vec<Found>,
) -> Result<Option<SkipReason>, Rejection> {
    match memo::read(&body::object(json, at)?, at, rate)? {
        memo::Memo::Refund(refund) => {
            found.push(refund);
            Ok(None)
        }
        memo::Memo::Skip(reason) => Ok(Some(reason)),
    }
}

/// How amounts of a document become amounts in the base currency where the `base_*` field is
/// missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// The base currency, or the only one that the document names.
    currency: Currency,
    /// Order currency for one unit of base currency; `None` if it is not known.
    base_to_order: Option<Decimal>,
}

impl Rate {
    /// By the fields that orders, invoices and credit memos share.
    fn of(
        base: &Raw<'_>,
        order: &Raw<'_>,
        rate: &Raw<'_>,
        at: Path<'_>,
    ) -> Result<Self, Rejection> {
        let base_code = base.currency(at.key("base_currency_code"))?;
        let order_code = order.currency(at.key("order_currency_code"))?;
        let Some(currency) = base_code.or(order_code) else {
            return Err(body::incomplete(at.key("base_currency_code"), "base_currency_code"));
        };
        let same = order_code.is_none_or(|code| code == currency);
        let stated = rate.decimal(at.key("base_to_order_rate")).unwrap_or_default();
        let stated = stated.filter(|rate| *rate > Decimal::ZERO);
        Ok(Self { currency, base_to_order: if same { Some(Decimal::ONE) } else { stated } })
    }

    /// The amount in base currency, if there is one: as stated, or from the order currency.
    fn base_if_any(
        &self,
        base: &Raw<'_>,
        plain: &Raw<'_>,
        at: Path<'_>,
        name: &str,
    ) -> Result<Option<Money>, Rejection> {
        let base_name = format!("base_{name}");
        if let Some(amount) = base.amount_if_any(at.key(&base_name))? {
            return Ok(Some(amount));
        }
        let Some(amount) = plain.amount_if_any(at.key(name))? else { return Ok(None) };
        if amount.is_zero() {
            return Ok(Some(amount));
        }
        let Some(rate) = self.base_to_order else {
            return Err(body::incomplete(at.key(&base_name), &base_name));
        };
        let value = amount.as_decimal().checked_div(rate).unwrap_or_default();
        if rate == Decimal::ONE {
            return Ok(Some(amount));
        }
        let value = value.round_dp(self.currency.minor_digits());
        bounded(value, at.key(name)).map(Some)
    }

    /// The amount in base currency, or nothing.
    fn base(
        &self,
        base: &Raw<'_>,
        plain: &Raw<'_>,
        at: Path<'_>,
        name: &str,
    ) -> Result<Money, Rejection> {
        Ok(self.base_if_any(base, plain, at, name)?.unwrap_or_default())
    }
}
