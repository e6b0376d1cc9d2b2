//! Whose orders the holder of an API token may write.
//!
//! A caller of the API names the platform and the shop of an order, and thereby which order it is. So
//! a token that may name any shop could overwrite the orders of all of them.

use serde::{Deserialize, Serialize};

use super::{
    StorePolicy, body,
    wire::{Path, Raw},
};
use crate::domain::id::{IdError, OrderKey, Platform, StoreId};

/// Shops, as a pipeline file lists them: `acme-us` on whatever platform, or `shopify/acme-us`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Writes(Vec<(Option<Platform>, StoreId)>);

impl TryFrom<Vec<String>> for Writes {
    type Error = IdError;

    fn try_from(list: Vec<String>) -> Result<Self, IdError> {
        let entry = |text: String| match text.split_once('/') {
            Some((platform, store)) => {
                Ok((Some(Platform::parse(platform)?), StoreId::parse(store)?))
            }
            None => Ok((None, StoreId::parse(&text)?)),
        };
        list.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Writes> for Vec<String> {
    fn from(Writes(list): Writes) -> Self {
        let entry = |(platform, store): (Option<Platform>, StoreId)| match platform {
            Some(platform) => format!("{platform}/{store}"),
            None => store.to_string(),
        };
        list.into_iter().map(entry).collect()
    }
}

/// What a store may write: its own orders, those of the shop that it speaks for, and what is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    store: StoreId,
    shop: Option<StoreId>,
    writes: Writes,
}

/// Only the fields that name the order's shop.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Target<'a> {
    platform: Raw<'a>,
    store: Raw<'a>,
}

impl Scope {
    /// The scope of a store with this policy.
    pub fn new(store: StoreId, policy: &StorePolicy) -> Self {
        Self { store, shop: policy.shop.clone(), writes: policy.writes.clone() }
    }

    /// Whether orders of this shop may be written.
    pub fn allows(&self, platform: Platform, store: &StoreId) -> bool {
        let Writes(listed) = &self.writes;
        *store == self.store
            || Some(store) == self.shop.as_ref()
            || listed.iter().any(|(on, name)| name == store && on.is_none_or(|on| on == platform))
    }

    /// Whether this order may be written.
    pub fn covers(&self, order: &OrderKey) -> bool {
        self.allows(order.platform, &order.store)
    }

    /// The shop that a body of the form `short` or `canonical` names and that may not be written, as
    /// `platform/store`. `None` of a body that cannot be read: what is wrong with it is said later.
    pub fn trespass(&self, form: &str, bytes: &[u8]) -> Option<String> {
        let json = body::text(bytes).ok()?;
        let target: Target<'_> = body::object(json, Path::ROOT).ok()?;
        let store = target.store.text().and_then(|text| StoreId::parse(text).ok())?;
        let platform = match form {
            "short" => Platform::Shopify,
            _ => Platform::parse(target.platform.text()?).ok()?,
        };
        (!self.allows(platform, &store)).then(|| format!("{platform}/{store}"))
    }
}

/// What to tell whoever may not write the orders of `shop` with the access of `store`.
pub fn forbidden(store: &StoreId, shop: &str) -> String {
    format!(
        "the API store {store} may not write orders of {shop}; if it should, list \"{shop}\" under \
         `writes` of that store in the pipeline file"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(shop: Option<&str>, writes: &[&str]) -> Scope {
        let writes: Vec<String> = writes.iter().map(|text| (*text).to_owned()).collect();
        let policy = StorePolicy {
            shop: shop.map(|name| StoreId::parse(name).unwrap()),
            writes: writes.try_into().unwrap(),
            ..StorePolicy::default()
        };
        Scope::new(StoreId::parse("api").unwrap(), &policy)
    }

    #[test]
    fn a_store_writes_its_own_orders_those_of_its_shop_and_what_is_listed() {
        use Platform::{Magento, Shopify, WooCommerce};
        let scope = scope(Some("acme-us"), &["acme-eu", "magento/acme-mx"]);
        for (platform, store, expected) in [
            (Shopify, "api", true),
            (WooCommerce, "api", true),
            (Shopify, "acme-us", true),
            (WooCommerce, "acme-eu", true),
            (Shopify, "acme-eu", true),
            (Magento, "acme-mx", true),
            (Shopify, "acme-mx", false),
            (Shopify, "other", false),
        ] {
            let store = StoreId::parse(store).unwrap();
            assert_eq!(scope.allows(platform, &store), expected, "{platform}/{store}");
        }
    }

    #[test]
    fn a_body_that_names_a_foreign_shop_is_found_before_it_is_taken() {
        let scope = scope(None, &["magento/acme-mx"]);
        let named = |form: &str, body: &str| scope.trespass(form, body.as_bytes());
        assert_eq!(named("short", r#"{"store":"other"}"#).as_deref(), Some("shopify/other"));
        assert_eq!(named("short", r#"{"store":" acme-mx "}"#).as_deref(), Some("shopify/acme-mx"));
        let canonical = r#"{"platform":"magento","store":"acme-mx"}"#;
        assert_eq!(named("canonical", canonical), None);
        for fine in
            [r#"{"store":"api"}"#, r#"{"store":null}"#, "{}", "[]", "{", r#"{"store":"a/b"}"#]
        {
            assert_eq!(named("short", fine), None, "{fine}");
        }
    }

    #[test]
    fn a_list_is_read_and_written_as_it_stands_in_the_file() {
        let list = vec!["acme-eu".to_owned(), "magento/acme-mx".to_owned()];
        let writes: Writes = list.clone().try_into().unwrap();
        assert_eq!(Vec::<String>::from(writes), list);
        for wrong in ["", "ebay/acme", "shopify/", "a b"] {
            assert!(Writes::try_from(vec![wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
