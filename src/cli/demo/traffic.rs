//! The traffic of the demo: signed requests of four shops, and what they must come to.
//!
//! The story of every order is made up first, with its truth; then it is written as deliveries:
//! some twice, some late, some forged. The truth does not depend on the order in which they
//! arrive, so the runner may send many at once.

mod deliver;
mod named;
mod order;
mod sale;
mod send;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{
    company::{self, Distributor},
    oracle::{self, Due},
    rng::Rng,
};

/// The secrets of the sample stores.
pub(crate) struct Secrets {
    /// `acme-us`: the secret in use.
    pub(crate) shopify: String,
    /// `acme-us`: the secret before the rotation; a part of the deliveries is still signed with it.
    pub(crate) shopify_old: String,
    /// `acme-eu`.
    pub(crate) woocommerce: String,
    /// `acme-mx`.
    pub(crate) magento: String,
    /// The bearer token of the store `api`.
    pub(crate) api: String,
}

impl Secrets {
    /// Secrets for a seed. They protect nothing but the demo.
    pub(crate) fn sample(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 2);
        Self {
            shopify: format!("shpss_{}", rng.hex(32)),
            shopify_old: format!("shpss_{}", rng.hex(32)),
            woocommerce: rng.hex(48),
            magento: rng.hex(40),
            api: format!("upl_{}", rng.hex(40)),
        }
    }

    /// The variables that `pipelines/sample.toml` names, with their values.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 5] {
        [
            ("UPLINE_ACME_US_SECRET", &self.shopify),
            ("UPLINE_ACME_US_SECRET_OLD", &self.shopify_old),
            ("UPLINE_ACME_EU_SECRET", &self.woocommerce),
            ("UPLINE_ACME_MX_SECRET", &self.magento),
            ("UPLINE_API_TOKEN", &self.api),
        ]
    }
}

/// The version of HTTP that a sender speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// WooCommerce.
    Http10,
    /// Everybody else.
    Http11,
}

/// What a request is in the story. What each of them must lead to is in [`Expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShotKind {
    /// A new state of an order.
    Order,
    /// The state of an order again, under another topic.
    Echo,
    /// The cancellation of an order.
    Cancel,
    /// An older state that arrives after a newer one.
    Stale,
    /// An order with an article that nobody has mapped yet.
    UnknownSku,
    /// A delivery sent again: the edge knows it by its transport key.
    Duplicate,
    /// The same body in a delivery of its own: the edge takes it, and nothing changes.
    Resent,
    /// Forged, tampered with or unsigned: refused, without effect.
    BadSignature,
    /// Signed, but not an order: a draft.
    NotAnOrder,
    /// The greeting of WooCommerce.
    Ping,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Shot {
    /// The method: `POST`.
    pub(crate) method: &'static str,
    /// The path at the ingest listener.
    pub(crate) path: String,
    /// The version of HTTP that the sender speaks.
    pub(crate) http: HttpVersion,
    /// The headers, without `Host` and `Content-Length`.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, exactly as it was signed.
    pub(crate) body: Vec<u8>,
    /// The status that the edge must answer.
    pub(crate) expect_status: u16,
    /// What it is in the story.
    pub(crate) kind: ShotKind,
    /// The order that it is about (`platform/store/id`), if it is about one.
    pub(crate) order: Option<String>,
    /// When the shop sends it, since the first request. The story takes days; who replays it as
    /// it was divides by a factor, who wants speed ignores it.
    pub(crate) at: Option<Duration>,
}

/// How an order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Paid: earns. A Magento order that was paid and then cancelled is closed, which is paid and
    /// wholly refunded.
    Paid,
    /// Never paid.
    Unpaid,
    /// Cancelled.
    Cancelled,
    /// Never an order.
    Draft,
    /// A test order.
    Test,
}

impl Ending {
    /// The status that the pipeline has for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Unpaid => "unpaid",
            Self::Cancelled => "cancelled",
            Self::Draft => "draft",
            Self::Test => "test",
        }
    }
}

/// What one order must come to when all is delivered and mapped.
#[derive(Debug, Clone)]
pub(crate) struct ExpectedOrder {
    /// The last status.
    pub(crate) status: Ending,
    /// ISO 4217 code.
    pub(crate) currency: &'static str,
    /// Net that earns, what is paid to whom, breakage. All zero unless it earns.
    pub(crate) due: Due,
    /// Whether it waits for the late SKU.
    pub(crate) parked: bool,
    /// Whether it was paid at some time and ends at zero. If its cancellation arrives first, the
    /// ledger never sees it earn.
    pub(crate) taken_back: bool,
}

