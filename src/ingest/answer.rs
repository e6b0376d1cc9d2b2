//! Answers: a status and a small JSON object, `{"error": code, "message": text}` when something is
//! wrong. The code is stable, the text says what to change.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode, Version,
    header::{self, HeaderValue},
};
use serde::Serialize;

use super::{
    IntakeError, Outcome,
    body::Cut,
    route::Misroute,
    signature::{self, Disbelief},
};
use crate::{
    domain::id::{Platform, StoreId},
    stage::platform::forbidden,
};

/// An answer before it is written.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    outcome: Outcome,
    body: Bytes,
    retry_after: Option<u64>,
    /// A header that this status must have.
    extra: Option<(header::HeaderName, &'static str)>,
    /// The body was not read, so an HTTP/1 connection cannot go on.
    close: bool,
    /// The body is the text itself, not JSON.
    text: bool,
}

#[derive(Serialize)]
struct Fault<'a> {
    error: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Receipt<'a> {
    status: &'static str,
    delivery: &'a str,
}

impl Answer {
    fn ok(outcome: Outcome, body: &'static str) -> Self {
        Self {
            status: StatusCode::OK,
            outcome,
            body: Bytes::from_static(body.as_bytes()),
            retry_after: None,
            extra: None,
            close: false,
            text: false,
        }
    }

    fn fault(status: StatusCode, outcome: Outcome, message: &str) -> Self {
        let fault = Fault { error: outcome.as_str(), message };
        Self { status, body: json(&fault), ..Self::ok(outcome, "") }
    }

