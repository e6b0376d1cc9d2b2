//! Paths. Pure.
//!
//! Nothing is decoded, folded or trimmed: a path is what the merchant was told to type, and one
//! that is not is answered with 404 while the merchant still looks at the screen.

use hyper::Method;

use crate::domain::id::Platform;

/// The longest event name in a Magento path, in bytes.
const EVENT_MAX: usize = 128;
/// The longest challenge that is sent back, in bytes. Adobe's is a UUID.
const CHALLENGE_MAX: usize = 256;

/// The two forms of an order that the company's own systems may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `POST /api/mlm/orders`: one line, its referrer and an amount.
    Short,
    /// `POST /v1/orders`: the canonical order.
    Canonical,
}

impl Form {
    /// The topic of the form.
    pub(super) fn topic(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Canonical => "canonical",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// A delivery of a shop. `event` is there for Magento only, whose deliveries do not name it.
    Webhook { platform: Platform, store: &'a str, event: &'a str },
    /// The registration check of Adobe I/O.
    Challenge { store: &'a str, challenge: &'a str },
    /// An order of the company's own systems.
    Api { form: Form },
}

impl Route<'_> {
    /// The platform of the path.
    pub(super) fn platform(&self) -> Platform {
        match self {
            Self::Webhook { platform, .. } => *platform,
            Self::Challenge { .. } => Platform::Magento,
            Self::Api { .. } => Platform::Api,
        }
    }
}

/// Why a request leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misroute {
    /// No such path.
    NotFound,
    /// The path takes other methods.
    Method { platform: Platform, allow: &'static str },
    /// The event in a Magento path has a character or a length that it may not have.
    Event,
    /// The challenge is missing, too long, or not plain.
    Challenge,
}

/// Reads the method, the path and the query of a request.
pub(super) fn route<'a>(
    method: &Method,
    path: &'a str,
    query: Option<&'a str>,
) -> Result<Route<'a>, Misroute> {
    let mut segments = path.strip_prefix('/').ok_or(Misroute::NotFound)?.split('/');
    // Nothing of the edge has more than four segments; the fifth must be absent.
    let found = [(); 5].map(|()| segments.next());
    match found {
        [Some("webhooks"), Some("shopify"), Some(store), None, None] if !store.is_empty() => {
            post(method, Platform::Shopify)?;
            Ok(Route::Webhook { platform: Platform::Shopify, store, event: "" })
        }
        [Some("webhooks"), Some("woocommerce"), Some(store), None, None] if !store.is_empty() => {
            post(method, Platform::WooCommerce)?;
            Ok(Route::Webhook { platform: Platform::WooCommerce, store, event: "" })
        }
        [Some("webhooks"), Some("magento"), Some(store), Some(event), None]
            if !store.is_empty() && !event.is_empty() =>
        {
            magento(method, store, event, query)
        }
        [Some("api"), Some("mlm"), Some("orders"), None, None] => {
            post(method, Platform::Api)?;
            Ok(Route::Api { form: Form::Short })
        }
        [Some("v1"), Some("orders"), None, None, None] => {
            post(method, Platform::Api)?;
            Ok(Route::Api { form: Form::Canonical })
        }
        _ => Err(Misroute::NotFound),
    }
}

fn post(method: &Method, platform: Platform) -> Result<(), Misroute> {
    if method == Method::POST { Ok(()) } else { Err(Misroute::Method { platform, allow: "POST" }) }
}

fn magento<'a>(
    method: &Method,
    store: &'a str,
    event: &'a str,
    query: Option<&'a str>,
) -> Result<Route<'a>, Misroute> {
    if *method != Method::POST && *method != Method::GET {
        return Err(Misroute::Method { platform: Platform::Magento, allow: "GET, POST" });
    }
    if event.len() > EVENT_MAX
        || !event.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return Err(Misroute::Event);
    }
    if *method == Method::POST {
        return Ok(Route::Webhook { platform: Platform::Magento, store, event });
    }
    let challenge = query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("challenge="))
        .filter(|text| is_plain(text))
        .ok_or(Misroute::Challenge)?;
    Ok(Route::Challenge { store, challenge })
}

