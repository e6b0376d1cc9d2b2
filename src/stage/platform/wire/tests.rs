//! Tests of the tolerant wire types, on bodies written for them.

use super::*;

fn time(text: &str) -> Option<String> {
    let time = Raw::Text(text.into()).time(Path::ROOT).ok()?;
    time.map(|time| time.to_string())
}

#[test]
fn times_come_with_and_without_an_offset() {
    let noon = Some("2026-08-03T12:00:00Z".to_owned());
    for text in [
        "2026-08-03T12:00:00Z",
        "2026-08-03T22:00:00+10:00",
        "2026-08-03T08:00:00-04:00",
        "2026-08-03T12:00:00",
        "2026-08-03 12:00:00",
        "2026-08-03T12:00:00-00:00",
        "2026-08-03T22:00:00+1000",
        "2026-08-03 12:00:00.000",
    ] {
        assert_eq!(time(text), noon, "{text}");
    }
    assert_eq!(time("0000-00-00 00:00:00"), None);
    assert!(Raw::Text("yesterday".into()).time(Path::ROOT).is_err());
}

#[test]
fn amounts_keep_every_digit() {
    let amount = |json| Raw::of(json).amount(Path::ROOT).map(|amount| amount.to_string());
    assert_eq!(amount("\"19.80\""), Ok("19.80".to_owned()));
    assert_eq!(amount("195.66"), Ok("195.66".to_owned()));
    assert_eq!(amount("\"68.0000\""), Ok("68.00".to_owned()));
    assert_eq!(amount("10.799999999999999"), Ok("10.80".to_owned()));
    assert_eq!(amount("0.0000005"), Ok("0.00".to_owned()));
    assert_eq!(amount("1.5e2"), Ok("150.00".to_owned()));
    assert_eq!(amount("-0"), Ok("0.00".to_owned()));
    assert_eq!(amount("9007199254740993.5").unwrap_err().code, RejectCode::Value);
    assert_eq!(amount("\"\"").unwrap_err().code, RejectCode::Shape);
    assert_eq!(amount("[1]").unwrap_err().code, RejectCode::Shape);
    assert_eq!(amount("1e999999999").unwrap_err().code, RejectCode::Value);
}

#[test]
fn ids_keep_every_digit() {
    assert_eq!(Raw::of("912345678901234567").id(), Some("912345678901234567"));
    assert_eq!(Raw::of("\"gid://shopify/Order/12?x=1\"").id(), Some("12"));
    assert_eq!((Raw::of("0").id(), Raw::of("\" \"").id(), Raw::of("[]").id()), (None, None, None));
}

#[test]
fn a_broken_escape_is_not_read_and_not_an_error() {
    assert_eq!(Raw::of("\"\\ud83d\""), Raw::Other);
    assert_eq!(Raw::of("\"a\\u0041\"").text(), Some("aA"));
}
