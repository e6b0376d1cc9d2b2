//! Candidates for the distributor who referred an order.
//!
//! Invariant: a candidate is a short code, never free text: one to 64 graphic ASCII characters.
//! What else stands in an attribute (a name, a gift message) is dropped here and goes no further.

use std::borrow::Cow;

use super::{
    ReferralPlace, ReferralRule, StorePolicy,
    wire::{Many, Pairs, Raw},
};
use crate::domain::{customer::LinkKind, id::DistributorId, order::Referral};

/// More candidates than this help nobody; the best are first.
const MAX_CANDIDATES: usize = 16;

/// What stands in one place of an order.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    /// The kind of place.
    pub(crate) place: ReferralPlace,
    /// The attribute's name; empty where the place has none.
    pub(crate) name: Cow<'a, str>,
    /// The value, as it stands there.
    pub(crate) value: Cow<'a, str>,
}

impl<'a> Candidate<'a> {
    /// What stands in a place under a name.
    pub(crate) fn new(
        place: ReferralPlace,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self { place, name: name.into(), value: value.into() }
    }
}

/// Filters what was found by the store's rules, best first. A store without rules has
/// [`default_rules`]. What a caller of the API states is taken even if no rule names the API, since
/// it is there for this purpose alone.
pub(crate) fn choose(policy: &StorePolicy, found: &[Candidate<'_>]) -> Vec<Referral> {
    let defaults;
    let rules = if policy.attribution.is_empty() {
        defaults = default_rules();
        &defaults
    } else {
        &policy.attribution
    };
    let mut chosen: Vec<Referral> = Vec::new();
    if !rules.iter().any(|rule| rule.from == ReferralPlace::Api) {
        apply(&rule(ReferralPlace::Api, None, None), found, &mut chosen);
    }
    for rule in rules {
        apply(rule, found, &mut chosen);
    }
    chosen.truncate(MAX_CANDIDATES);
    chosen
}

fn apply(rule: &ReferralRule, found: &[Candidate<'_>], chosen: &mut Vec<Referral>) {
    if matches!(rule.from, ReferralPlace::Customer | ReferralPlace::Lifetime) {
        // A question, which mapping answers: the message does not know the customer's links.
        let source = rule.from.as_str();
        if !chosen.iter().any(|known| *known.source == *source) {
            chosen.push(Referral { source: source.into(), value: Box::default() });
        }
        return;
    }
    for candidate in found.iter().filter(|candidate| candidate.place == rule.from) {
        let Some(value) = matched(rule, candidate) else { continue };
        let named = rule.name.as_deref().map(str::trim);
        if chosen.iter().any(|known| *known.value == *value) {
            continue;
        }
        // The rule's name and not the candidate's: a shop chooses it, a buyer does not.
        let place = rule.from.as_str();
        let source = named.map_or_else(|| place.to_owned(), |name| format!("{place}:{name}"));
        chosen.push(Referral { source: source.into(), value: value.into() });
    }
}

/// What the rule takes of a candidate, if its name and prefix fit.
fn matched<'c>(rule: &ReferralRule, candidate: &'c Candidate<'_>) -> Option<&'c str> {
    let named = rule.name.as_deref().map(str::trim);
    if named.is_some_and(|name| !name.eq_ignore_ascii_case(candidate.name.trim())) {
        return None;
    }
    cut(&candidate.value, rule.prefix.as_deref())
}

/// What the tags and metadata of a customer's own record say: whom the rules `customer_tag` make the
/// first referrer, and which distributor the rules `customer` say that they are. A rule without name
/// and prefix is passed over: any tag of a customer is no code.
pub(crate) fn links(
    policy: &StorePolicy,
    found: &[Candidate<'_>],
) -> Vec<(LinkKind, DistributorId)> {
    let defaults = default_rules();
    let rules = if policy.attribution.is_empty() { &defaults } else { &policy.attribution };
    let kinds = [
        (LinkKind::Lifetime, ReferralPlace::CustomerTag),
        (LinkKind::Own, ReferralPlace::Customer),
    ];
    let first = |place: ReferralPlace| {
        rules
            .iter()
            .filter(|rule| rule.from == place && (rule.name.is_some() || rule.prefix.is_some()))
            .find_map(|rule| {
                found
                    .iter()
                    .find_map(|candidate| DistributorId::parse(matched(rule, candidate)?).ok())
            })
    };
    kinds.into_iter().filter_map(|(kind, place)| Some((kind, first(place)?))).collect()
}

/// The value without the prefix, which is compared without case: WooCommerce stores coupon codes in
/// lower case.
fn cut<'v>(value: &'v str, prefix: Option<&str>) -> Option<&'v str> {
    let value = value.trim();
    let prefix = prefix.unwrap_or_default();
    let head = value.get(..prefix.len())?;
    if !head.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let value = value.get(prefix.len()..)?.trim();
    let fits = (1..=64).contains(&value.len()) && value.chars().all(|c| c.is_ascii_graphic());
    // A mail address is graphic too, but it names a person and not a distributor.
    if fits && !value.contains('@') { Some(value) } else { None }
}

fn rule(from: ReferralPlace, name: Option<&str>, prefix: Option<&str>) -> ReferralRule {
    ReferralRule { from, name: name.map(str::to_owned), prefix: prefix.map(str::to_owned) }
}

/// The rules of a store that states none: what the caller of the API says; note attributes `ref`,
/// `distributor`, `distributor_id`, `referrer`; `ref` of the landing site; order metadata of the
/// same names, with or without a leading underscore; discount codes `REF-...`; customer tags
/// `ref:...`.
pub(crate) fn default_rules() -> Vec<ReferralRule> {
    const NAMES: [&str; 4] = ["ref", "distributor", "distributor_id", "referrer"];
    let mut rules = vec![rule(ReferralPlace::Api, None, None)];
    rules.extend(NAMES.map(|name| rule(ReferralPlace::NoteAttribute, Some(name), None)));
    rules.push(rule(ReferralPlace::LandingSite, Some("ref"), None));
    for name in NAMES {
        rules.push(rule(ReferralPlace::OrderMeta, Some(name), None));
        rules.push(rule(ReferralPlace::OrderMeta, Some(&format!("_{name}")), None));
    }
    rules.push(rule(ReferralPlace::DiscountCode, None, Some("REF-")));
    rules.push(rule(ReferralPlace::CustomerTag, None, Some("ref:")));
    rules
}

/// A name and a value, under any of the names that platforms give to the two.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct NameValue<'a> {
    /// Shopify.
    name: Raw<'a>,
    /// WooCommerce.
    key: Raw<'a>,
    /// Magento.
    attribute_code: Raw<'a>,
    value: Raw<'a>,
}

