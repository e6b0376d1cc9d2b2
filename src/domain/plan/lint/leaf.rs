//! What is wrong with a single value of a plan file, and how it is written right.

use jiff::{
    Timestamp,
    civil::{Date, Time},
};
use rust_decimal::Decimal;
use serde_json::Value;

use super::Severity;
use crate::domain::{
    id::{ComponentId, IdError},
    money::{Currency, Money, Rate},
    plan::{pairs::Periods, period::Zone},
    volume::{Conversion, Volume},
};

/// What the reader of TOML makes of a date that stands without quotes.
const DATETIME: &str = "$__toml_private_datetime";

/// Something about a value.
pub(super) struct Told {
    pub(super) severity: Severity,
    pub(super) rule: &'static str,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Told {
    fn wrong(rule: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Error, rule, message: message.into(), fix: fix.into() }
    }
}

/// A value of another type than the schema says, where it is plain what was meant.
pub(super) fn mistyped(name: &str, schema: &Value, value: &Value) -> Option<Told> {
    let wanted = schema.get("type")?.as_str()?;
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return None;
    }
    let date = value.get(DATETIME).and_then(Value::as_str);
    match (wanted, value) {
        ("string", Value::Number(number)) => {
            let exact = "so that no figure is a binary fraction";
            let message = format!("{number} is a number, but it is written as text, {exact}");
            Some(Told::wrong("not_text", message, format!("write \"{}\"", figure(name, number))))
        }
        ("string", _) if date.is_some() => {
            let date = date.unwrap_or_default();
            let right = completed(schema, date).unwrap_or_else(|| date.to_owned());
            let message = format!("{date} stands without quotes, but it is written as text");
            Some(Told::wrong("not_text", message, format!("write \"{right}\"")))
        }
        ("integer" | "boolean", Value::String(text)) => {
            let text = text.trim();
            let meant = match wanted {
                "integer" => text.parse::<i64>().is_ok(),
                _ => text == "true" || text == "false",
            };
            let message = format!("\"{text}\" is text, but it is written without quotes");
            meant.then(|| Told::wrong("not_a_number", message, format!("write {text}")))
        }
        ("array", Value::String(_) | Value::Number(_)) => {
            let message = format!("{value} stands alone, but a list is wanted");
            Some(Told::wrong("not_a_list", message, format!("write [{value}]")))
        }
        _ => None,
    }
}

/// A number as the text that was surely meant: 5 and 0.05 are 5 %.
fn figure(name: &str, number: &serde_json::Number) -> String {
    let text = number.to_string();
    if name != "Rate" {
        return text;
    }
    match Decimal::from_str_exact(&text) {
        Ok(value) if value < Decimal::ONE => super::worst::percent(value),
        Ok(_) | Err(_) => format!("{text} %"),
    }
}

/// A date with what it lacks, by the form that the schema names.
fn completed(schema: &Value, text: &str) -> Option<String> {
    let form = schema.get("format").and_then(Value::as_str)?;
    match form {
        "date-time" => {
            let day: Result<Date, _> = text.parse();
            let day = day.map(|day| format!("{day}T00:00:00Z"));
            let zoned = format!("{}Z", text.replacen(' ', "T", 1));
            day.ok().or_else(|| zoned.parse::<Timestamp>().is_ok().then_some(zoned))
        }
        "partial-time" => {
            let hour = text.split(':').next()?.trim().parse::<i8>().ok()?;
            Time::new(hour, 0, 0, 0).ok().map(|time| format!("{time}"))
        }
        _ => None,
    }
}

/// A whole number that stays in the bounds of the schema.
pub(super) fn bounds(schema: &Value, value: &Value) -> Option<Told> {
    let number = value.as_i64()?;
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
        return None;
    }
    let fix = match (least, most) {
        (Some(least), Some(most)) => format!("write {least} to {most}"),
        (Some(least), None) => format!("write {least} or more"),
        (None, most) => format!("write {} or less", most.unwrap_or_default()),
    };
    Some(Told::wrong("out_of_bounds", format!("{number} is out of bounds"), fix))
}

