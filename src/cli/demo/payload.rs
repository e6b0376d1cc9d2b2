//! Bodies as the platforms really send them, for sales that are invented.
//!
//! A [`Sale`] knows its money in whole cents, so what each line is worth is known before any body
//! is written. Every body foots: its parts add up to its header, by the platform's own rules.

pub(crate) mod api;
pub(crate) mod cents;
mod json;
pub(crate) mod magento;
pub(crate) mod people;
pub(crate) mod shopify;
#[cfg(test)]
mod tests;
pub(crate) mod woocommerce;

use jiff::{
    Timestamp,
    tz::{self, TimeZone},
};

use self::{cents::Cents, people::Person};
use super::company::Article;

/// Where a sale was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shop {
    /// `acme-us`.
    Shopify,
    /// `acme-eu`.
    WooCommerce,
    /// `acme-mx`.
    Magento,
    /// The company's own systems.
    Api,
}

/// What a row sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An article.
    Goods(&'static Article),
    /// An article with options: in Magento a parent and a child row.
    Configurable(&'static Article),
    /// A gift card: earns nothing.
    GiftCard,
    /// A tip: earns nothing.
    Tip,
}

impl Kind {
    /// The article, if it is one.
    pub(crate) fn article(self) -> Option<&'static Article> {
        match self {
            Self::Goods(article) | Self::Configurable(article) => Some(article),
            Self::GiftCard | Self::Tip => None,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Goods(article) | Self::Configurable(article) => article.name,
            Self::GiftCard => "Gift Card",
            Self::Tip => "Tip",
        }
    }
}

/// One row of a sale.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The shop's id of the row.
    pub(crate) id: u64,
    /// What it sells.
    pub(crate) kind: Kind,
    /// Units.
    pub(crate) quantity: u64,
    /// The price of one unit.
    pub(crate) unit: Cents,
    /// What discounts take off the whole row.
    pub(crate) discount: Cents,
    /// The tax of the whole row: in the price or on top, as the sale says.
    pub(crate) tax: Cents,
}

impl Row {
    /// Before discounts.
    pub(crate) fn list(&self) -> Cents {
        self.unit.times(self.quantity)
    }

    /// After discounts.
    pub(crate) fn discounted(&self) -> Cents {
        self.list().minus(self.discount)
    }
}

/// Where on a sale the shop notes who referred it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// A cart attribute (Shopify).
    pub(crate) note: Option<String>,
    /// The parameter `ref` of the first page that the buyer saw (Shopify).
    pub(crate) landing: Option<String>,
    /// A discount or coupon code.
    pub(crate) code: Option<String>,
    /// Tags of the customer (Shopify).
    pub(crate) tags: Option<String>,
    /// Metadata of the order (WooCommerce, Magento); the referrer of the API forms.
    pub(crate) meta: Option<String>,
}

/// Another currency in which the buyer saw the amounts; it must not matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreign {
    /// ISO 4217 code.
    pub(crate) currency: &'static str,
    /// Hundredths of it for one unit of the shop's currency.
    pub(crate) rate: i64,
}

impl Foreign {
    /// An amount in the currency, to the nearest cent.
    pub(crate) fn of(self, amount: Cents) -> Cents {
        amount.share(self.rate, 100)
    }
}

/// A sale, as the shop sees it.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    /// Where.
    pub(crate) shop: Shop,
    /// The key of the order in its shop.
    pub(crate) id: u64,
    /// The number that the buyer sees.
    pub(crate) number: u64,
    /// The shop's currency.
    pub(crate) currency: &'static str,
    /// What the buyer saw, if it is another currency.
    pub(crate) foreign: Option<Foreign>,
    /// Whether the shop's prices hold the tax. Only Shopify's rows then state amounts with tax.
    pub(crate) prices_hold_tax: bool,
    /// The tax rate in basis points.
    pub(crate) tax_rate: i64,
    /// A test order.
    pub(crate) test: bool,
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// What shipping costs.
    pub(crate) shipping: Cents,
    /// The tax of shipping: in it or on top, as for the rows.
    pub(crate) shipping_tax: Cents,
    /// A fee (WooCommerce); below zero it is a discount that a plugin made.
    pub(crate) fee: Cents,
    /// A tip that stands in the header only (Shopify).
    pub(crate) tip: Cents,
    /// Who referred it, as far as the shop noted it.
    pub(crate) marks: Marks,
    /// The shop's id of the buyer.
    pub(crate) customer: u64,
    /// An invented person.
    pub(crate) person: &'static Person,
    /// When it was placed.
    pub(crate) placed: Timestamp,
    /// 32 hexadecimal digits, for the tokens of a body.
    pub(crate) token: String,
}

impl Sale {
    /// Whether the rows state amounts with tax.
    pub(crate) fn tax_in_rows(&self) -> bool {
        self.shop == Shop::Shopify && self.prices_hold_tax
    }

    /// The tax of rows and shipping.
    pub(crate) fn tax(&self) -> Cents {
        self.row_tax().plus(self.shipping_tax)
    }

    /// The tax of the rows.
    pub(crate) fn row_tax(&self) -> Cents {
        self.rows.iter().map(|row| row.tax).sum()
    }

    /// The rows before discounts, without those of tips.
    pub(crate) fn list(&self) -> Cents {
        self.goods().map(Row::list).sum()
    }

    /// What discounts take off.
    pub(crate) fn discount(&self) -> Cents {
        self.rows.iter().map(|row| row.discount).sum()
    }

    /// The rows after discounts, without those of tips.
    pub(crate) fn subtotal(&self) -> Cents {
        self.goods().map(Row::discounted).sum()
    }

    /// Tips, in the header or as rows.
    pub(crate) fn tips(&self) -> Cents {
        let rows = self.rows.iter().filter(|row| row.kind == Kind::Tip);
        rows.map(Row::list).sum::<Cents>().plus(self.tip)
    }

    /// What the buyer owes.
    pub(crate) fn total(&self) -> Cents {
        let tax = if self.tax_in_rows() { Cents::ZERO } else { self.tax() };
        self.subtotal().plus(self.tips()).plus(self.shipping).plus(self.fee).plus(tax)
    }

    /// What a row is worth to commission: after discounts, without tax; nothing for gift cards and
    /// tips. A fee below zero is a discount, and a sale with one has a single row.
    pub(crate) fn net(&self, row: &Row) -> Cents {
        if row.kind.article().is_none() {
            return Cents::ZERO;
        }
        let net = row.discounted();
        let net = if self.tax_in_rows() { net.minus(row.tax) } else { net };
        if self.fee.is_positive() { net } else { net.plus(self.fee) }
    }

    fn goods(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind != Kind::Tip)
    }
}

/// What has become of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not a sale yet.
    Draft,
    /// Placed, not paid.
    Unpaid,
    /// Paid.
    Paid,
    /// Paid, and changed in something that does not matter: shipped.
    Shipped,
    /// Paid, then cancelled.
    Cancelled,
}

/// What has become of a sale, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// What.
    pub(crate) phase: Phase,
    /// When: the time of the last change.
    pub(crate) at: Timestamp,
    /// When it was paid, if it was.
    pub(crate) paid: Option<Timestamp>,
}

/// A time with an offset, or without one: local to it.
fn local(at: Timestamp, hours: i8, format: &str) -> String {
    at.to_zoned(TimeZone::fixed(tz::offset(hours))).strftime(format).to_string()
}
