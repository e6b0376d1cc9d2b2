//! Makes up the story of each order, and its truth.

use jiff::Timestamp;

use super::{
    Ending, after,
    sale::{Wish, sale},
    start,
};
use crate::cli::demo::{
    company::Distributor,
    oracle::{Behind, Earning},
    payload::{Marks, Moment, Phase, Row, Sale, Shop},
    rng::Rng,
};

/// How the bodies of an order are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As the shop does.
    Webhook,
    /// The short form of the API.
    Short,
    /// The canonical form of the API.
    Canonical,
    /// A body that is given: one of the named orders.
    Given {
        /// `short` or `canonical`.
        form: &'static str,
        /// The body.
        body: String,
    },
}

/// An order with its story and its truth.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// `platform/store/id`.
    pub(super) key: String,
    /// The sale.
    pub(super) sale: Sale,
    /// How it is written.
    pub(super) form: Form,
    /// What becomes of it, in the order in which it happened.
    pub(super) moments: Vec<Moment>,
    /// Whether the newest state arrives first.
    pub(super) backwards: bool,
    /// Whether it holds an article that nobody has mapped.
    pub(super) late: bool,
    /// How it ends.
    pub(super) ending: Ending,
    /// Paid and then wholly refunded, as Magento cancels.
    pub(super) closed: bool,
    /// The lines that earn if it ends well.
    pub(super) earning: Vec<Earning>,
    /// Who stands behind it.
    pub(super) behind: Behind,
}

impl Order {
    /// Turns it into an order that does not exist.
    pub(super) fn invent(&mut self, far: u64) {
        self.sale.id = self.sale.id.saturating_add(far);
        self.key = key(&self.sale, &self.form);
    }
}

/// The stories of `count` orders: the made-up ones, then the three named ones.
pub(super) fn stories(
    company: &[Distributor],
    count: usize,
    base: Timestamp,
    rng: &mut Rng,
) -> Vec<Order> {
    let made_up = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(3);
    let step = (7 * 86_400_u64).checked_div(made_up.max(1)).unwrap_or_default();
    let mut orders: Vec<Order> = (0..made_up)
        .map(|index| {
            let jitter = rng.below(step.max(1));
            let placed = after(start(base), index.saturating_mul(step).saturating_add(jitter));
            story(index, placed, company, rng)
        })
        .collect();
    orders.extend(super::named::orders(base));
    orders.truncate(count);
    orders
}

/// What is to become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plot {
    Plain,
    PaidLater,
    Shipped,
    Whole,
    NeverPaid,
    Cancelled,
    Draft,
    Test,
}

/// Shares per mille; drafts and tests only where the shop has them.
fn plot(shop: Shop, form: &Form, late: bool, rng: &mut Rng) -> Plot {
    let chance = rng.below(1000);
    match chance {
        0..40 if !late => Plot::Cancelled,
        40..70 if !late => Plot::NeverPaid,
        70..90 if !late && shop == Shop::WooCommerce => Plot::Draft,
        70..90 if !late && (shop == Shop::Shopify || *form == Form::Canonical) => Plot::Test,
        90..340 => Plot::PaidLater,
        340..480 => Plot::Shipped,
        480..600 => Plot::Whole,
        _ => Plot::Plain,
    }
}

fn story(index: u64, placed: Timestamp, company: &[Distributor], rng: &mut Rng) -> Order {
    use Shop::{Api, Magento, Shopify, WooCommerce};
    // Four, three, two and one of ten.
    const SHOPS: [Shop; 10] = [
        Shopify,
        WooCommerce,
        Shopify,
        Magento,
        Shopify,
        WooCommerce,
        Api,
        Shopify,
        Magento,
        WooCommerce,
    ];
    let place = usize::try_from(index.checked_rem(10).unwrap_or_default()).unwrap_or_default();
    let shop = SHOPS.get(place).copied().unwrap_or(Shopify);
    let form = match shop {
        Api if rng.per_mille(500) => Form::Short,
        Api => Form::Canonical,
        Shopify | WooCommerce | Magento => Form::Webhook,
    };
    // Of every hundred one, from each shop in turn.
    let late = index.checked_rem(100) == index.checked_div(100).and_then(|n| n.checked_rem(100));
    let plot = plot(shop, &form, late, rng);
    let (marks, behind) = attribution(shop, company, rng);
    let mut sale = sale(
        Wish {
            shop,
            index,
            placed,
            short: form == Form::Short,
            late,
            marks,
            test: plot == Plot::Test,
        },
        rng,
    );
    if let Behind::OwnPurchase(id) = &behind {
        sale.customer = id.parse().unwrap_or(sale.customer);
    }
    let moments = moments(plot, placed, rng);
    let closed = shop == Magento && plot == Plot::Cancelled;
    Order {
        key: key(&sale, &form),
        form,
        backwards: moments.len() > 1 && rng.per_mille(250),
        late,
        ending: match plot {
            Plot::NeverPaid => Ending::Unpaid,
            Plot::Cancelled if !closed => Ending::Cancelled,
            Plot::Draft => Ending::Draft,
            Plot::Test => Ending::Test,
            Plot::Plain | Plot::PaidLater | Plot::Shipped | Plot::Whole | Plot::Cancelled => {
                Ending::Paid
            }
        },
        closed,
        earning: sale.rows.iter().filter_map(|row| earning(&sale, row)).collect(),
        behind,
        moments,
        sale,
    }
}