/// A text that cannot be what its type says, or hardly is what was meant.
pub(super) fn text(name: &str, schema: &Value, text: &str) -> Option<Told> {
    fn refused<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<String> {
        result.err().map(|error| error.to_string())
    }
    let form = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let parsed = match (name, form) {
        ("Rate", _) => refused(Rate::parse(text)),
        ("Money", _) => refused(Money::parse(text)),
        ("Volume", _) => refused(Volume::parse(text)),
        ("Conversion", _) => refused(Conversion::try_from(text.to_owned())),
        ("Periods", _) => refused(Periods::try_from(text.to_owned())),
        ("Zone", _) => refused(Zone::parse(text)),
        ("Currency", _) => return currency(text),
        ("PlanId" | "ComponentId" | "RankId" | "TreeId" | "CommissionClass" | "Threshold", _) => {
            return id(text);
        }
        (_, "date-time") => refused(text.parse::<Timestamp>())
            .map(|_syntax| format!("\"{text}\" is no instant with a time of day and a zone")),
        (_, "date") => refused(text.parse::<Date>()).map(|_syntax| format!("\"{text}\" is no day")),
        (_, "partial-time") => {
            refused(text.parse::<Time>()).map(|_syntax| format!("\"{text}\" is no time of day"))
        }
        _ => None,
    };
    match parsed {
        Some(message) => {
            let example = match form {
                "date-time" => "write such as \"2026-01-01T00:00:00Z\"",
                "date" => "write such as \"2026-01-31\"",
                "partial-time" => "write such as \"00:00:00\"",
                _ => "",
            };
            let right = completed(schema, text).map(|right| format!("write \"{right}\""));
            Some(Told::wrong("bad_value", message, right.unwrap_or_else(|| example.to_owned())))
        }
        None if name == "Rate" => bare(text),
        None => None,
    }
}

/// A rate of 100 % and more that lacks only the sign.
fn bare(text: &str) -> Option<Told> {
    let whole = text.trim().parse::<u32>().ok().filter(|whole| *whole >= 1)?;
    let message = format!("\"{whole}\" is {whole}00 %: did you mean {whole} %?");
    let fix = format!("write \"{whole} %\", or \"{whole}00 %\" if it is meant");
    let severity = Severity::Warning;
    Some(Told { severity, rule: "rate_without_percent", message, fix })
}

fn currency(text: &str) -> Option<Told> {
    let code = match Currency::parse(text) {
        Ok(code) => code.to_string(),
        Err(error) => return Some(Told::wrong("bad_value", error.to_string(), "write \"EUR\"")),
    };
    if code != text {
        let message = format!("\"{text}\" is not as ISO 4217 writes it");
        return Some(Told::wrong("bad_value", message, format!("write \"{code}\"")));
    }
    if CURRENCIES.split_ascii_whitespace().any(|known| known == code) {
        return None;
    }
    let message = format!("{code} is no currency of ISO 4217: its minor unit is taken to be 0.01");
    let fix = "look the code up, if that is not meant".to_owned();
    Some(Told { severity: Severity::Warning, rule: "unknown_currency", message, fix })
}

fn id(text: &str) -> Option<Told> {
    let result: Result<ComponentId, IdError> = ComponentId::parse(text);
    match result {
        Err(error) => Some(Told::wrong("bad_value", error.to_string(), "")),
        Ok(id) if id.as_str() != text => {
            let message = format!("\"{text}\" has blanks around it");
            Some(Told::wrong("bad_value", message, format!("write \"{id}\"")))
        }
        Ok(_) => None,
    }
}

/// The currencies of ISO 4217 that people are paid in.
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB \
    BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB \
    EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY \
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR \
    MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF \
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS \
    UAH UGX USD UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
