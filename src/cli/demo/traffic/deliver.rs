//! Writes the story of each order as deliveries: in order or not, once or more, right or forged.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Secrets, Shot, ShotKind, Timed, after,
    order::{Form, Order},
    send::{Envelope, Signed, ping},
};
use crate::cli::demo::{
    payload::{Moment, Phase, Sale, Shop, api, magento, shopify, woocommerce},
    rng::Rng,
};

/// Ids of forged orders are this far above all others.
const FORGED: u64 = 3_000_000_000;

/// A delivery, with what is needed to send it again.
struct Letter {
    at: Timestamp,
    envelope: Envelope,
    shot: Shot,
}

/// The deliveries in the making.
pub(super) struct Mailbag<'s> {
    secrets: &'s Secrets,
    rng: Rng,
    letters: Vec<Letter>,
    others: Vec<Timed>,
}

impl<'s> Mailbag<'s> {
    /// An empty one.
    pub(super) fn new(secrets: &'s Secrets, rng: Rng) -> Self {
        Self { secrets, rng, letters: Vec::new(), others: Vec::new() }
    }

    /// Every state of an order, and some of them under a second topic.
    pub(super) fn deliver(&mut self, order: &Order) {
        let newest = order.moments.last().map(|moment| moment.at);
        let mut before = None;
        for (place, moment) in order.moments.iter().enumerate() {
            let body = body(order, moment).into_bytes();
            let topic = topic(order, moment, before);
            before = Some(moment.phase);
            let stale = order.backwards && Some(moment.at) != newest;
            let lag = self.rng.between(1, 20);
            // What is stale arrives after the newest state, up to four hours late.
            let at = match newest {
                Some(newest) if stale => after(newest, lag.saturating_add(self.rng.below(14_400))),
                _ => after(moment.at, lag),
            };
            let kind = match moment.phase {
                _ if stale => ShotKind::Stale,
                _ if order.late => ShotKind::UnknownSku,
                Phase::Cancelled => ShotKind::Cancel,
                Phase::Draft | Phase::Unpaid | Phase::Paid | Phase::Shipped => ShotKind::Order,
            };
            let delivery = self.delivery(order, place);
            self.letter(order, topic, delivery, moment.at, at, body.clone(), kind);
            let again = order.sale.shop == Shop::Shopify && moment.phase == Phase::Paid;
            if again && self.rng.per_mille(150) {
                let delivery = Some(self.rng.uuid());
                let at = after(at, 1);
                self.letter(order, "orders/updated", delivery, moment.at, at, body, ShotKind::Echo);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a delivery is just that many independent facts")]
    fn letter(
        &mut self,
        order: &Order,
        topic: &'static str,
        delivery: Option<String>,
        triggered_at: Timestamp,
        at: Timestamp,
        body: Vec<u8>,
        kind: ShotKind,
    ) {
        let event = self.rng.uuid();
        let envelope = Envelope { shop: order.sale.shop, topic, delivery, event, triggered_at };
        let rotated = order.sale.shop == Shop::Shopify && self.rng.per_mille(300);
        let signed = if rotated { Signed::WithTheOldSecret } else { Signed::Rightly };
        let mut shot = envelope.shot(body, signed, self.secrets);
        shot.kind = kind;
        shot.order = Some(order.key.clone());
        self.letters.push(Letter { at, envelope, shot });
    }

    /// The id that the shop gives to a delivery.
    fn delivery(&mut self, order: &Order, place: usize) -> Option<String> {
        match order.sale.shop {
            Shop::Shopify => Some(self.rng.uuid()),
            Shop::WooCommerce => Some(self.rng.hex(32)),
            // Callers of the API may name a request; every second one does.
            Shop::Api if order.sale.id.is_multiple_of(2) => {
                Some(format!("{}-{place}", order.sale.id))
            }
            Shop::Magento | Shop::Api => None,
        }
    }

    /// Draft orders of Shopify: signed, and no orders. One for every hundred orders.
    pub(super) fn drafts(&mut self, story: &[Order]) {
        for order in story.iter().filter(|order| order.sale.shop == Shop::Shopify).step_by(40) {
            let Some(moment) = order.moments.first() else { continue };
            let mut sale = order.sale.clone();
            sale.id = sale.id.saturating_add(FORGED);
            let body = shopify::draft(&sale, moment).into_bytes();
            let (delivery, at) = (Some(self.rng.uuid()), after(moment.at, 30));
            let topic = "draft_orders/create";
            self.letter(order, topic, delivery, moment.at, at, body, ShotKind::NotAnOrder);
            if let Some(letter) = self.letters.last_mut() {
                letter.shot.order = None;
            }
        }
    }

    /// Forged requests, two for every hundred deliveries: orders that do not exist, and
    /// cancellations of orders that do. The keys of the former go to `forged`.
    pub(super) fn forgeries(&mut self, story: &[Order], forged: &mut BTreeSet<String>) {
        let count = self.letters.len().div_ceil(50);
        let real: Vec<&Order> = story
            .iter()
            .filter(|order| !matches!(order.form, Form::Given { .. }))
            .filter(|order| order.moments.iter().any(|moment| moment.paid.is_some()))
            .collect();
        for number in 0..count {
            let Some(order) = self.rng.pick(&real) else { return };
            let mut order = Order::clone(order);
            let Some(last) = order.moments.last().copied() else { continue };
            let at = after(last.at, self.rng.between(60, 4_000));
            let moment = if number % 2 == 0 {
                order.invent(FORGED);
                forged.insert(order.key.clone());
                Moment { phase: Phase::Paid, at, paid: Some(at) }
            } else {
                Moment { phase: Phase::Cancelled, at, ..last }
            };
            let signed = if self.rng.per_mille(300) { Signed::Not } else { Signed::Wrongly };
            let envelope = Envelope {
                shop: order.sale.shop,
                topic: topic(&order, &moment, None),
                delivery: self.delivery(&order, number),
                event: self.rng.uuid(),
                triggered_at: at,
            };
            let mut shot = envelope.shot(body(&order, &moment).into_bytes(), signed, self.secrets);
            shot.order = Some(order.key);
            self.others.push(Timed { at, shot });
        }
    }

    /// Sends one of ten deliveries again: as it was, or as a delivery of its own.
    pub(super) fn again(&mut self) {
        for letter in &self.letters {
            if letter.shot.kind == ShotKind::NotAnOrder || !self.rng.per_mille(100) {
                continue;
            }
            let at = after(letter.at, self.rng.between(1, 14_000));
            let other = match letter.envelope.shop {
                Shop::Shopify => self.rng.per_mille(400).then(|| self.rng.uuid()),
                Shop::Api if letter.envelope.delivery.is_some() => {
                    self.rng.per_mille(400).then(|| self.rng.uuid())
                }
                Shop::WooCommerce | Shop::Magento | Shop::Api => None,
            };
            let mut shot = match &other {
                Some(_) => {
                    let envelope = Envelope { delivery: other.clone(), ..letter.envelope.clone() };
                    envelope.shot(letter.shot.body.clone(), Signed::Rightly, self.secrets)
                }
                None => letter.shot.clone(),
            };
            shot.order.clone_from(&letter.shot.order);
            shot.kind = if other.is_some() { ShotKind::Resent } else { ShotKind::Duplicate };
            self.others.push(Timed { at, shot });
        }
    }

    /// The greetings of WooCommerce's webhooks, before anything else.
    pub(super) fn pings(&mut self, at: Timestamp) {
        self.others.extend([11, 12].map(|webhook| Timed { at, shot: ping(webhook) }));
    }

    /// All requests.
    pub(super) fn finish(self) -> Vec<Timed> {
        let letters = self.letters.into_iter().map(|Letter { at, shot, .. }| Timed { at, shot });
        letters.chain(self.others).collect()
    }
}

fn body(order: &Order, moment: &Moment) -> String {
    let sale: &Sale = &order.sale;
    match (&order.form, sale.shop) {
        (Form::Given { body, .. }, _) => body.clone(),
        (Form::Short, _) => api::short(sale, moment),
        (Form::Canonical, _) | (Form::Webhook, Shop::Api) => api::canonical(sale, moment),
        (Form::Webhook, Shop::Shopify) => shopify::order(sale, moment),
        (Form::Webhook, Shop::WooCommerce) => woocommerce::order(sale, moment),
        (Form::Webhook, Shop::Magento) => magento::order(sale, moment),
    }
}

/// What the shop calls the event that led to a state.
fn topic(order: &Order, moment: &Moment, before: Option<Phase>) -> &'static str {
    match (&order.form, order.sale.shop) {
        (Form::Given { form, .. }, _) => return form,
        (Form::Short, _) => return "short",
        (Form::Canonical, _) => return "canonical",
        (Form::Webhook, _) => {}
    }
    match (order.sale.shop, moment.phase, before) {
        (Shop::Shopify, Phase::Cancelled, _) => "orders/cancelled",
        (Shop::Shopify, _, None) => "orders/create",
        (Shop::Shopify, Phase::Paid, _) => "orders/paid",
        (Shop::Shopify, Phase::Shipped, _) => "orders/fulfilled",
        (Shop::Shopify, _, _) => "orders/updated",
        (Shop::WooCommerce, _, None) => "order.created",
        (Shop::WooCommerce, _, _) => "order.updated",
        (Shop::Magento, Phase::Paid, _) => "sales.order.paid",
        (Shop::Magento, _, None) => "sales.order.created",
        (Shop::Magento, _, _) => "sales.order.updated",
        (Shop::Api, _, _) => "canonical",
    }
}