impl<'a> NameValue<'a> {
    /// The value, if it is a scalar.
    pub(crate) fn value(&self) -> &Raw<'a> {
        &self.value
    }

    /// The name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.text().or_else(|| self.key.text()).or_else(|| self.attribute_code.text())
    }
}

/// Adds every scalar of a list of names and values.
pub(crate) fn add_named<'v>(
    place: ReferralPlace,
    list: &'v Many<NameValue<'_>>,
    found: &mut Vec<Candidate<'v>>,
) {
    for (_, pair) in list.objects() {
        if let (Some(name), Some(value)) = (pair.name(), pair.value.text()) {
            found.push(Candidate::new(place, name, value));
        }
    }
}

/// Adds every scalar field of an object.
pub(crate) fn add_pairs<'v>(
    place: ReferralPlace,
    pairs: &'v Pairs<'_>,
    found: &mut Vec<Candidate<'v>>,
) {
    for (name, value) in &pairs.0 {
        if let Some(value) = value.text() {
            found.push(Candidate::new(place, name.as_ref(), value));
        }
    }
}

/// Adds the tags of a list that is written with commas.
pub(crate) fn add_tags<'v>(
    place: ReferralPlace,
    tags: &'v Raw<'_>,
    found: &mut Vec<Candidate<'v>>,
) {
    for tag in tags.text().unwrap_or_default().split(',') {
        found.push(Candidate::new(place, "", tag));
    }
}

