//! The refunds of an order, from the REST API of a WooCommerce shop.
//!
//! Deliberately absent: TLS. The URL is that of a proxy which speaks it with the shop and sets `Host`
//! to the shop's name; redirects are not followed, so the keys go nowhere else.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::id::{OrderId, RefundId};

/// How long all pages of one order may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// The largest page, in bytes.
const PAGE_MAX: usize = 4 * 1024 * 1024;
/// The most refunds in a page: as many as the API gives.
const PER_PAGE: usize = 100;
/// The most pages of one order.
const PAGES: usize = 10;

/// How the refunds of a store are asked for.
#[derive(Debug, Clone)]
pub struct RestAccess {
    /// The URL before `/wp-json`, without a slash at its end.
    base: Box<str>,
    key: SecretString,
    secret: SecretString,
    /// How long after its receipt an order is asked for in vain until it becomes a dead letter.
    pub give_up_after: Duration,
}

/// Why a URL cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be http://host[:port][/path] without user, query or TLS: the service speaks no TLS, so name \
     a proxy that does"
)]
pub struct UrlError;

impl RestAccess {
    /// Access to the API at this URL with a consumer key and its secret.
    pub fn new(
        url: &str,
        key: SecretString,
        secret: SecretString,
        give_up_after: Duration,
    ) -> Result<Self, UrlError> {
        let uri: Uri = url.parse().map_err(|_invalid| UrlError)?;
        let plain = uri.scheme_str() == Some("http")
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none();
        if !plain {
            return Err(UrlError);
        }
        let base = url.trim_end_matches('/').into();
        Ok(Self { base, key, secret, give_up_after })
    }
}

/// Why there is no answer that can be used.
#[derive(Debug)]
pub(super) enum Failure {
    /// The shop, the way to it or the access to it: another time it may work.
    Unavailable(String),
    /// It is about this order: asking again changes nothing.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unavailable(text) | Self::Refused(text)) = self;
        f.write_str(text)
    }
}

/// A refund as the shop wrote it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: RefundId,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Identified {
    id: u64,
}

/// A client for one shop. Its connections are kept.
pub(super) struct Rest {
    client: Client<HttpConnector, Empty<Bytes>>,
    base: Box<str>,
    authorization: HeaderValue,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Rest {
    pub(super) fn new(access: &RestAccess) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        let pair = format!("{}:{}", access.key.expose_secret(), access.secret.expose_secret());
        let basic = format!("Basic {}", STANDARD.encode(pair));
        // Base64 is always a header value; an empty one would be refused by the shop.
        let mut authorization =
            HeaderValue::from_str(&basic).unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .build(connector);
        Self { client, base: access.base.clone(), authorization }
    }

    /// Every refund of an order.
    pub(super) async fn refunds(&self, order: &OrderId) -> Result<Vec<Fetched>, Failure> {
        if !order.as_str().bytes().all(|b| b.is_ascii_digit()) {
            return Err(Failure::Refused(format!("the order id {order} is not a number")));
        }
        let pages = async {
            let mut refunds = Vec::new();
            for page in 1..=PAGES {
                let found = self.page(order, page).await?;
                let last = found.len() < PER_PAGE;
                refunds.extend(found);
                if last {
                    break;
                }
            }
            Ok(refunds)
        };
        tokio::time::timeout(TIMEOUT, pages).await.unwrap_or_else(|_elapsed| {
            Err(Failure::Unavailable(format!("there was no answer in {TIMEOUT:?}")))
        })
    }

    async fn page(&self, order: &OrderId, page: usize) -> Result<Vec<Fetched>, Failure> {
        let base = &self.base;
        let uri =
            format!("{base}/wp-json/wc/v3/orders/{order}/refunds?per_page={PER_PAGE}&page={page}");
        let request = Request::builder()
            .method(Method::GET)
            .uri(uri)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "upline")
            .body(Empty::new())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let unavailable =
            |error: &dyn std::error::Error| Failure::Unavailable(crate::stream::chain(error));
        let response = self.client.request(request).await.map_err(|error| unavailable(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refusal(status));
        }
        let body = Limited::new(response.into_body(), PAGE_MAX).collect().await;
        let body = body.map_err(|error| Failure::Unavailable(error.to_string()))?.to_bytes();
        // Maintenance pages and PHP warnings come with 200 as well.
        let list: Vec<&RawValue> = serde_json::from_slice(&body)
            .map_err(|error| Failure::Unavailable(format!("the answer is no list: {error}")))?;
        list.into_iter().map(|refund| fetched(&body, refund)).collect()
    }
}

fn fetched(page: &Bytes, refund: &RawValue) -> Result<Fetched, Failure> {
    let fail = |error: String| Failure::Refused(format!("a refund without a usable id: {error}"));
    let Identified { id } =
        serde_json::from_str(refund.get()).map_err(|error| fail(error.to_string()))?;
    let id = RefundId::parse(&id.to_string()).map_err(|error| fail(error.to_string()))?;
    Ok(Fetched { id, body: page.slice_ref(refund.get().as_bytes()) })
}

/// What a status says. Of a wrong key or a redirect every order is affected, so the operator should
/// mend it and nothing be given up at once; an order that is not there is not there.
fn refusal(status: StatusCode) -> Failure {
    let text = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
            "the shop answered {status}: give the key read access to orders, and let the proxy speak \
             TLS with the shop, which takes no keys without"
        ),
        StatusCode::NOT_FOUND => format!(
            "the shop answered {status}: the order is gone, or rest.url is not the address before \
             /wp-json"
        ),
        status if status.is_redirection() => {
            format!(
                "the shop answered {status}: let the proxy ask the address that it redirects to"
            )
        }
        status => format!("the shop answered {status}"),
    };
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::Refused(text)
        }
        _ => Failure::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_address_can_be_asked() {
        let access = |url: &str| {
            RestAccess::new(url, "ck".into(), "cs".into(), Duration::ZERO).map(|access| access.base)
        };
        assert_eq!(
            access("http://proxy:8081/acme-eu/").as_deref(),
            Ok("http://proxy:8081/acme-eu")
        );
        assert_eq!(access("http://proxy").as_deref(), Ok("http://proxy"));
        for url in
            ["", "proxy:80", "https://shop.example.com", "http://u:p@shop", "http://shop?a=b"]
        {
            assert_eq!(access(url), Err(UrlError), "{url}");
        }
        let shown = RestAccess::new("http://p", "ck_1".into(), "cs_1".into(), Duration::ZERO);
        let shown = format!("{shown:?} {:?}", Rest::new(shown.as_ref().unwrap()));
        assert!(!shown.contains("ck_1") && !shown.contains("cs_1"), "{shown}");
    }

    #[test]
    fn a_status_is_about_the_order_or_about_the_shop() {
        let of = |code| refusal(StatusCode::from_u16(code).unwrap());
        for code in [400, 404, 410] {
            assert!(matches!(of(code), Failure::Refused(_)), "{code}");
        }
        for code in [204, 301, 401, 403, 408, 429, 500, 502, 503] {
            assert!(matches!(of(code), Failure::Unavailable(_)), "{code}");
        }
    }
}
