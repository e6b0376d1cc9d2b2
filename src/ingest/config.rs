//! What the edge is told at boot, and why it may refuse to start.

use std::{
    io,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use secrecy::SecretString;

use super::{admission::AdmissionConfig, adobe::AdobeEvents};
use crate::{
    domain::id::{Platform, StoreId},
    stage::platform::Scope,
};

/// The limits of the edge. Every one is finite.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The largest body, in bytes. At least 10 MB: Shopify's bodies pass a megabyte, and it
    /// publishes no bound.
    pub body_limit: NonZeroUsize,
    /// The most bytes of bodies held at once, over all requests, from the first byte read until
    /// the answer. What goes beyond is answered with 503. Not less than `body_limit`.
    pub buffered_limit: NonZeroUsize,
    /// The largest request head, in bytes: line and headers. Beyond it the answer is 431. Less than
    /// 8192 counts as 8192, which is the least that the HTTP/1 parser works with.
    pub head_limit: NonZeroU32,
    /// The most connections open at once. The next one is not refused: it waits in the accept
    /// queue of the kernel until one closes. A refusal would be a lost order for `WooCommerce`,
    /// which never retries, and connections that do nothing close by themselves (`header_timeout`,
    /// `keep_alive`).
    pub max_connections: NonZeroUsize,
    /// The most requests at once on one HTTP/2 connection.
    pub max_streams: NonZeroU32,
    /// From the opening of a connection until its first request head is complete. A connection
    /// slower than that is closed without an answer.
    pub header_timeout: Duration,
    /// From the request head until the last byte of the body; then the answer is 408.
    pub body_timeout: Duration,
    /// How long a connection may be without a request after its first one. A slow second head
    /// counts as none.
    pub keep_alive: Duration,
    /// How long a request waits for the log; then the answer is 503. Shopify hangs up after 5 s,
    /// Adobe after 10 s, mage-os after 15 s, `WooCommerce` after 60 s and for good, so a little
    /// less than the last is worth waiting.
    pub accept_timeout: Duration,
    /// From the stop until whatever is still open is cut off.
    pub drain_timeout: Duration,
    /// The `Retry-After` of an answer that names no other, and the least that any names; rounded up to
    /// seconds.
    pub retry_after: Duration,
    /// Who is let in when not everybody can be.
    pub admission: AdmissionConfig,
}

impl EdgeConfig {
    /// The default limits, for one listener address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            body_limit: const_size(10 * 1024 * 1024),
            buffered_limit: const_size(256 * 1024 * 1024),
            head_limit: NonZeroU32::MIN.saturating_add(64 * 1024 - 1),
            max_connections: const_size(1024),
            max_streams: NonZeroU32::MIN.saturating_add(127),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            accept_timeout: Duration::from_secs(50),
            drain_timeout: Duration::from_secs(20),
            retry_after: Duration::from_secs(5),
            admission: AdmissionConfig::default(),
        }
    }

    /// Refuses limits that do not agree with each other.
    pub(super) fn check(&self) -> Result<(), EdgeError> {
        let durations = [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("keep_alive", self.keep_alive),
            ("accept_timeout", self.accept_timeout),
            ("drain_timeout", self.drain_timeout),
            ("retry_after", self.retry_after),
        ];
        if let Some((field, _)) = durations.into_iter().find(|(_, value)| value.is_zero()) {
            return Err(EdgeError::Limit { field, reason: "must be longer than zero" });
        }
        if self.buffered_limit < self.body_limit {
            let reason = "must not be less than body_limit, or the largest body never fits";
            return Err(EdgeError::Limit { field: "buffered_limit", reason });
        }
        Ok(())
    }
}

/// `NonZeroUsize` of a constant that is not zero.
fn const_size(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN)
}

/// A shop that may deliver.
#[derive(Debug, Clone)]
pub struct StoreEndpoint {
    /// The shop, as its path names it. For the API the shop that its tokens speak for.
    pub store: StoreId,
    /// The platform: it decides the path and the kind of signature.
    pub platform: Platform,
    /// The secrets that are valid now, one of which must have signed; several during a rotation
    /// (Shopify goes on with the old one for up to an hour). For the API they are bearer tokens.
    pub secrets: Vec<SecretString>,
    /// For Magento: how deliveries of Adobe I/O Events prove themselves, beside or in the place of
    /// the secrets.
    pub adobe: Option<AdobeEvents>,
    /// For the API: whose orders the tokens may write.
    pub scope: Scope,
}

/// Why the edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A limit makes no sense, alone or with another.
    #[error("{field} {reason}")]
    Limit {
        /// The field of [`EdgeConfig`].
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two endpoints have the same platform and name, so one path would mean both.
    #[error("the {platform} store {store} is configured twice")]
    DuplicateStore {
        /// The platform.
        platform: Platform,
        /// The shop.
        store: StoreId,
    },
    /// An endpoint has no secret, or keys of Adobe without a client id, so nothing that it sends could be proved.
    #[error("the {platform} store {store} has no secret")]
    NoSecret {
        /// The platform.
        platform: Platform,
        /// The shop.
        store: StoreId,
    },
    /// A secret is empty or blank, so that anybody could sign with it.
    #[error("the {platform} store {store} has an empty secret")]
    EmptySecret {
        /// The platform.
        platform: Platform,
        /// The shop.
        store: StoreId,
    },
    /// Two API stores share a token, so it would not say which store speaks.
    #[error("the api store {store} has a token that another store has too")]
    SharedToken {
        /// The second of the two.
        store: StoreId,
    },
    /// A secret cannot be made a key.
    #[error("a secret of the {platform} store {store} cannot be used as a key")]
    Key {
        /// The platform.
        platform: Platform,
        /// The shop.
        store: StoreId,
        /// What the key derivation says.
        #[source]
        source: hmac::digest::InvalidLength,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}