/// Adds the parameters of a URL's query, decoded.
pub(crate) fn add_query(url: &Raw<'_>, found: &mut Vec<Candidate<'_>>) {
    let Some((_, query)) = url.text().and_then(|url| url.split_once('?')) else { return };
    let query = query.split('#').next().unwrap_or_default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (decode(name), decode(value)) {
            found.push(Candidate::new(ReferralPlace::LandingSite, name, value));
        }
    }
}

/// Decodes `%41` and `+`; `None` if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let pair = (ahead.next().and_then(hex_digit), ahead.next().and_then(hex_digit));
        match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                bytes.push((high << 4) | low);
                rest = ahead;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Candidate<'static>> {
        let mut found = vec![
            Candidate::new(ReferralPlace::CustomerTag, "", " ref:T9"),
            Candidate::new(ReferralPlace::DiscountCode, "", "ref-abc1"),
            Candidate::new(ReferralPlace::DiscountCode, "", "SUMMER"),
            Candidate::new(ReferralPlace::OrderMeta, "_distributor_id", "11043"),
            Candidate::new(ReferralPlace::NoteAttribute, "Ref", " D-7 "),
            Candidate::new(ReferralPlace::NoteAttribute, "distributor", "Jane Doe"),
            Candidate::new(ReferralPlace::NoteAttribute, "referrer", "jane@example.com"),
        ];
        let url = Raw::Text("/?utm=x&ref=L%2D5&y#ref=no".into());
        add_query(&url, &mut found);
        found
    }

    fn pairs(referrals: Vec<Referral>) -> Vec<(String, String)> {
        referrals.into_iter().map(|r| (r.source.into(), r.value.into())).collect()
    }

    #[test]
    fn the_default_priority_is_attribute_link_metadata_code_tag() {
        let chosen = pairs(choose(&StorePolicy::default(), &found()));
        let expected = [
            ("note_attribute:ref", "D-7"),
            ("landing_site:ref", "L-5"),
            ("order_meta:_distributor_id", "11043"),
            ("discount_code", "abc1"),
            ("customer_tag", "T9"),
        ];
        assert_eq!(chosen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_store_sets_its_own_priority() {
        let policy = StorePolicy {
            attribution: vec![
                rule(ReferralPlace::DiscountCode, None, None),
                rule(ReferralPlace::CustomerTag, None, Some("ref:")),
            ],
            ..StorePolicy::default()
        };
        let values: Vec<_> =
            choose(&policy, &found()).into_iter().map(|r| r.value.into_string()).collect();
        assert_eq!(values, ["ref-abc1", "SUMMER", "T9"]);
    }

    #[test]
    fn free_text_and_mail_addresses_are_no_codes() {
        let values = choose(&StorePolicy::default(), &found());
        assert!(!values.iter().any(|r| r.value.contains("ane")));
    }

    #[test]
    fn a_rule_that_could_find_nothing_or_anything_is_refused() {
        use crate::domain::id::Platform::{Magento, Shopify, WooCommerce};
        let named = |from, name| rule(from, name, None);
        for (platform, rule) in [
            (Shopify, named(ReferralPlace::NoteAttribute, Some("ref"))),
            (Shopify, named(ReferralPlace::OrderTag, None)),
            (WooCommerce, named(ReferralPlace::OrderMeta, Some("_ref"))),
            (Magento, named(ReferralPlace::Lifetime, None)),
        ] {
            assert_eq!(rule.check(platform), Ok(()));
        }
        for (platform, rule, word) in [
            (Shopify, named(ReferralPlace::NoteAttribute, None), "needs a name"),
            (Shopify, named(ReferralPlace::OrderMeta, Some("ref")), "does not exist"),
            (WooCommerce, named(ReferralPlace::LineMeta, Some(" ")), "needs a name"),
            (Magento, named(ReferralPlace::NoteAttribute, Some("ref")), "does not exist"),
        ] {
            let refused = rule.check(platform).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
