//! Signatures over raw bytes, and bearer tokens. Pure.
//!
//! Invariant: what is compared with a secret's product is compared in constant time, and no type
//! here shows its key in `Debug`.
//!
//! The RSA signatures of Adobe I/O Events are in `adobe`. Deliberately absent: those of Adobe Commerce
//! webhooks, which call the shop's partner in the middle of a checkout and wait.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{
    Hmac, Mac as _,
    digest::{CtOutput, InvalidLength},
};
use hyper::HeaderMap;
use sha2::Sha256;

use crate::domain::id::Platform;

/// The header by which a delivery of Shopify's "Events" is known; classic webhooks have `x-` before
/// it. Shopify's own library tells the two apart in this way.
pub(super) const SHOPIFY_EVENTS_HMAC: &str = "shopify-hmac-sha256";
const SHOPIFY_HMAC: &str = "x-shopify-hmac-sha256";
const WOOCOMMERCE_HMAC: &str = "x-wc-webhook-signature";
pub(super) const MAGENTO_HMAC: &str = "x-magento-signature";

/// The length of 32 bytes in padded base64.
const BASE64_LENGTH: usize = 44;

/// An HMAC-SHA256 value that a sender claims.
pub(super) type Tag = [u8; 32];

/// Why a delivery is not believed to be the shop's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disbelief {
    /// The header is not there.
    Missing(&'static str),
    /// The header does not hold 32 bytes in its encoding.
    Malformed(&'static str),
    /// None of the shop's secrets or keys gives this value for this body.
    Wrong(&'static str),
    /// Adobe signed it, for another of its customers.
    Recipient,
}

/// One key, with both inner hash states computed.
#[derive(Clone)]
struct Key(Hmac<Sha256>);

/// The keys of one shop, in the order of its secrets.
#[derive(Clone)]
pub(super) struct Keyring(Box<[Key]>);

impl Keyring {
    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prepares the keys of a platform: one per secret, and for `WooCommerce` one more where the
    /// decoded secret differs.
    pub(super) fn new<'a>(
        platform: Platform,
        secrets: impl Iterator<Item = &'a str>,
    ) -> Result<Self, InvalidLength> {
        let mut keys = Vec::new();
        for secret in secrets {
            keys.push(Key(Hmac::new_from_slice(secret.as_bytes())?));
            // WordPress stores a secret with special characters escaped and signs with the decoded
            // form; whoever copied it may have either, so both count.
            if platform == Platform::WooCommerce
                && let Cow::Owned(decoded) = wp_specialchars_decode(secret)
            {
                keys.push(Key(Hmac::new_from_slice(decoded.as_bytes())?));
            }
        }
        Ok(Self(keys.into()))
    }

    /// Whether one of the keys gives this value for these bytes. Which one is no secret; the
    /// comparison with each is in constant time.
    pub(super) fn verify(&self, body: &[u8], tag: &Tag) -> bool {
        self.0.iter().any(|key| key.0.clone().chain_update(body).verify_slice(tag).is_ok())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

/// The name of the header in which this delivery carries its signature.
pub(super) fn header(platform: Platform, headers: &HeaderMap) -> &'static str {
    match platform {
        Platform::Shopify if headers.contains_key(SHOPIFY_EVENTS_HMAC) => SHOPIFY_EVENTS_HMAC,
        Platform::Shopify => SHOPIFY_HMAC,
        Platform::WooCommerce => WOOCOMMERCE_HMAC,
        Platform::Magento => MAGENTO_HMAC,
        Platform::Api => "authorization",
    }
}

/// Reads the value that the sender claims. For the API there is none: it has tokens.
pub(super) fn claimed(platform: Platform, headers: &HeaderMap) -> Result<Tag, Disbelief> {
    let name = header(platform, headers);
    let value = headers.get(name).ok_or(Disbelief::Missing(name))?.as_bytes();
    let tag = match platform {
        Platform::Shopify | Platform::WooCommerce => decode_base64(value),
        Platform::Magento => decode_hex(value),
        Platform::Api => None,
    };
    tag.ok_or(Disbelief::Malformed(name))
}

fn decode_base64(value: &[u8]) -> Option<Tag> {
    if value.len() != BASE64_LENGTH {
        return None;
    }
    // One byte more than 32: the decoder wants room for an estimate.
    let mut bytes = [0; 33];
    let length = STANDARD.decode_slice(value, &mut bytes).ok()?;
    Tag::try_from(bytes.get(..length)?).ok()
}

fn decode_hex(value: &[u8]) -> Option<Tag> {
    let mut tag = Tag::default();
    hex::decode_to_slice(value, &mut tag).ok()?;
    Some(tag)
}

/// `WordPress`' `wp_specialchars_decode(text, ENT_QUOTES)`: one pass, zero padding of decimal and
/// hexadecimal entities ignored, anything else left as it is. Borrowed if nothing changes.
pub(super) fn wp_specialchars_decode(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut decoded = String::new();
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        decoded.push_str(before);
        let (character, length) = entity_at_start(entity).unwrap_or(('&', 1));
        decoded.push(character);
        rest = entity.get(length..).unwrap_or_default();
    }
    decoded.push_str(rest);
    if decoded == text { Cow::Borrowed(text) } else { Cow::Owned(decoded) }
}

/// The character that an entity stands for, and the length of the entity in bytes.
fn entity_at_start(text: &str) -> Option<(char, usize)> {
    let name = text.strip_prefix('&')?.split_once(';')?.0;
    let character = match name {
        "quot" => '"',
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        numeric => {
            let digits = numeric.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                // Of the hexadecimal forms WordPress knows these three only.
                Some(hex) => match hex.trim_start_matches('0') {
                    "27" => '\'',
                    "22" => '"',
                    "26" => '&',
                    _ => return None,
                },
                None => match digits.trim_start_matches('0') {
                    "39" => '\'',
                    "34" => '"',
                    "60" => '<',
                    "62" => '>',
                    "38" => '&',
                    _ => return None,
                },
            }
        }
    };
    // The name, the ampersand and the semicolon.
    Some((character, name.len().saturating_add(2)))
}

