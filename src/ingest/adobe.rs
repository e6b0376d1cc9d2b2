//! The signatures of Adobe I/O Events: RSA (PKCS#1 v1.5) with SHA-256 over the raw body. Pure.
//!
//! A delivery carries two signatures by two of Adobe's keys, and the path of each key on a host of
//! Adobe's. Nothing is fetched: the operator keeps the keys in files, so a header cannot choose by
//! which key it is judged, and the edge needs no way out.
//!
//! Invariant: a signature alone proves nothing. Adobe signs the events of all its customers with the
//! same keys, so a delivery must also be addressed to this store: its `recipient_client_id` is the
//! configured one. Adobe's own library refuses a body without it, and so does this.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::HeaderMap;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;

use super::signature::Disbelief;

/// The headers of the two signatures, one of which must be right.
const SIGNATURES: [&str; 2] = ["x-adobe-digital-signature-1", "x-adobe-digital-signature-2"];

/// The most keys of one store: two that sign now, two that will next, and as many again. It bounds
/// what a forged delivery costs: each signature is tried with each key.
pub const KEYS_MAX: usize = 8;

/// The largest body that Adobe may send, in bytes. Commerce makes no event above 64 KiB, and a batch
/// holds few; each try hashes the body anew, so forgeries must not be large.
pub(super) const BODY_MAX: usize = 2 * 1024 * 1024;

/// The lengths of a modulus that the verification takes, in bits.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The longest signature in base64: 8192 bits.
const BASE64_MAX: usize = 1368;

/// Why a text is not a public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no block or more than one.
    #[error(
        "it must hold one public key between -----BEGIN PUBLIC KEY----- and -----END PUBLIC KEY-----"
    )]
    Frame,
    /// What stands in the block is not base64.
    #[error("its block is not base64")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are not those of an RSA public key.
    #[error("it is not an RSA public key (SubjectPublicKeyInfo or PKCS#1)")]
    Shape,
    /// The modulus is too short to be safe, or too long.
    #[error("its modulus has {0} bits, 2048 to 8192 are usable")]
    Bits(usize),
}

/// An RSA public key of Adobe's.
#[derive(Clone, PartialEq, Eq)]
pub struct AdobeKey {
    /// The modulus, big-endian, without leading zeros.
    n: Box<[u8]>,
    /// The public exponent, in the same form.
    e: Box<[u8]>,
}

impl fmt::Debug for AdobeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdobeKey({} bits)", bits(&self.n))
    }
}

impl AdobeKey {
    /// Reads a PEM text with one public key, as Adobe serves it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyError::Frame)?;
        let (label, rest) = rest.split_once("-----").ok_or(KeyError::Frame)?;
        let end = format!("-----END {label}-----");
        let (block, after) = rest.split_once(&end).ok_or(KeyError::Frame)?;
        if after.contains("-----BEGIN ") {
            return Err(KeyError::Frame);
        }
        let block: String = block.split_ascii_whitespace().collect();
        let der = STANDARD.decode(block)?;
        let key = match label {
            "PUBLIC KEY" => public_key_info(&der),
            "RSA PUBLIC KEY" => Some(&*der),
            _ => return Err(KeyError::Frame),
        };
        Self::from_der(key.ok_or(KeyError::Shape)?)
    }

    /// Reads `RSAPublicKey` of RFC 8017: a sequence of modulus and exponent.
    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let integer = |bytes| {
            let (value, rest) = element(0x02, bytes)?;
            // A leading zero keeps the number positive; it is no part of it.
            Some((value.strip_prefix(&[0]).unwrap_or(value), rest))
        };
        let read = || {
            let (body, b"") = element(0x30, der)? else { return None };
            let (n, rest) = integer(body)?;
            let (e, b"") = integer(rest)? else { return None };
            Some((n, e)).filter(|(n, e)| [n, e].iter().all(|number| number.first() > Some(&0)))
        };
        let (n, e) = read().ok_or(KeyError::Shape)?;
        if !BITS.contains(&bits(n)) {
            return Err(KeyError::Bits(bits(n)));
        }
        Ok(Self { n: n.into(), e: e.into() })
    }

    fn verify(&self, body: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, body, signature).is_ok()
    }
}

