//! The shops that may deliver, with their keys prepared.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, Ordering},
};

use hyper::HeaderMap;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{
    admission::{Comeback, Slot},
    adobe::{self, AdobeEvents, Signatures},
    config::{EdgeError, StoreEndpoint},
    signature::{self, Disbelief, Keyring, Tag, Tokens},
};
use crate::{
    domain::id::{Platform, StoreId},
    stage::platform::Scope,
};

/// How often a shop's refused deliveries are worth a line in the log, in seconds.
const COMPLAINT_INTERVAL: i64 = 60;

/// One shop.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) store: StoreId,
    pub(super) slot: Slot,
    keys: Keyring,
    /// Magento only: the keys of Adobe I/O Events.
    adobe: Option<AdobeEvents>,
    /// The second of the last complaint.
    complained: AtomicI64,
}

/// The proof that a delivery offers.
#[derive(Debug, Clone)]
pub(super) enum Claim {
    /// An HMAC with a secret of the shop.
    Hmac(Tag),
    /// Signatures of Adobe.
    Adobe(Signatures),
}

impl Claim {
    /// Whether a sender that proves itself like this comes again when it is refused.
    pub(super) fn comeback(&self, platform: Platform) -> Comeback {
        match (platform, self) {
            (Platform::Shopify | Platform::Api, _) | (Platform::Magento, Self::Adobe(_)) => {
                Comeback::Sure
            }
            (Platform::WooCommerce, _) | (Platform::Magento, Self::Hmac(_)) => Comeback::Unsure,
        }
    }

    /// The largest body that may come with it, in bytes, where the edge takes `limit`.
    pub(super) fn body_max(&self, limit: usize) -> usize {
        match self {
            Self::Hmac(_) => limit,
            Self::Adobe(_) => limit.min(adobe::BODY_MAX),
        }
    }
}

impl Endpoint {
    /// Reads what the sender claims. A Magento shop with both kinds of keys is judged by the HMAC if
    /// there is one: it is what its own module sends.
    pub(super) fn claimed(
        &self,
        platform: Platform,
        headers: &HeaderMap,
    ) -> Result<Claim, Disbelief> {
        let by_adobe = self.adobe.is_some()
            && (self.keys.is_empty()
                || (adobe::is_claimed(headers) && !headers.contains_key(signature::MAGENTO_HMAC)));
        if by_adobe {
            adobe::claimed(headers).map(Claim::Adobe)
        } else {
            signature::claimed(platform, headers).map(Claim::Hmac)
        }
    }

    /// Whether the claim holds for this body. Without a key for it, it does not.
    pub(super) fn verify(
        &self,
        platform: Platform,
        headers: &HeaderMap,
        body: &[u8],
        claim: &Claim,
    ) -> Result<(), Disbelief> {
        let wrong = Disbelief::Wrong(signature::header(platform, headers));
        match claim {
            // Shopify's own library calls an empty body invalid, whatever its signature.
            Claim::Hmac(_) if platform == Platform::Shopify && body.is_empty() => Err(wrong),
            Claim::Hmac(tag) if self.keys.verify(body, tag) => Ok(()),
            Claim::Hmac(_) => Err(wrong),
            Claim::Adobe(claimed) => match &self.adobe {
                Some(adobe) => adobe.verify(body, claimed),
                None => Err(wrong),
            },
        }
    }

    /// Whether a refusal may be logged now: once a minute and shop, so that a stranger cannot
    /// flood the log and the operator still sees which shop has the wrong secret.
    pub(super) fn may_complain(&self, now: Timestamp) -> bool {
        let now = now.as_second();
        let last = self.complained.load(Ordering::Relaxed);
        now.saturating_sub(last) >= COMPLAINT_INTERVAL
            && self
                .complained
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Who speaks by a token.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) store: StoreId,
    pub(super) slot: Slot,
    /// Whose orders they may write.
    pub(super) scope: Scope,
}

/// All shops, found by the name in a path or by a token.
#[derive(Debug, Default)]
pub(super) struct Directory {
    shopify: HashMap<Box<str>, Endpoint>,
    woocommerce: HashMap<Box<str>, Endpoint>,
    magento: HashMap<Box<str>, Endpoint>,
    api: Vec<Caller>,
    tokens: Tokens,
}

