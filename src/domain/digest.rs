//! SHA-256, as the project uses it: over bytes with an unambiguous framing.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 value; in text it is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct DigestError;

impl Digest {
    /// The digest that a hash chain starts from.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of one run of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of bytes and the text after them, without building the text.
    pub fn of_text(before: &[u8], text: fmt::Arguments<'_>) -> Self {
        struct Hashing(Sha256);
        impl fmt::Write for Hashing {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text);
                Ok(())
            }
        }
        let mut hashing = Hashing(Sha256::new_with_prefix(before));
        // Hashing takes every text; an error could only be one of the values' own.
        fmt::write(&mut hashing, text).unwrap_or_default();
        Self(hashing.0.finalize().into())
    }

    /// The digest of several fields, each preceded by its length, so that no two lists of fields
    /// share their bytes.
    pub fn of_fields<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for field in fields {
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field);
        }
        Self(hasher.finalize().into())
    }

    /// The digest of two digests: one step of a chain or of a Merkle tree.
    pub fn join(left: &Self, right: &Self) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(left.0);
        hasher.update(right.0);
        Self(hasher.finalize().into())
    }

    /// A mark of a text that must not be kept as it is: `sha256:` and the first eight digits of its
    /// digest. Enough to see that two texts are one, too little to be sure of any.
    pub fn mark(text: &str) -> String {
        let digits: String = Self::of(text.as_bytes()).to_string().chars().take(8).collect();
        format!("sha256:{digits}")
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 bytes, which is what a business key of the ledger is made of.
    pub fn short(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        short
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;
    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        <[u8; 32]>::try_from(bytes).map(Self).or(Err(DigestError))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).or(Err(DigestError))?;
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        hex::encode(digest.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_framed() {
        assert_ne!(Digest::of_fields([&b"ab"[..], b"c"]), Digest::of_fields([&b"a"[..], b"bc"]));
    }

    #[test]
    fn a_mark_is_the_beginning_of_the_digest() {
        let digest = Digest::of(b"jane.doe").to_string();
        assert_eq!(Digest::mark("jane.doe"), format!("sha256:{}", &digest[..8]));
    }

    #[test]
    fn a_digest_reads_back_what_it_writes() {
        let digest = Digest::of(b"order");
        assert_eq!(Digest::try_from(String::from(digest)), Ok(digest));
    }
}