fn earning(sale: &Sale, row: &Row) -> Option<Earning> {
    let class = row.kind.article()?.class;
    Some(Earning { class, net: sale.net(row).decimal() })
}

fn key(sale: &Sale, form: &Form) -> String {
    let shop = match (sale.shop, form) {
        (Shop::Shopify, _) => "shopify/acme-us",
        (Shop::WooCommerce, _) => "woocommerce/acme-eu",
        (Shop::Magento, _) => "magento/acme-mx",
        // The short form is about an order of Shopify, in the store that the token speaks for.
        (Shop::Api, Form::Short) => "shopify/api",
        (Shop::Api, _) => "api/api",
    };
    format!("{shop}/{}", sale.id)
}

/// The states of an order, each some time after the one before.
fn moments(plot: Plot, placed: Timestamp, rng: &mut Rng) -> Vec<Moment> {
    let phases: &[Phase] = match plot {
        Plot::Plain | Plot::Test => &[Phase::Paid],
        Plot::PaidLater => &[Phase::Unpaid, Phase::Paid],
        Plot::Shipped => &[Phase::Paid, Phase::Shipped],
        Plot::Whole => &[Phase::Unpaid, Phase::Paid, Phase::Shipped],
        Plot::NeverPaid => &[Phase::Unpaid],
        Plot::Cancelled if rng.per_mille(500) => &[Phase::Paid, Phase::Cancelled],
        Plot::Cancelled => &[Phase::Unpaid, Phase::Paid, Phase::Cancelled],
        Plot::Draft => &[Phase::Draft],
    };
    let (mut at, mut paid) = (placed, None);
    let mut moments = Vec::with_capacity(phases.len());
    for (index, phase) in phases.iter().enumerate() {
        at = match (index, phase) {
            (0, _) => after(at, 1),
            (_, Phase::Paid) => after(at, rng.between(45, 3_600)),
            _ => after(at, rng.between(1_800, 70_000)),
        };
        if *phase == Phase::Paid {
            paid = Some(at);
        }
        moments.push(Moment { phase: *phase, at, paid });
    }
    moments
}

/// Who referred an order, and where the shop noted it.
fn attribution(shop: Shop, company: &[Distributor], rng: &mut Rng) -> (Marks, Behind) {
    let mut marks = Marks::default();
    let mut somebody = || {
        let numbered = company.iter().filter(|row| row.id.bytes().all(|b| b.is_ascii_digit()));
        let ids: Vec<&str> = numbered.map(|row| row.id.as_str()).collect();
        rng.pick(&ids).map_or_else(|| "10001".to_owned(), |id| (*id).to_owned())
    };
    let (id, other) = (somebody(), somebody());
    let chance = rng.below(1000);
    if chance < 100 {
        return (marks, Behind::Nobody);
    }
    match shop {
        Shop::Shopify => match chance {
            100..350 => marks.note = Some(id.clone()),
            350..550 => marks.landing = Some(id.clone()),
            550..700 => marks.code = Some(format!("REF-{id}")),
            700..850 => marks.tags = Some(format!("newsletter, ref:{id}, wholesale")),
            850..930 => {
                // Two claim it: the attribute of the cart comes before the code.
                marks.note = Some(id.clone());
                marks.code = Some(format!("REF-{other}"));
            }
            _ => {
                // The first candidate is nobody, so the next one counts.
                marks.note = Some("SPRING-SALE".to_owned());
                marks.landing = Some(id.clone());
            }
        },
        Shop::WooCommerce | Shop::Magento => match chance {
            100..700 => marks.meta = Some(id.clone()),
            700..900 => marks.code = Some(format!("REF-{id}")),
            _ => {
                marks.meta = Some(id.clone());
                marks.code = Some(format!("REF-{other}"));
            }
        },
        Shop::Api if chance < 300 => return (marks, Behind::OwnPurchase(id)),
        Shop::Api if chance < 360 => {
            // Buyer and referrer are one: an own purchase all the same.
            marks.meta = Some(id.clone());
            return (marks, Behind::OwnPurchase(id));
        }
        Shop::Api => marks.meta = Some(id.clone()),
    }
    (marks, Behind::Referrer(id))
}