/// The length of a number without leading zeros, in bits.
fn bits(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len().saturating_mul(8).saturating_sub(usize::try_from(zeros).unwrap_or(0))
}

/// The key in a `SubjectPublicKeyInfo` of RFC 5280 whose algorithm is rsaEncryption.
fn public_key_info(der: &[u8]) -> Option<&[u8]> {
    const RSA_ENCRYPTION: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let (info, b"") = element(0x30, der)? else { return None };
    let (algorithm, rest) = element(0x30, info)?;
    let (bit_string, b"") = element(0x03, rest)? else { return None };
    // The first byte counts the bits that are not used at the end.
    let key = bit_string.strip_prefix(&[0])?;
    (algorithm == RSA_ENCRYPTION).then_some(key)
}

/// One element of DER with this tag: its content, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // Two bytes are enough: a key of 8192 bits has little more than 1024 bytes.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x0f))?;
            let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
            (bytes.iter().fold(0, add), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// How a store takes deliveries of Adobe I/O Events.
#[derive(Debug, Clone)]
pub struct AdobeEvents {
    /// The client id (API key) of the project that the events are registered in. No secret.
    pub client_id: Box<str>,
    /// Adobe's public keys, several while it changes them.
    pub keys: Vec<AdobeKey>,
}

/// What a delivery claims: up to two signatures.
#[derive(Debug, Clone)]
pub(super) struct Signatures(Vec<Vec<u8>>);

/// A body, or each of a batch, of which only the addressee is read.
#[derive(Deserialize)]
struct Addressed<'a> {
    #[serde(borrow, default)]
    recipient_client_id: Option<Cow<'a, str>>,
}

impl AdobeEvents {
    /// Whether something could be proved by it.
    pub(super) fn is_complete(&self) -> bool {
        !self.keys.is_empty() && !self.client_id.trim().is_empty()
    }

    /// Whether one of the signatures is by one of the keys, and the body is for this store. The body
    /// is not looked into before its signature is right.
    pub(super) fn verify(&self, body: &[u8], claimed: &Signatures) -> Result<(), Disbelief> {
        let Signatures(claimed) = claimed;
        let signed = claimed.iter().any(|sign| self.keys.iter().any(|key| key.verify(body, sign)));
        if !signed {
            return Err(Disbelief::Wrong(SIGNATURES[0]));
        }
        if self.is_addressed(body) { Ok(()) } else { Err(Disbelief::Recipient) }
    }

    /// Whether the body, or every event of a batch, names the client id.
    fn is_addressed(&self, body: &[u8]) -> bool {
        let own =
            |event: &Addressed<'_>| event.recipient_client_id.as_deref() == Some(&*self.client_id);
        if body.trim_ascii_start().first() == Some(&b'[') {
            let batch: Result<Vec<Addressed<'_>>, _> = serde_json::from_slice(body);
            return batch.is_ok_and(|events| !events.is_empty() && events.iter().all(own));
        }
        serde_json::from_slice(body).is_ok_and(|event| own(&event))
    }
}

/// Whether a delivery says that it comes from Adobe.
pub(super) fn is_claimed(headers: &HeaderMap) -> bool {
    SIGNATURES.iter().any(|name| headers.contains_key(*name))
}

/// The signatures of a delivery; one that cannot be read does not spoil the other.
pub(super) fn claimed(headers: &HeaderMap) -> Result<Signatures, Disbelief> {
    if !is_claimed(headers) {
        return Err(Disbelief::Missing(SIGNATURES[0]));
    }
    let values = SIGNATURES.iter().filter_map(|name| headers.get(*name));
    let signatures: Vec<Vec<u8>> = values
        .map(|value| value.as_bytes().trim_ascii())
        .filter(|text| (1..=BASE64_MAX).contains(&text.len()))
        .filter_map(|text| STANDARD.decode(text).ok())
        .collect();
    if signatures.is_empty() {
        return Err(Disbelief::Malformed(SIGNATURES[0]));
    }
    Ok(Signatures(signatures))
}