/// The bearer tokens of the API and, for each, the position of its store.
#[derive(Default)]
pub(super) struct Tokens(Vec<(CtOutput<Hmac<Sha256>>, usize)>);

impl Tokens {
    /// Adds a token. False if it is there already, for another store or for the same.
    pub(super) fn insert(&mut self, token: &str, store: usize) -> Result<bool, InvalidLength> {
        if self.find(token.as_bytes()).is_some() {
            return Ok(false);
        }
        self.0.push((fingerprint(token.as_bytes())?, store));
        Ok(true)
    }

    /// The position of the store that a token speaks for.
    ///
    /// Fingerprints are compared in constant time and all of them, so the time tells neither how
    /// much of a token is right nor whose it is.
    pub(super) fn find(&self, token: &[u8]) -> Option<usize> {
        let presented = fingerprint(token).ok()?;
        let mut found = None;
        for (known, store) in &self.0 {
            if *known == presented {
                found = Some(*store);
            }
        }
        found
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// A value of fixed length that depends on the whole token and does not give it away.
fn fingerprint(token: &[u8]) -> Result<CtOutput<Hmac<Sha256>>, InvalidLength> {
    Ok(Hmac::<Sha256>::new_from_slice(token)?.finalize())
}

/// The token of an `Authorization: Bearer` header; the scheme's name is compared without case.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&[u8], Disbelief> {
    const NAME: &str = "authorization";
    let value = headers.get(NAME).ok_or(Disbelief::Missing(NAME))?.as_bytes();
    let (scheme, token) = value.split_at_checked(7).ok_or(Disbelief::Malformed(NAME))?;
    let token = token.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Disbelief::Malformed(NAME))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn ring(platform: Platform, secrets: &[&str]) -> Keyring {
        Keyring::new(platform, secrets.iter().copied()).unwrap()
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
        headers
    }

