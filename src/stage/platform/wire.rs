//! Tolerant wire types: what a platform may send where a scalar, a list or an object is expected.
//!
//! Invariant: no type here fails because of a value, only because of broken JSON. Whether a value
//! is needed, and what is wrong with it, is decided where it is used, with the path at hand; so a
//! field that nobody needs can hold anything. No number ever passes through a float: its text is
//! kept.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, marker::PhantomData};

use jiff::{Timestamp, civil, tz::Offset};
use rust_decimal::Decimal;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

pub(crate) use super::path::Path;
use crate::{
    domain::money::{Currency, Money, MoneyError},
    stage::{RejectCode, Rejection},
};

/// A scalar as it stands in the body, undecided: platforms send amounts as text and as numbers, ids
/// as numbers and as text, SKUs as `""`, `null` or `123`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Raw<'a> {
    /// The field is not there.
    #[default]
    Absent,
    /// `null`, or the empty array or object that PHP writes for "nothing".
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The digits of a number.
    Number(&'a str),
    /// A text, unescaped.
    Text(Cow<'a, str>),
    /// An object, an array, or a text with broken escapes.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::of(<&'de RawValue>::deserialize(from)?.get()))
    }
}

impl<'a> Raw<'a> {
    fn of(json: &'a str) -> Self {
        let json = json.trim();
        match json.as_bytes().first() {
            Some(b'"') => Self::unquote(json),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(b'{' | b'[') => {
                let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
                if inner.trim().is_empty() { Self::Null } else { Self::Other }
            }
            Some(_) => Self::Number(json),
        }
    }

    fn unquote(json: &'a str) -> Self {
        let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match inner {
            Some(inner) if !inner.contains('\\') => Self::Text(Cow::Borrowed(inner)),
            _ => serde_json::from_str::<String>(json)
                .map_or(Self::Other, |text| Self::Text(Cow::Owned(text))),
        }
    }

    /// Text or the digits of a number, without surrounding blanks; `None` if there is nothing.
    pub(crate) fn text(&self) -> Option<&str> {
        let text = match self {
            Self::Text(text) => text.trim(),
            Self::Number(digits) => digits,
            Self::Absent | Self::Null | Self::Bool(_) | Self::Other => return None,
        };
        if text.is_empty() { None } else { Some(text) }
    }

    /// Whether the field says nothing: absent, `null`, `""`, or PHP's `false` for "no value".
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Absent | Self::Null | Self::Bool(false) => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Bool(true) | Self::Number(_) | Self::Other => false,
        }
    }

    /// Whether it is `true`, `1`, `"1"`, `"true"` or `"yes"`.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Number(_) | Self::Text(_) => matches!(self.text(), Some("1" | "true" | "yes")),
            Self::Absent | Self::Null | Self::Other => false,
        }
    }

    /// The key of a resource: digits or text, a `gid://` cut to its last part; `0` is no key.
    pub(crate) fn id(&self) -> Option<&str> {
        let text = self.text()?;
        let text = if text.starts_with("gid://") {
            text.rsplit('/').next()?.split('?').next()?
        } else {
            text.strip_suffix(".0").unwrap_or(text)
        };
        if text == "0" || text.is_empty() { None } else { Some(text) }
    }

    /// An amount that has to be there.
    pub(crate) fn amount(&self, at: Path<'_>) -> Result<Money, Rejection> {
        self.amount_if_any(at)?.ok_or_else(|| at.missing("an amount such as \"19.80\""))
    }

    /// An amount, or nothing where the field says nothing.
    pub(crate) fn amount_or_zero(&self, at: Path<'_>) -> Result<Money, Rejection> {
        Ok(self.amount_if_any(at)?.unwrap_or_default())
    }

    /// An amount if there is one. What is finer than six places is rounded to the even digit: no
    /// platform pays such fractions, they are remains of a division.
    pub(crate) fn amount_if_any(&self, at: Path<'_>) -> Result<Option<Money>, Rejection> {
        let Some(value) = self.decimal(at)? else { return Ok(None) };
        bounded(value, at).map(Some)
    }

    /// A number of units; nothing there counts as one, since a row sells something.
    pub(crate) fn quantity(&self, at: Path<'_>) -> Result<Decimal, Rejection> {
        let Some(value) = self.decimal(at)? else { return Ok(Decimal::ONE) };
        if value.abs() > Decimal::from(1_000_000_000) {
            return Err(at.reject(RejectCode::Value, "the quantity is above 1000000000"));
        }
        Ok(value.round_dp(6).normalize())
    }

    /// A decimal number if there is one.
    pub(crate) fn decimal(&self, at: Path<'_>) -> Result<Option<Decimal>, Rejection> {
        if self.is_nothing() {
            return Ok(None);
        }
        let Some(text) = self.text() else {
            return Err(at.reject(RejectCode::Shape, "expected a number or a text with a number"));
        };
        match parse_decimal(text) {
            Some(value) => Ok(Some(value)),
            None => Err(at.reject(
                RejectCode::Value,
                format!("{:?} is not a decimal number, expected one such as \"19.80\"", head(text)),
            )),
        }
    }

    /// An instant if there is one: RFC 3339 with any offset; without an offset it is UTC, as the
    /// `_gmt` fields of WooCommerce and all times of Magento are.
    pub(crate) fn time(&self, at: Path<'_>) -> Result<Option<Timestamp>, Rejection> {
        let Some(text) = self.text() else { return Ok(None) };
        if text.starts_with("0000-00-00") {
            return Ok(None);
        }
        match parse_time(text) {
            Some(time) => Ok(Some(time)),
            None => Err(at.reject(
                RejectCode::Value,
                format!("{:?} is not a time, expected RFC 3339 or YYYY-MM-DD HH:MM:SS", head(text)),
            )),
        }
    }

    /// A currency if there is one.
    pub(crate) fn currency(&self, at: Path<'_>) -> Result<Option<Currency>, Rejection> {
        let Some(text) = self.text() else { return Ok(None) };
        Currency::parse(text)
            .map(Some)
            .map_err(|error| at.reject(RejectCode::Value, error.to_string()))
    }

    /// The text if it is short, printable and without blanks inside: a status word, a code.
    pub(crate) fn word(&self) -> Option<&str> {
        self.text().filter(|text| text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic()))
    }
}

