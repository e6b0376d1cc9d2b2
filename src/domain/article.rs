//! What the shops sell: products, their variants and their stock, as the platforms name them.
//!
//! Invariant: the facts are joined like those of orders: of two versions of one thing the newer one
//! wins, whatever the order of arrival, so repeated and late messages change nothing.
//!
//! Invariant: a title is for people. Nothing maps by it; what maps is the SKU or the variant id.
//!
//! Stock has versions of its own: a shop reports a sale of stock without touching the product.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    id::{ArticleId, Platform, Sku, StoreId, partition},
    order::Origin,
};

/// What one message says about articles of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArticleEvent {
    /// The platform.
    pub platform: Platform,
    /// The shop.
    pub store: StoreId,
    /// Where the message came from.
    pub origin: Origin,
    /// The version: the platform's time of the change, or of receipt where it states none. The
    /// digest of the body decides between two of one instant.
    pub at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub fact: ArticleFact,
}

/// One fact about articles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum ArticleFact {
    /// A product with the variants that the message holds.
    Product(Product),
    /// Something was deleted.
    Gone(Gone),
    /// The stock of one thing in one place.
    Stock(StockLevel),
    /// What is kept in stock, with its SKU.
    Item(Item),
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The platform's id.
    pub id: ArticleId,
    /// The variants that the message describes; a product without variants is its own.
    pub variants: Vec<Article>,
    /// All variants that the product has at this version, if the message lists them: any other one
    /// is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Vec<ArticleId>>,
}

/// A thing that can be bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// The platform's id of the variant: what order lines name.
    pub variant: ArticleId,
    /// The SKU, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Under which id its stock is reported.
    pub item: ArticleId,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// Units in all places, if the shop counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<Decimal>,
    /// Whether it only holds variants, so that no order line names it.
    #[serde(default)]
    pub container: bool,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The kind of thing.
    pub what: Entity,
    /// Its id.
    pub id: ArticleId,
}

/// The kinds of things that have ids of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// A product with all its variants.
    Product,
    /// One variant.
    Variant,
    /// A thing kept in stock.
    Item,
}

impl Entity {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Variant => "variant",
            Self::Item => "item",
        }
    }
}

/// The stock of one thing in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLevel {
    /// The id under which the stock is reported.
    pub item: ArticleId,
    /// The place; without it, all places together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<ArticleId>,
    /// Units; `None` where they are not counted or the place no longer holds the thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
}

/// A thing kept in stock, with its SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The id under which the stock is reported.
    pub item: ArticleId,
    /// The SKU, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
}

impl ArticleEvent {
    /// The partition of what the fact is about: the same way as for orders.
    pub fn partition(&self) -> u64 {
        let id = match &self.fact {
            ArticleFact::Product(product) => &product.id,
            ArticleFact::Gone(gone) => &gone.id,
            ArticleFact::Stock(level) => &level.item,
            ArticleFact::Item(item) => &item.item,
        };
        partition(self.platform, &self.store, id.as_str())
    }
}
