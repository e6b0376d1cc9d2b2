//! Products and variations of WooCommerce, which are the same resource: `product.*` fires for both.
//!
//! Stock has no topic of its own; it is part of the product. A deletion names only the id, which
//! may be that of a product or of a variation.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    domain::{
        article::{Article, ArticleEvent, ArticleFact, Entity, Product},
        id::ArticleId,
    },
    stage::{
        Rejection,
        platform::{
            RawEvent, article, body, sku,
            wire::{Path, Raw},
        },
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    data: Option<&'a RawValue>,
    id: Raw<'a>,
    parent_id: Raw<'a>,
    name: Raw<'a>,
    r#type: Raw<'a>,
    sku: Raw<'a>,
    date_modified_gmt: Raw<'a>,
    stock_quantity: Raw<'a>,
    manage_stock: Raw<'a>,
    /// Of a variable product its variations: ids, or whole objects in some plugins' bodies.
    variations: Option<Vec<Raw<'a>>>,
}

/// Reads a delivery of the topic `product.<name>`.
pub(super) fn read(event: &RawEvent<'_>, name: &str) -> Result<Vec<ArticleEvent>, Rejection> {
    let json = body::text(event.body)?;
    let root = Path::ROOT;
    if let Some(list) = body::elements(json)? {
        let mut events = Vec::new();
        for (i, element) in list.iter().enumerate() {
            events.extend(one(element.get(), root.index(i), event, name)?);
        }
        return Ok(events);
    }
    one(json, root, event, name)
}

fn one(
    json: &str,
    at: Path<'_>,
    event: &RawEvent<'_>,
    name: &str,
) -> Result<Vec<ArticleEvent>, Rejection> {
    let wire: Wire<'_> = body::object(json, at)?;
    if wire.id.id().is_none() {
        body::refuse_error_object(json, at)?;
        if let Some(inner) = wire.data {
            let at = at.key("data");
            return plain(&body::object(inner.get(), at)?, at, event, name);
        }
    }
    plain(&wire, at, event, name)
}

fn plain(
    wire: &Wire<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    name: &str,
) -> Result<Vec<ArticleEvent>, Rejection> {
    let id = article::id(&wire.id, at.key("id"), "the id of the product")?;
    if name == "deleted" {
        return Ok(vec![
            article::gone(event, Entity::Product, id.clone()),
            article::gone(event, Entity::Variant, id),
        ]);
    }
    let changed = wire.date_modified_gmt.time(at.key("date_modified_gmt"))?;
    // What comes back from the bin has not been modified: its restoring is the change.
    let changed = if name == "restored" { changed.max(Some(event.received_at)) } else { changed };
    let fact = ArticleFact::Product(product(wire, id, at)?);
    Ok(vec![article::event(event, changed, fact)])
}

fn product(wire: &Wire<'_>, id: ArticleId, at: Path<'_>) -> Result<Product, Rejection> {
    let parent = article::id_if_any(&wire.parent_id);
    let variations: Vec<ArticleId> =
        wire.variations.iter().flatten().filter_map(article::id_if_any).collect();
    let container = !variations.is_empty()
        || matches!(wire.r#type.word(), Some("variable" | "variable-subscription" | "grouped"));
    let counted = wire.manage_stock.is_true();
    let stock = article::stock(&wire.stock_quantity, at.key("stock_quantity"))?;
    let itself = Article {
        variant: id.clone(),
        sku: sku(&wire.sku),
        item: id.clone(),
        title: article::title(&[&wire.name]),
        stock: stock.filter(|_| counted),
        container,
    };
    // Only a product that holds variations says which there are.
    let listed = (container && !variations.is_empty()).then(|| {
        let own = std::iter::once(id.clone());
        own.chain(variations).collect()
    });
    Ok(Product { id: parent.unwrap_or(id), variants: vec![itself], listed })
}