fn parse_decimal(text: &str) -> Option<Decimal> {
    let plain = Decimal::from_str_exact(text).or_else(|_| text.parse::<Decimal>());
    plain.or_else(|_| Decimal::from_scientific_lossy(text)).ok()
}

fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = text.parse::<civil::DateTime>().ok()?;
    Offset::UTC.to_timestamp(civil).ok()
}

/// The head of a text, for a message.
fn head(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Takes a decimal as an amount: six places, rounded half to even, within the bounds of money.
pub(crate) fn bounded(value: Decimal, at: Path<'_>) -> Result<Money, Rejection> {
    Money::from_decimal(value.round_dp(6)).map_err(|error: MoneyError| {
        at.reject(RejectCode::Value, format!("the amount cannot be: {error}"))
    })
}

/// An object, or nothing where something else stands (PHP writes an empty object as `[]`).
#[derive(Debug, Clone)]
pub(crate) struct Maybe<T>(pub(crate) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Maybe<T> {
    /// The object, if it is one.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MaybeVisitor(PhantomData)).map(Self)
    }
}

/// The visits of everything that is neither an object nor an array: all give the same.
macro_rules! scalars_are {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

struct MaybeVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MaybeVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    scalars_are!(None);
}

/// A list of objects. PHP writes a list with gaps as an object with numbers for keys: that is one
/// too.
#[derive(Debug, Clone, Default)]
pub(crate) enum Many<T> {
    /// The field is not there, or `null`.
    #[default]
    Absent,
    /// The elements; one that is no object is `Maybe(None)`.
    Items(Vec<Maybe<T>>),
    /// Something that is no list.
    Other,
}

impl<T> Many<T> {
    /// The objects of the list with their positions; whatever is no object is left out.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (usize, &T)> {
        let items = match self {
            Self::Items(items) => items.as_slice(),
            Self::Absent | Self::Other => &[],
        };
        items.iter().enumerate().filter_map(|(at, item)| item.get().map(|item| (at, item)))
    }

    /// Whether the field is a list, empty or not.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Items(_))
    }

    /// The objects of a list that money depends on: an element that is no object is an error. An
    /// absent list is empty here; whoever must tell the two apart asks for [`Many::Absent`] first.
    pub(crate) fn needed(&self, at: Path<'_>) -> Result<Vec<(usize, &T)>, Rejection> {
        let items = match self {
            Self::Items(items) => items,
            Self::Absent => return Ok(Vec::new()),
            Self::Other => return Err(at.reject(RejectCode::Shape, "expected a list of objects")),
        };
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.get() {
                Some(item) => objects.push((index, item)),
                None => {
                    return Err(at.index(index).reject(RejectCode::Shape, "expected an object"));
                }
            }
        }
        Ok(objects)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ManyVisitor(PhantomData))
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Many::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        let mut numbered = true;
        while let Some(Key(key)) = map.next_key()? {
            if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
                items.push(map.next_value()?);
            } else {
                numbered = false;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(if numbered { Many::Items(items) } else { Many::Other })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Many::Absent)
    }

    scalars_are!(Many::Other);
}

/// The fields of an object whose names are not known beforehand; an array has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs<'a>(pub(crate) Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Pairs<'a> {
    /// The value under a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Raw<'a>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for PairsVisitor<'a> {
    type Value = Pairs<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(Pairs(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Pairs::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    scalars_are!(Pairs::default());
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(KeyVisitor(PhantomData)).map(Self)
    }
}

struct KeyVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for KeyVisitor<'a> {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