    /// A shop's delivery is durable. Exactly 200: anything else makes `WooCommerce` call its ping
    /// failed, and nobody wants more than "any 2xx" elsewhere.
    pub(super) fn delivered(duplicate: bool) -> Self {
        if duplicate {
            Self::ok(Outcome::Duplicate, r#"{"status":"duplicate"}"#)
        } else {
            Self::ok(Outcome::Accepted, r#"{"status":"accepted"}"#)
        }
    }

    /// An order of the API is durable: 202, because nothing of it was looked at yet. Its form,
    /// its money and its distributor are judged later, and a caller who reads 200 as "the
    /// commission is computed" would be wrong. The transport key is in the answer: by it the
    /// delivery is found again in the log and among the dead letters.
    pub(super) fn taken(duplicate: bool, delivery: &str) -> Self {
        let outcome = if duplicate { Outcome::Duplicate } else { Outcome::Accepted };
        let body = json(&Receipt { status: outcome.as_str(), delivery });
        Self { status: StatusCode::ACCEPTED, body, ..Self::ok(outcome, "") }
    }

    /// The greeting of `WooCommerce`: nothing to store, and it wants exactly 200.
    pub(super) fn ping() -> Self {
        Self::ok(Outcome::Ping, r#"{"status":"ping"}"#)
    }

    /// The registration check of Adobe I/O, which wants its text back.
    pub(super) fn challenge(text: &str) -> Self {
        let body = Bytes::copy_from_slice(text.as_bytes());
        Self { body, text: true, ..Self::ok(Outcome::Challenge, "") }
    }

    /// The path names no shop that is configured.
    pub(super) fn unknown_store(platform: Platform) -> Self {
        let message = format!(
            "the store in the path is not a configured {platform} store; \
             compare it with the pipeline files"
        );
        Self::fault(StatusCode::NOT_FOUND, Outcome::UnknownStore, &message)
    }

    /// The API wants a body and there is none.
    pub(super) fn empty() -> Self {
        let message = "the body is empty; send the order as JSON";
        Self::fault(StatusCode::BAD_REQUEST, Outcome::BadRequest, message)
    }

    /// The hand-over panicked.
    pub(super) fn internal() -> Self {
        let message = "the delivery could not be handed over; send it again later";
        Self::fault(StatusCode::INTERNAL_SERVER_ERROR, Outcome::Internal, message)
    }

    /// The token is good, but not for the orders of this shop.
    pub(super) fn forbidden(store: &StoreId, shop: &str) -> Self {
        let message = forbidden(store, shop);
        Self::fault(StatusCode::FORBIDDEN, Outcome::Forbidden, &message)
    }

    /// The request leads nowhere.
    pub(super) fn misroute(misroute: Misroute) -> Self {
        match misroute {
            Misroute::NotFound => Self::fault(
                StatusCode::NOT_FOUND,
                Outcome::NotFound,
                "there is nothing at this path; webhooks go to /webhooks/shopify/{store}, \
                 /webhooks/woocommerce/{store} or /webhooks/magento/{store}/{event}, \
                 orders to /v1/orders or /api/mlm/orders",
            ),
            Misroute::Method { allow, .. } => Self {
                extra: Some((header::ALLOW, allow)),
                ..Self::fault(
                    StatusCode::METHOD_NOT_ALLOWED,
                    Outcome::MethodNotAllowed,
                    &format!("the method is not one of this path; use {allow}"),
                )
            },
            Misroute::Event => Self::fault(
                StatusCode::BAD_REQUEST,
                Outcome::BadRequest,
                "the event in the path may hold letters, digits, '.', '_' and '-', at most 128; \
                 use the name of the event, such as sales.order.created",
            ),
            Misroute::Challenge => Self::fault(
                StatusCode::BAD_REQUEST,
                Outcome::BadRequest,
                "the parameter challenge may hold letters, digits, '-', '.', '_' and '~', \
                 1 to 256 of them; deliveries go to this path with POST",
            ),
        }
    }

    /// The signature or token is not the shop's.
    pub(super) fn disbelief(platform: Platform, disbelief: Disbelief) -> Self {
        let message = match (platform, disbelief) {
            (Platform::Api, Disbelief::Missing(_)) => {
                Cow::Borrowed("the header authorization is missing; send Bearer and the token")
            }
            (Platform::Api, Disbelief::Malformed(_)) => {
                Cow::Borrowed("the header authorization must be Bearer, a blank and the token")
            }
            (Platform::Api, Disbelief::Wrong(_)) => {
                Cow::Borrowed("the token in the header authorization is not valid")
            }
            (_, Disbelief::Missing(name)) => Cow::Owned(format!(
                "the header {name} is missing; give the webhook the secret of this store"
            )),
            (_, Disbelief::Recipient) => Cow::Borrowed(
                "the field recipient_client_id of the body is not the client id of this store; \
                 compare adobe.client_id in the pipeline file with the project of the registration",
            ),
            (Platform::Magento, Disbelief::Malformed(signature::MAGENTO_HMAC)) => {
                let name = signature::MAGENTO_HMAC;
                Cow::Owned(format!("the header {name} must be 64 hexadecimal digits"))
            }
            (Platform::Magento, Disbelief::Malformed(name)) => {
                Cow::Owned(format!("the header {name} must be an RSA signature in base64"))
            }
            (_, Disbelief::Malformed(name)) => {
                Cow::Owned(format!("the header {name} must be 32 bytes in base64"))
            }
            (Platform::Magento, Disbelief::Wrong(name)) if name != signature::MAGENTO_HMAC => {
                Cow::Owned(format!(
                    "the header {name} does not fit the body under any key of this store; compare \
                     the files in adobe.keys with the paths that Adobe sends, and let no proxy \
                     change the body"
                ))
            }
            (_, Disbelief::Wrong(name)) => Cow::Owned(format!(
                "the header {name} does not fit the body; give the webhook the secret of this \
                 store, and let no proxy change the body"
            )),
        };
        let extra = (platform == Platform::Api).then_some((header::WWW_AUTHENTICATE, "Bearer"));
        let answer = Self::fault(StatusCode::UNAUTHORIZED, Outcome::BadSignature, &message);
        Self { extra, ..answer }
    }

    /// The body was not read to its end.
    pub(super) fn cut(cut: Cut, limit: usize, within: Duration, retry_after: Duration) -> Self {
        let answer = match cut {
            Cut::TooLarge => Self::too_large(limit),
            Cut::Overloaded => Self::overloaded(retry_after),
            Cut::Timeout => Self::fault(
                StatusCode::REQUEST_TIMEOUT,
                Outcome::Timeout,
                &format!("the body did not arrive within {within:?}; send it again, faster"),
            ),
            Cut::Broken => Self::fault(
                StatusCode::BAD_REQUEST,
                Outcome::Aborted,
                "the body ended before its time, or is not framed as HTTP wants it",
            ),
        };
        Self { close: true, ..answer }
    }

    /// The log did not take the delivery.
    pub(super) fn intake(error: &IntakeError, retry_after: Duration) -> Self {
        match error {
            IntakeError::Unavailable(_) => Self {
                retry_after: Some(whole_seconds(retry_after)),
                ..Self::fault(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Outcome::Unavailable,
                    "the delivery could not be stored; send it again after Retry-After",
                )
            },
            IntakeError::Overloaded { retry_after } => Self::overloaded(*retry_after),
            IntakeError::TooLarge { limit, .. } => Self::too_large(*limit),
            IntakeError::Refused(_) => Self::fault(
                StatusCode::INTERNAL_SERVER_ERROR,
                Outcome::Refused,
                "the delivery is genuine and cannot be stored; its operator has been told",
            ),
        }
    }

    fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes; send fewer fields");
        Self::fault(StatusCode::PAYLOAD_TOO_LARGE, Outcome::TooLarge, &message)
    }

    /// There is no room for the delivery now.
    pub(super) fn overloaded(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(whole_seconds(retry_after)),
            ..Self::fault(
                StatusCode::SERVICE_UNAVAILABLE,
                Outcome::Overloaded,
                "too much is being received at once; send it again after Retry-After",
            )
        }
    }

    /// What is counted for it.
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Writes it for a client of this version.
    pub(super) fn into_response(self, version: Version) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = if self.text { "text/plain; charset=utf-8" } else { "application/json" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if self.text {
            headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = self.extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // HTTP/2 has no such header: its connection survives a request that was cut off.
        if self.close && version < Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
fn whole_seconds(duration: Duration) -> u64 {
    let rounded = duration.saturating_add(Duration::from_nanos(999_999_999));
    rounded.as_secs().max(1)
}

fn json(value: &impl Serialize) -> Bytes {
    // Two texts always serialize; an empty body would still carry the status.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        let table = [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_500, 60)];
        for (millis, seconds) in table {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_fault_is_json_with_a_stable_code() {
        let answer = Answer::unknown_store(Platform::Shopify);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["error"], "unknown_store");
        assert!(body["message"].as_str().unwrap().contains("store in the path"));
    }

    #[test]
    fn a_connection_is_closed_by_header_in_http_1_only() {
        let cut = || Answer::cut(Cut::TooLarge, 1, Duration::ZERO, Duration::ZERO);
        let closes = |version| cut().into_response(version).headers().contains_key("connection");
        assert_eq!(
            [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2].map(closes),
            [true, true, false]
        );
    }
}