impl Directory {
    /// Prepares every key, and refuses endpoints that contradict each other.
    pub(super) fn new(stores: Vec<StoreEndpoint>) -> Result<Self, EdgeError> {
        let mut directory = Self::default();
        for (place, endpoint) in stores.into_iter().enumerate() {
            let slot = Slot(place);
            let StoreEndpoint { store, platform, secrets, adobe, scope } = endpoint;
            let adobe = adobe.filter(|_| platform == Platform::Magento);
            if adobe.as_ref().map_or(secrets.is_empty(), |adobe| !adobe.is_complete()) {
                return Err(EdgeError::NoSecret { platform, store });
            }
            if secrets.iter().any(|secret| secret.expose_secret().trim().is_empty()) {
                return Err(EdgeError::EmptySecret { platform, store });
            }
            let texts = secrets.iter().map(ExposeSecret::expose_secret);
            let shops = match platform {
                Platform::Shopify => &mut directory.shopify,
                Platform::WooCommerce => &mut directory.woocommerce,
                Platform::Magento => &mut directory.magento,
                Platform::Api => {
                    directory.insert_api(Caller { store, slot, scope }, texts)?;
                    continue;
                }
            };
            let keys = |source| EdgeError::Key { platform, store: store.clone(), source };
            let keys = Keyring::new(platform, texts).map_err(keys)?;
            let complained = AtomicI64::new(i64::MIN);
            let name: Box<str> = store.as_str().into();
            if shops.contains_key(&name) {
                return Err(EdgeError::DuplicateStore { platform, store });
            }
            shops.insert(name, Endpoint { store, slot, keys, adobe, complained });
        }
        Ok(directory)
    }

    fn insert_api<'a>(
        &mut self,
        caller: Caller,
        tokens: impl Iterator<Item = &'a str>,
    ) -> Result<(), EdgeError> {
        let platform = Platform::Api;
        let store = caller.store.clone();
        if self.api.iter().any(|caller| caller.store == store) {
            return Err(EdgeError::DuplicateStore { platform, store });
        }
        for token in tokens {
            match self.tokens.insert(token, self.api.len()) {
                Ok(true) => {}
                Ok(false) => return Err(EdgeError::SharedToken { store }),
                Err(source) => return Err(EdgeError::Key { platform, store, source }),
            }
        }
        self.api.push(caller);
        Ok(())
    }

    /// The shop of a path.
    pub(super) fn shop(&self, platform: Platform, name: &str) -> Option<&Endpoint> {
        match platform {
            Platform::Shopify => self.shopify.get(name),
            Platform::WooCommerce => self.woocommerce.get(name),
            Platform::Magento => self.magento.get(name),
            Platform::Api => None,
        }
    }

    /// Whose a request's bearer token is.
    pub(super) fn bearer(&self, headers: &HeaderMap) -> Result<&Caller, Disbelief> {
        let token = signature::bearer(headers)?;
        self.tokens
            .find(token)
            .and_then(|store| self.api.get(store))
            .ok_or(Disbelief::Wrong("authorization"))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::stage::platform::StorePolicy;

    fn endpoint(platform: Platform, store: &str, secrets: &[&str]) -> StoreEndpoint {
        let store = StoreId::parse(store).unwrap();
        let secrets = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
        let scope = Scope::new(store.clone(), &StorePolicy::default());
        StoreEndpoint { store, platform, secrets, adobe: None, scope }
    }

    fn refused(stores: Vec<StoreEndpoint>) -> String {
        Directory::new(stores).unwrap_err().to_string()
    }

    #[test]
    fn one_name_may_be_used_on_every_platform() {
        let stores = Platform::ALL.map(|platform| endpoint(platform, "acme", &["open sesame"]));
        assert!(!format!("{stores:?}").contains("sesame"));
        let directory = Directory::new(stores.into()).unwrap();
        assert!(directory.shop(Platform::Shopify, "acme").is_some());
        assert!(directory.shop(Platform::Shopify, "other").is_none());
        assert!(directory.shop(Platform::Api, "acme").is_none());
        assert!(!format!("{directory:?}").contains("sesame"));
    }

    #[test]
    fn endpoints_that_would_let_anybody_in_are_refused() {
        let one = |platform, secrets: &[&str]| refused(vec![endpoint(platform, "a", secrets)]);
        assert_eq!(one(Platform::Shopify, &[]), "the shopify store a has no secret");
        let keyless = AdobeEvents { client_id: "id".into(), keys: Vec::new() };
        for platform in [Platform::Magento, Platform::Shopify] {
            let adobe = Some(keyless.clone());
            let half = StoreEndpoint { adobe, ..endpoint(platform, "a", &[]) };
            assert_eq!(refused(vec![half]), format!("the {platform} store a has no secret"));
        }
        assert_eq!(one(Platform::Api, &["x", " "]), "the api store a has an empty secret");
        let two = |platform, first, second| {
            refused(vec![endpoint(platform, first, &["x"]), endpoint(platform, second, &["x"])])
        };
        assert_eq!(two(Platform::Magento, "a", "a"), "the magento store a is configured twice");
        assert_eq!(two(Platform::Api, "a", "a"), "the api store a is configured twice");
        assert!(two(Platform::Api, "a", "b").contains("a token that another store has too"));
    }

    #[test]
    fn a_shop_is_complained_about_once_a_minute() {
        let directory =
            Directory::new(vec![endpoint(Platform::Shopify, "acme", &["secret"])]).unwrap();
        let shop = directory.shop(Platform::Shopify, "acme").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(shop.may_complain(at(1_000)));
        assert!(!shop.may_complain(at(1_059)));
        assert!(shop.may_complain(at(1_060)));
    }
}
