//! Products and stock items of Magento: the REST product of the modules, or the saved row that
//! Adobe I/O sends.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::MAX_ENVELOPES;
use crate::{
    domain::{
        article::{Article, ArticleEvent, ArticleFact, Entity, Product, StockLevel},
        id::ArticleId,
    },
    stage::{
        Rejection,
        platform::{
            RawEvent, article, body, sku,
            wire::{Maybe, Path, Raw},
        },
    },
};

/// What a topic says of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Product,
    ProductDeleted,
    Stock,
}

impl Topic {
    /// By the event's name: `catalog.product.updated`, `observer.catalog_product_save_commit_after`,
    /// `observer.cataloginventory_stock_item_save_commit_after`.
    pub(super) fn of(topic: &str) -> Option<Self> {
        let has = |word: &str| topic.contains(word);
        if has("stock_item") || has("stockitem") || has("stock.item") {
            return Some(Self::Stock);
        }
        let named = has("catalog.product.") || has("catalog_product_") || topic == "product";
        let part = ["attribute", "option", "link", "media", "gallery", "tier", "website", "type"];
        if !named || part.iter().any(|word| has(word)) {
            return None;
        }
        Some(if has("delet") { Self::ProductDeleted } else { Self::Product })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    event: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    product: Option<&'a RawValue>,
    entity: Option<&'a RawValue>,
    id: Raw<'a>,
    entity_id: Raw<'a>,
    product_id: Raw<'a>,
    sku: Raw<'a>,
    name: Raw<'a>,
    type_id: Raw<'a>,
    updated_at: Raw<'a>,
    /// Of a stock item.
    qty: Raw<'a>,
    manage_stock: Raw<'a>,
    stock_data: Maybe<WireStock<'a>>,
    quantity_and_stock_status: Maybe<WireStock<'a>>,
    extension_attributes: Maybe<Extension<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Extension<'a> {
    stock_item: Maybe<WireStock<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireStock<'a> {
    qty: Raw<'a>,
    manage_stock: Raw<'a>,
}

/// Whether the shop counts units; a field that is not there says yes.
fn counted(manage_stock: &Raw<'_>) -> bool {
    matches!(manage_stock, Raw::Absent | Raw::Null) || manage_stock.is_true()
}

/// Reads a delivery about the catalogue.
pub(super) fn read(event: &RawEvent<'_>, topic: Topic) -> Result<Vec<ArticleEvent>, Rejection> {
    let json = body::text(event.body)?;
    inside(json, Path::ROOT, MAX_ENVELOPES, event, topic).map(|one| vec![one])
}

/// Takes off envelopes until there is a resource.
fn inside(
    json: &str,
    at: Path<'_>,
    depth: usize,
    event: &RawEvent<'_>,
    topic: Topic,
) -> Result<ArticleEvent, Rejection> {
    let wire: Wire<'_> = body::object(json, at)?;
    let ids = [&wire.id, &wire.entity_id, &wire.product_id, &wire.sku];
    let envelope = ids.iter().all(|id| id.text().is_none());
    // An Adobe event has an id of its own beside the value that it carries.
    if (envelope || wire.sku.text().is_none() && wire.event.is_some()) && depth > 0 {
        for (name, inner) in [
            ("event", wire.event),
            ("data", wire.data),
            ("value", wire.value),
            ("product", wire.product),
            ("entity", wire.entity),
        ] {
            if let Some(inner) = inner.filter(|inner| inner.get().starts_with('{')) {
                return inside(inner.get(), at.key(name), depth.saturating_sub(1), event, topic);
            }
        }
    }
    if envelope {
        body::refuse_error_object(json, at)?;
    }
    one(&wire, at, event, topic)
}

fn one(
    wire: &Wire<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    topic: Topic,
) -> Result<ArticleEvent, Rejection> {
    let id = || -> Result<ArticleId, Rejection> {
        let (raw, name) =
            if wire.id.id().is_some() { (&wire.id, "id") } else { (&wire.entity_id, "entity_id") };
        article::id(raw, at.key(name), "the id of the product")
    };
    match topic {
        Topic::ProductDeleted => Ok(article::gone(event, Entity::Product, id()?)),
        Topic::Product => {
            let fact = ArticleFact::Product(product(wire, id()?, at)?);
            Ok(article::event(event, wire.updated_at.time(at.key("updated_at"))?, fact))
        }
        Topic::Stock => {
            let product = &wire.product_id;
            let item = article::id(product, at.key("product_id"), "the id of the product")?;
            let quantity = article::stock(&wire.qty, at.key("qty"))?;
            let quantity = quantity.filter(|_| counted(&wire.manage_stock));
            let fact = ArticleFact::Stock(StockLevel { item, location: None, quantity });
            Ok(article::event(event, wire.updated_at.time(at.key("updated_at"))?, fact))
        }
    }
}

/// A merchant may choose the fields of an event: without the SKU the row is of no use.
fn product(wire: &Wire<'_>, id: ArticleId, at: Path<'_>) -> Result<Product, Rejection> {
    let Some(named) = sku(&wire.sku) else {
        return Err(body::incomplete(at.key("sku"), "sku"));
    };
    let rest = wire.extension_attributes.get().and_then(|more| more.stock_item.get());
    let saved = wire.stock_data.get().or_else(|| wire.quantity_and_stock_status.get());
    let stock = match rest.or(saved) {
        Some(stock) if counted(&stock.manage_stock) => article::stock(&stock.qty, at.key("qty"))?,
        Some(_) | None => None,
    };
    let container = matches!(wire.type_id.word(), Some("configurable" | "grouped"));
    let title = article::title(&[&wire.name]);
    let itself = Article {
        variant: id.clone(),
        sku: Some(named),
        item: id.clone(),
        title,
        stock,
        container,
    };
    Ok(Product { id, variants: vec![itself], listed: None })
}
