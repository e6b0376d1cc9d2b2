//! From bytes to wire types, with rejections that say where a body is broken.
//!
//! Invariant: a rejection never quotes what stands in the body, except numbers, times and words
//! that were expected to be such; a dead letter's reason is shown to people and must not hold
//! names.

use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use super::wire::{Maybe, Path, Raw};
use crate::stage::{RejectCode, Rejection};

/// The text of a body: UTF-8, without the byte order mark that some PHP shops put before it.
pub(crate) fn text(body: &[u8]) -> Result<&str, Rejection> {
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("not UTF-8 from byte {} on", error.valid_up_to())))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => Ok(text),
        None => Err(malformed("the body is empty, expected a JSON object")),
        Some(b'<') => Err(malformed("the body is HTML or XML, expected a JSON object")),
        Some(_) => Err(malformed("the body is not a JSON object")),
    }
}

fn malformed(message: impl Into<String>) -> Rejection {
    Path::ROOT.reject(RejectCode::Malformed, message)
}

/// Reads an object of a known form. `at` is where the text stands in the whole body.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str, at: Path<'_>) -> Result<T, Rejection> {
    let found: Maybe<T> = value(json, at)?;
    found.0.ok_or_else(|| at.reject(RejectCode::Shape, "expected an object"))
}

/// Reads any value of a known form.
pub(crate) fn value<'a, T: Deserialize<'a>>(json: &'a str, at: Path<'_>) -> Result<T, Rejection> {
    // The path of a fault costs an allocation on every field, so it is asked for only when there is one.
    if let Ok(value) = serde_json::from_str(json) {
        return Ok(value);
    }
    let mut from = serde_json::Deserializer::from_str(json);
    let read = serde_path_to_error::deserialize(&mut from);
    let value = read.map_err(|error| explain(&error.path().to_string(), error.inner(), at))?;
    from.end().map_err(|error| explain(".", &error, at))?;
    Ok(value)
}

fn explain(inside: &str, error: &serde_json::Error, at: Path<'_>) -> Rejection {
    let (code, what) = match error.classify() {
        Category::Eof => (RejectCode::Malformed, "the JSON is cut off".to_owned()),
        Category::Syntax | Category::Io => (RejectCode::Malformed, error.to_string()),
        Category::Data => (RejectCode::Shape, expectation(&error.to_string())),
    };
    let place = format!("line {} column {}", error.line(), error.column());
    let message = if what.contains(" at line ") { what } else { format!("{what} at {place}") };
    let inside = inside.split("$serde_json").next().unwrap_or_default().trim_end_matches('.');
    let path = match (at.to_string().as_str(), inside) {
        (outer, "" | "?") => outer.to_owned(),
        ("$", inner) if inner.starts_with('[') => format!("${inner}"),
        ("$", inner) => inner.to_owned(),
        (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
        (outer, inner) => format!("{outer}.{inner}"),
    };
    Rejection::new(code, path, message)
}

/// The part of a type error that says what was expected; the part that quotes the body is dropped.
fn expectation(message: &str) -> String {
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("has another type, expected {expected}"),
        None => message.to_owned(),
    }
}

/// The elements of a body that is a list, or the body alone.
pub(crate) fn elements(json: &str) -> Result<Option<Vec<&RawValue>>, Rejection> {
    if json.starts_with('[') { value(json, Path::ROOT).map(Some) } else { Ok(None) }
}

/// The fields by which an object that is not the resource gives itself away.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Suspect<'a> {
    code: Raw<'a>,
    message: Raw<'a>,
    errors: Raw<'a>,
    error: Raw<'a>,
    id: Raw<'a>,
    entity_id: Raw<'a>,
    order_id: Raw<'a>,
}

/// Refuses an error object: `{code, message, data}` of `WordPress`, `{message, parameters}` of
/// Magento, `{errors}` of Shopify. A resource has an id, an error has none.
pub(crate) fn refuse_error_object(json: &str, at: Path<'_>) -> Result<(), Rejection> {
    let found: Suspect<'_> = object(json, at)?;
    let has_id = [&found.id, &found.entity_id, &found.order_id].iter().any(|id| id.id().is_some());
    let says = !found.message.is_nothing()
        || !found.errors.is_nothing()
        || (!found.error.is_nothing() && found.error != Raw::Bool(true));
    if has_id || !says {
        return Ok(());
    }
    let code = found.code.word().unwrap_or("no code");
    Err(at.reject(
        RejectCode::ErrorObject,
        format!(
            "the platform sent an error object ({code}) in place of the resource: check the rights \
             of the user behind the webhook, then fetch the order"
        ),
    ))
}

/// The rejection of a body that names a resource and leaves the rest out.
pub(crate) fn incomplete(at: Path<'_>, missing: &str) -> Rejection {
    at.reject(
        RejectCode::Incomplete,
        format!("{missing} is not in the body: fetch the resource from the platform"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Row<'a> {
        price: Raw<'a>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, bound(deserialize = "'de: 'a"))]
    struct Order<'a> {
        rows: super::super::wire::Many<Row<'a>>,
    }

    #[test]
    fn a_cut_body_names_the_place() {
        let cut = r#"{"rows":[{"price":"1.00"},{"price":"2."#;
        let error = object::<Order<'_>>(cut, Path::ROOT).unwrap_err();
        assert_eq!((error.code, error.path.as_str()), (RejectCode::Malformed, "rows[1].price"));
        assert!(error.message.starts_with("the JSON is cut off at line 1"), "{error}");
    }

    #[test]
    fn a_bad_amount_names_the_place_below_an_envelope() {
        let json = r#"{"rows":{"0":{"price":1},"2":{"price":"1,50"}}}"#;
        let root = Path::ROOT.key("data");
        let order: Order<'_> = object(json, root).unwrap();
        let rows = root.key("rows");
        let found: Vec<_> = order.rows.needed(rows).unwrap();
        let at = rows.index(found[1].0);
        let error = found[1].1.price.amount(at.key("price")).unwrap_err();
        assert_eq!((error.code, error.path.as_str()), (RejectCode::Value, "data.rows[1].price"));
    }

    #[test]
    fn the_body_is_looked_at_before_it_is_read() {
        for bad in ["", " ", "<html></html>", "webhook_id=12", "\u{feff}"] {
            assert_eq!(text(bad.as_bytes()).unwrap_err().code, RejectCode::Malformed);
        }
        assert_eq!(text("\u{feff} {} \n".as_bytes()).unwrap(), "{}");
        assert_eq!(text(&[b'{', 0xff]).unwrap_err().code, RejectCode::Malformed);
    }

    #[test]
    fn an_error_object_is_told_from_a_resource() {
        let wordpress = r#"{"code":"woocommerce_rest_cannot_view","message":"no","data":{}}"#;
        let error = refuse_error_object(wordpress, Path::ROOT).unwrap_err();
        assert_eq!(error.code, RejectCode::ErrorObject);
        assert!(refuse_error_object(r#"{"id":1,"message":"thanks"}"#, Path::ROOT).is_ok());
    }
}
