//! Products, inventory items and inventory levels of Shopify.
//!
//! A level names neither product nor SKU: its `inventory_item_id` leads to the variant by way of
//! the product, whichever of the two comes first.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    domain::{
        article::{Article, ArticleEvent, ArticleFact, Entity, Item, Product, StockLevel},
        id::ArticleId,
    },
    stage::{
        Rejection,
        platform::{
            RawEvent, article, body, sku,
            wire::{Many, Path, Raw},
        },
    },
};

/// What a topic says of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Product,
    ProductDeleted,
    Item,
    ItemDeleted,
    Level,
    LevelGone,
}

impl Topic {
    /// By the topic in lower case; `EventBridge` and GraphQL write `PRODUCTS_UPDATE`.
    pub(super) fn of(topic: &str) -> Option<Self> {
        let resources = ["products", "inventory_items", "inventory_levels"];
        let (resource, event) = resources.into_iter().find_map(|resource| {
            let rest = topic.strip_prefix(resource)?;
            rest.strip_prefix(['/', '_']).map(|event| (resource, event))
        })?;
        match (resource, event) {
            ("products", "create" | "update") => Some(Self::Product),
            ("products", "delete") => Some(Self::ProductDeleted),
            ("inventory_items", "create" | "update") => Some(Self::Item),
            ("inventory_items", "delete") => Some(Self::ItemDeleted),
            ("inventory_levels", "connect" | "update") => Some(Self::Level),
            ("inventory_levels", "disconnect") => Some(Self::LevelGone),
            _ => None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    product: Option<&'a RawValue>,
    inventory_item: Option<&'a RawValue>,
    inventory_level: Option<&'a RawValue>,
    id: Raw<'a>,
    admin_graphql_api_id: Raw<'a>,
    title: Raw<'a>,
    updated_at: Raw<'a>,
    variants: Many<WireVariant<'a>>,
    sku: Raw<'a>,
    inventory_item_id: Raw<'a>,
    location_id: Raw<'a>,
    available: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireVariant<'a> {
    id: Raw<'a>,
    title: Raw<'a>,
    sku: Raw<'a>,
    inventory_item_id: Raw<'a>,
    inventory_management: Raw<'a>,
    inventory_quantity: Raw<'a>,
}

/// Reads a delivery about the catalogue.
pub(super) fn read(event: &RawEvent<'_>, topic: Topic) -> Result<Vec<ArticleEvent>, Rejection> {
    let json = body::text(event.body)?;
    let root = Path::ROOT;
    let outer: Wire<'_> = body::object(json, root)?;
    let inner = [
        ("product", outer.product),
        ("inventory_item", outer.inventory_item),
        ("inventory_level", outer.inventory_level),
    ];
    for (name, inner) in inner {
        if let Some(inner) = inner.filter(|inner| inner.get().starts_with('{')) {
            let at = root.key(name);
            return one(&body::object(inner.get(), at)?, at, event, topic).map(|one| vec![one]);
        }
    }
    if outer.id.id().is_none() && outer.inventory_item_id.id().is_none() {
        body::refuse_error_object(json, root)?;
    }
    one(&outer, root, event, topic).map(|one| vec![one])
}

fn one(
    wire: &Wire<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    topic: Topic,
) -> Result<ArticleEvent, Rejection> {
    let version = || wire.updated_at.time(at.key("updated_at"));
    let id = if wire.id.id().is_some() { &wire.id } else { &wire.admin_graphql_api_id };
    let of = |what: &str| article::id(id, at.key("id"), what);
    let level = |quantity| -> Result<ArticleFact, Rejection> {
        let item = &wire.inventory_item_id;
        let item = article::id(item, at.key("inventory_item_id"), "the id of the inventory item")?;
        let location = article::id(&wire.location_id, at.key("location_id"), "the location")?;
        Ok(ArticleFact::Stock(StockLevel { item, location: Some(location), quantity }))
    };
    match topic {
        Topic::Product => {
            let fact = ArticleFact::Product(product(wire, of("the id of the product")?, at)?);
            Ok(article::event(event, version()?, fact))
        }
        Topic::ProductDeleted => {
            Ok(article::gone(event, Entity::Product, of("the id of the product")?))
        }
        Topic::Item => {
            let item = of("the id of the inventory item")?;
            let fact = ArticleFact::Item(Item { item, sku: sku(&wire.sku) });
            Ok(article::event(event, version()?, fact))
        }
        Topic::ItemDeleted => {
            Ok(article::gone(event, Entity::Item, of("the id of the inventory item")?))
        }
        Topic::Level => {
            let quantity = article::stock(&wire.available, at.key("available"))?;
            Ok(article::event(event, version()?, level(quantity)?))
        }
        // Only ids are in it, so it counts from its receipt.
        Topic::LevelGone => Ok(article::event(event, None, level(None)?)),
    }
}

/// The whole product: its list of variants is complete.
fn product(wire: &Wire<'_>, id: ArticleId, at: Path<'_>) -> Result<Product, Rejection> {
    if !wire.variants.is_list() {
        return Err(body::incomplete(at.key("variants"), "variants"));
    }
    let rows = at.key("variants");
    let mut variants = Vec::new();
    for (index, row) in wire.variants.needed(rows)? {
        let at = rows.index(index);
        let variant = article::id(&row.id, at.key("id"), "the id of the variant")?;
        let counted = !matches!(row.inventory_management, Raw::Null);
        let quantity = article::stock(&row.inventory_quantity, at.key("inventory_quantity"))?;
        variants.push(Article {
            sku: sku(&row.sku),
            item: article::id_if_any(&row.inventory_item_id).unwrap_or_else(|| variant.clone()),
            title: article::title(&[&wire.title, &row.title]),
            stock: quantity.filter(|_| counted),
            container: false,
            variant,
        });
    }
    let listed = Some(variants.iter().map(|v| v.variant.clone()).collect());
    Ok(Product { id, variants, listed })
}