/// Whether a challenge may be sent back. Only characters that mean nothing to a browser, so that
/// the echo cannot be made to carry a page.
fn is_plain(challenge: &str) -> bool {
    !challenge.is_empty()
        && challenge.len() <= CHALLENGE_MAX
        && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn webhook<'a>(platform: Platform, store: &'a str, event: &'a str) -> Route<'a> {
        Route::Webhook { platform, store, event }
    }

    #[test]
    fn every_path_of_the_edge_is_found() {
        let post = |path| route(&Method::POST, path, None);
        assert_eq!(post("/webhooks/shopify/acme"), Ok(webhook(Platform::Shopify, "acme", "")));
        assert_eq!(
            post("/webhooks/woocommerce/eu-1"),
            Ok(webhook(Platform::WooCommerce, "eu-1", ""))
        );
        assert_eq!(
            post("/webhooks/magento/m2/sales.order.created"),
            Ok(webhook(Platform::Magento, "m2", "sales.order.created"))
        );
        assert_eq!(post("/api/mlm/orders"), Ok(Route::Api { form: Form::Short }));
        assert_eq!(post("/v1/orders"), Ok(Route::Api { form: Form::Canonical }));
    }

    #[test]
    fn any_other_path_is_not_found() {
        for path in [
            "",
            "/",
            "*",
            "//",
            "/webhooks",
            "/webhooks/shopify",
            "/webhooks/shopify/",
            "/webhooks/shopify/a/",
            "/webhooks/shopify/a/b",
            "/webhooks/magento/a",
            "/webhooks/magento/a/",
            "/webhooks/magento//b",
            "/webhooks/magento/a/b/",
            "/webhooks/magento/a/b/c",
            "/webhooks/magento/a/b/c/d",
            "/Webhooks/shopify/a",
            "/webhooks/api/a",
            "/api/mlm/orders/",
            "/v1/orders/1",
            "/metrics",
        ] {
            assert_eq!(route(&Method::POST, path, None), Err(Misroute::NotFound), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let get = |path| route(&Method::GET, path, None);
        let refused = |platform, allow| Err(Misroute::Method { platform, allow });
        assert_eq!(get("/webhooks/shopify/a"), refused(Platform::Shopify, "POST"));
        assert_eq!(get("/webhooks/woocommerce/a"), refused(Platform::WooCommerce, "POST"));
        assert_eq!(get("/v1/orders"), refused(Platform::Api, "POST"));
        let put = route(&Method::PUT, "/webhooks/magento/a/b", None);
        assert_eq!(put, refused(Platform::Magento, "GET, POST"));
    }

    #[test]
    fn a_challenge_comes_back_only_if_it_is_plain() {
        let ask = |query| route(&Method::GET, "/webhooks/magento/m2/any", query);
        let challenge = "8ec8d794-e0ab-42df-9017-e3dada8e84f7";
        let query = format!("a=b&challenge={challenge}");
        assert_eq!(ask(Some(&query)), Ok(Route::Challenge { store: "m2", challenge }));
        let long = format!("challenge={}", "a".repeat(257));
        for bad in [None, Some(""), Some("challenge="), Some("challenge=%3Cb%3E"), Some(&*long)] {
            assert_eq!(ask(bad), Err(Misroute::Challenge), "{bad:?}");
        }
    }

    #[test]
    fn an_event_is_bounded_and_plain() {
        let long = format!("/webhooks/magento/a/{}", "e".repeat(129));
        for path in ["/webhooks/magento/a/b%20c", "/webhooks/magento/a/b:c", &long] {
            assert_eq!(route(&Method::POST, path, None), Err(Misroute::Event), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/|webhooks|magento|é|%|[ -~]){0,12}", query in ".{0,40}") {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let found = route(&method, &path, Some(&query));
                prop_assert!(path.starts_with('/') || found == Err(Misroute::NotFound));
            }
        }
    }
}