    fn believed(
        platform: Platform,
        secret: &str,
        body: &str,
        header: &'static str,
        value: &str,
    ) -> bool {
        claimed(platform, &headers(header, value))
            .is_ok_and(|tag| ring(platform, &[secret]).verify(body.as_bytes(), &tag))
    }

    const MESSAGE: &str = "\"my secret message\"";
    const OF_MESSAGE: &str = "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI=";
    const OF_BF: &str = "3X6clrsy+C8mmzR/MeTh6b/EcLr46WLZaU+24GrPXOM=";
    const ORDER: &str = r#"{"id": 123, "status": "processing"}"#;
    const OF_ORDER: &str = "xsxL38gsSDx9IOHLzQLecldfYxJ+KsjjqHc70XAIyyM=";
    const NUMBER: &str = r#"{"id":727}"#;
    const OF_NUMBER: &str = "W1Q7BekWx/p7QF5ar9VrTckW7u2GziVYF1/fs3QMSWk=";
    const ENTITY: &str = r#"{"data":{"entity_id":1}}"#;
    const OF_ENTITY: &str = "a227ee00ae2fad8933a64f393ebb5068070fd0e1cb2f6b84ce298a818b4ff836";

    /// Platform, secret, body, signature. The first two are from the tests of go-shopify and
    /// `ShopifySharp`, the others were computed apart from this code by the senders' rules.
    const KNOWN: [(Platform, &str, &str, &str); 6] = [
        (Platform::Shopify, "hush", MESSAGE, OF_MESSAGE),
        (Platform::Shopify, "some-secret", "Bf", OF_BF),
        (Platform::WooCommerce, "test_woocommerce_secret_key", ORDER, OF_ORDER),
        (Platform::WooCommerce, "a&amp;b&quot;c&#039;d", NUMBER, OF_NUMBER),
        (Platform::WooCommerce, "a&b\"c'd", NUMBER, OF_NUMBER),
        (Platform::Magento, "fD03@NpYbXYg", ENTITY, OF_ENTITY),
    ];

    #[test]
    fn known_signatures_are_believed_and_nothing_near_them_is() {
        for (platform, secret, body, value) in KNOWN {
            let name = header(platform, &HeaderMap::new());
            assert!(believed(platform, secret, body, name, value), "{secret}");
            assert!(!believed(platform, "another secret", body, name, value), "{secret}");
            assert!(!believed(platform, secret, "another body", name, value), "{secret}");
            assert!(!believed(platform, secret, body, name, "wronghash"), "{secret}");
        }
        let upper = OF_ENTITY.to_uppercase();
        assert!(believed(Platform::Magento, "fD03@NpYbXYg", ENTITY, MAGENTO_HMAC, &upper));
    }

    #[test]
    fn any_of_several_secrets_will_do() {
        let headers = headers(SHOPIFY_HMAC, OF_MESSAGE);
        let tag = claimed(Platform::Shopify, &headers).unwrap();
        let ring = ring(Platform::Shopify, &["new", "hush"]);
        assert!(ring.verify(b"\"my secret message\"", &tag));
        assert_eq!(format!("{ring:?}"), "Keyring(2 keys)");
    }