/// Sums over orders in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many orders earn.
    pub(crate) orders: usize,
    /// The net that earns.
    pub(crate) net: Decimal,
    /// What distributors get.
    pub(crate) paid: Decimal,
    /// What the company keeps.
    pub(crate) breakage: Decimal,
    /// What each distributor gets.
    pub(crate) amounts: BTreeMap<String, Decimal>,
}

impl Totals {
    fn add(&mut self, due: &Due) {
        self.orders = self.orders.saturating_add(usize::from(!due.net.is_zero()));
        self.net = self.net.saturating_add(due.net);
        self.paid = self.paid.saturating_add(due.paid);
        self.breakage = self.breakage.saturating_add(due.breakage);
        for (id, amount) in &due.amounts {
            let known = self.amounts.entry(id.clone()).or_default();
            *known = known.saturating_add(*amount);
        }
    }
}

/// What the traffic must come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// The orders by key, `platform/store/id`. There must be no other.
    pub(crate) orders: BTreeMap<String, ExpectedOrder>,
    /// Keys of orders that only forged requests name: they must not exist.
    pub(crate) forged: BTreeSet<String>,
    /// How many requests there are of each kind; together all of them.
    pub(crate) shots: BTreeMap<ShotKind, usize>,
    /// Sums by currency once the late SKU is mapped.
    pub(crate) totals: BTreeMap<&'static str, Totals>,
    /// Sums by currency while the late SKU is not mapped.
    pub(crate) totals_before: BTreeMap<&'static str, Totals>,
}

impl Expected {
    /// How many requests are of a kind.
    pub(crate) fn count(&self, kind: ShotKind) -> usize {
        self.shots.get(&kind).copied().unwrap_or_default()
    }

    /// How many orders wait for the late SKU until it is mapped.
    pub(crate) fn parked(&self) -> usize {
        self.orders.values().filter(|order| order.parked).count()
    }

    fn add(&mut self, key: String, order: ExpectedOrder) {
        if order.due != Due::default() {
            self.totals.entry(order.currency).or_default().add(&order.due);
            if !order.parked {
                self.totals_before.entry(order.currency).or_default().add(&order.due);
            }
        }
        self.orders.insert(key, order);
    }
}

/// Requests and what they must come to.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// The requests in the order in which they are sent.
    pub(crate) shots: Vec<Shot>,
    /// What they must come to.
    pub(crate) expected: Expected,
}

/// A request with the time at which it is sent.
struct Timed {
    at: Timestamp,
    shot: Shot,
}

/// Makes up `orders` orders, the three named ones included, and all their deliveries. All of it
/// happens in the nine days before `base`; the company is that of the same seed and base.
pub(crate) fn plan(seed: u64, orders: usize, secrets: &Secrets, base: Timestamp) -> Traffic {
    let company = company::distributors(seed, base);
    let mut rng = Rng::new(seed, 3);
    let story = order::stories(&company, orders, base, &mut rng);
    let mut expected = expectations(&story, &company);
    let mut mail = deliver::Mailbag::new(secrets, rng);
    for order in &story {
        mail.deliver(order);
    }
    mail.drafts(&story);
    mail.forgeries(&story, &mut expected.forged);
    mail.again();
    mail.pings(start(base));
    let mut timed = mail.finish();
    timed.sort_by_key(|timed| timed.at);
    let first = timed.first().map(|timed| timed.at);
    let shots: Vec<Shot> = timed
        .into_iter()
        .map(|Timed { at, mut shot }| {
            let since = first.map(|first| at.duration_since(first));
            shot.at = since.and_then(|since| Duration::try_from(since).ok());
            shot
        })
        .collect();
    for shot in &shots {
        let count = expected.shots.entry(shot.kind).or_default();
        *count = count.saturating_add(1);
    }
    Traffic { shots, expected }
}

/// When the story begins.
fn start(base: Timestamp) -> Timestamp {
    before(base, 9 * 86_400)
}

fn before(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn after(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    at.checked_add(seconds).unwrap_or(at)
}

fn expectations(story: &[order::Order], company: &[Distributor]) -> Expected {
    let tree = company::tree(company);
    let mut expected = Expected::default();
    for order in story {
        let due = if order.ending == Ending::Paid && !order.closed {
            oracle::due(&order.earning, &order.behind, &tree)
        } else {
            Due::default()
        };
        let was_paid = order.moments.iter().any(|moment| moment.paid.is_some());
        let cancelled = order.closed || order.ending == Ending::Cancelled;
        let row = ExpectedOrder {
            status: order.ending,
            currency: order.sale.currency,
            due,
            parked: order.late,
            taken_back: was_paid && cancelled && order.behind != oracle::Behind::Nobody,
        };
        expected.add(order.key.clone(), row);
    }
    expected
}