    #[test]
    fn an_unreadable_signature_is_malformed() {
        let bad =
            ["", "a", "====", &"A".repeat(43), &"A".repeat(44), &"A".repeat(45), &"A".repeat(9000)];
        for value in bad {
            let found = claimed(Platform::Shopify, &headers(SHOPIFY_HMAC, value));
            assert_eq!(found, Err(Disbelief::Malformed(SHOPIFY_HMAC)), "{value}");
        }
        for value in ["", "abc", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64)] {
            let found = claimed(Platform::Magento, &headers(MAGENTO_HMAC, value));
            assert_eq!(found, Err(Disbelief::Malformed(MAGENTO_HMAC)), "{value}");
        }
        let none = HeaderMap::new();
        assert_eq!(claimed(Platform::Magento, &none), Err(Disbelief::Missing(MAGENTO_HMAC)));
    }

    #[test]
    fn the_events_header_of_shopify_wins() {
        let mut both = headers(SHOPIFY_HMAC, OF_MESSAGE);
        both.insert(SHOPIFY_EVENTS_HMAC, HeaderValue::from_static("x"));
        let found = claimed(Platform::Shopify, &both);
        assert_eq!(found, Err(Disbelief::Malformed(SHOPIFY_EVENTS_HMAC)));
    }

    #[test]
    fn wordpress_entities_are_decoded_once() {
        let table = [
            ("plain", "plain"),
            ("a&b", "a&b"),
            ("&amp;lt;", "&lt;"),
            ("&quot;&#034;&#x22;&#X0022;", "\"\"\"\""),
            ("&#39;&#00039;&#x27;", "'''"),
            ("&lt;&#060;&gt;&#062;&#038;&#x26;", "<<>>&&"),
            ("&nbsp;&apos;&#65;&#;&;&", "&nbsp;&apos;&#65;&#;&;&"),
            ("é&amp;é", "é&é"),
        ];
        for (text, decoded) in table {
            assert_eq!(wp_specialchars_decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn a_token_finds_its_store_and_nothing_else_does() {
        let mut tokens = Tokens::default();
        assert!(tokens.insert("first-token", 0).unwrap());
        assert!(tokens.insert("second-token", 1).unwrap());
        assert!(!tokens.insert("first-token", 1).unwrap());
        assert_eq!(tokens.find(b"second-token"), Some(1));
        assert_eq!(tokens.find(b"second-toke"), None);
        assert_eq!(tokens.find(b""), None);
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn a_bearer_header_is_read_without_regard_to_case() {
        let read = |value: &str| bearer(&headers("authorization", value)).map(<[u8]>::to_vec);
        assert_eq!(read("Bearer abc"), Ok(b"abc".to_vec()));
        assert_eq!(read("bearer  abc "), Ok(b"abc".to_vec()));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "Bearerabc"] {
            assert_eq!(read(bad), Err(Disbelief::Malformed("authorization")), "{bad}");
        }
        assert_eq!(bearer(&HeaderMap::new()), Err(Disbelief::Missing("authorization")));
    }

    proptest! {
        #[test]
        fn no_header_panics_and_none_is_believed_by_chance(
            value in proptest::collection::vec(any::<u8>(), 0..100),
            tag in any::<[u8; 32]>(),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            secret in "[ -~]{1,40}",
        ) {
            for platform in Platform::ALL {
                let ring = ring(platform, &[&secret]);
                let encoded = [STANDARD.encode(tag), hex::encode(tag)].map(String::into_bytes);
                for value in encoded.into_iter().chain([value.clone()]) {
                    let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                    let mut headers = HeaderMap::new();
                    for name in [SHOPIFY_HMAC, WOOCOMMERCE_HMAC, MAGENTO_HMAC, "authorization"] {
                        headers.insert(name, value.clone());
                    }
                    let claim = claimed(platform, &headers);
                    prop_assert!(!claim.is_ok_and(|tag| ring.verify(&body, &tag)));
                    let mut tokens = Tokens::default();
                    tokens.insert(&format!("{secret}~"), 0).unwrap();
                    let token = bearer(&headers).unwrap_or_default();
                    prop_assert_eq!(tokens.find(token), None);
                }
            }
        }

        #[test]
        fn decoding_entities_never_panics(text in "(&|#|x|0|2|7|;|amp|quot|é){0,30}") {
            let decoded = wp_specialchars_decode(&text).into_owned();
            prop_assert!(decoded.len() <= text.len());
        }
    }
}
