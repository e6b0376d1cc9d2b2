//! Places in a body: finding what a path names, replacing it, showing the body with a mark there.
//!
//! Invariant: the body stays text. Nothing is parsed into numbers and written again, so every byte
//! that is not replaced stays as it was.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path such as `line_items[2].price`; `$` is the whole body.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.trim().trim_start_matches('$').split('.') {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        if !name.is_empty() {
            steps.push(Step::Key(name.to_owned()));
        }
        for index in pieces {
            steps.push(Step::Index(index.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

/// The fields of an object with their values as text.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FieldsVisitor).map(Fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            fields.push((Cow::Owned(name), value));
        }
        Ok(fields)
    }
}

/// The value that a step leads to.
fn enter<'a>(json: &'a str, step: &Step) -> Option<&'a str> {
    match step {
        Step::Key(name) => {
            let fields: Fields<'a> = serde_json::from_str(json).ok()?;
            fields.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
        }
        // A list that PHP wrote as an object is counted like a list.
        Step::Index(at) if json.trim_start().starts_with('{') => {
            let fields: Fields<'a> = serde_json::from_str(json).ok()?;
            fields.0.get(*at).map(|(_, value)| value.get())
        }
        Step::Index(at) => {
            let items: Vec<&'a RawValue> = serde_json::from_str(json).ok()?;
            items.get(*at).map(|value| value.get())
        }
    }
}

/// Where in `text` a part of it stands.
fn within(text: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= text.len()).then_some(start..end)
}

/// Where the value stands that a path names.
pub(super) fn find(text: &str, path: &str) -> Option<Range<usize>> {
    let mut value = text.trim();
    serde_json::from_str::<&RawValue>(value).ok()?;
    for step in steps(path)? {
        value = enter(value, &step)?;
    }
    within(text, value)
}

/// The body with another value at a path. A field that is not there is added to its object.
pub(super) fn set(text: &str, path: &str, json: &str) -> Result<String, String> {
    serde_json::from_str::<&RawValue>(json).map_err(|error| {
        format!("the value for {path} is not JSON ({error}); quote texts: \"..\"")
    })?;
    let spliced = |at: Range<usize>, new: &str| {
        let (head, tail) = (text.get(..at.start), text.get(at.end..));
        format!("{}{new}{}", head.unwrap_or_default(), tail.unwrap_or_default())
    };
    if let Some(at) = find(text, path) {
        return Ok(spliced(at, json));
    }
    let missing = || format!("{path} is not in the body");
    let cut = path.rfind(['.', '[']);
    let (parent, name) = match cut.and_then(|cut| path.split_at_checked(cut)) {
        Some((parent, last)) => (parent, last.strip_prefix('.').ok_or_else(missing)?),
        None => ("$", path),
    };
    let at = find(text, parent).ok_or_else(missing)?;
    let object = text.get(at.clone()).unwrap_or_default();
    let inner = object.strip_prefix('{').ok_or_else(missing)?;
    let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
    let name = serde_json::Value::from(name);
    let start = at.start.saturating_add(1);
    Ok(spliced(start..start, &format!("{name}:{json}{comma}")))
}

/// JSON over several lines, with a note after the line that position `mark` falls into. Only blanks
/// between the tokens change.
pub(super) fn pretty(text: &str, mark: Option<usize>, note: &str) -> String {
    let mut out = Pretty { text: String::new(), depth: 0, noted: false };
    let mut chars = text.char_indices().peekable();
    let (mut quoted, mut escaped) = (false, false);
    let mut pending = mark;
    while let Some((at, c)) = chars.next() {
        if pending.is_some_and(|mark| at >= mark && !c.is_whitespace()) {
            out.noted = true;
            pending = None;
        }
        if quoted {
            out.text.push(c);
            (quoted, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
            continue;
        }
        let next = chars.peek().map(|(_, next)| *next);
        match c {
            '"' => {
                quoted = true;
                out.text.push(c);
            }
            '{' | '[' => {
                out.text.push(c);
                out.depth = out.depth.saturating_add(1);
                if !matches!(next, Some('}' | ']')) {
                    out.line(note);
                }
            }
            '}' | ']' => {
                out.depth = out.depth.saturating_sub(1);
                if !out.text.ends_with(['{', '[']) {
                    out.line(note);
                }
                out.text.push(c);
            }
            ',' => {
                out.text.push(c);
                out.line(note);
            }
            ':' => out.text.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.text.push(c),
        }
    }
    if out.noted {
        out.text.push_str(note);
    }
    out.text
}

struct Pretty {
    text: String,
    depth: usize,
    noted: bool,
}

impl Pretty {
    /// Ends the line, with the note if it is due.
    fn line(&mut self, note: &str) {
        if std::mem::take(&mut self.noted) {
            self.text.push_str(note);
        }
        self.text.push('\n');
        for _ in 0..self.depth {
            self.text.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        r#"{"id": 7, "rows":[{"price":"1.10"},{"price":1.10, "x":{}}], "o":{"0":{"a":1}}}"#;

    #[test]
    fn a_path_finds_its_value_and_only_that_is_replaced() {
        let at = |path| find(BODY, path).map(|at| &BODY[at]);
        assert_eq!(at("rows[1].price"), Some("1.10"));
        assert_eq!(at("$"), Some(BODY));
        assert_eq!(at("o[0].a"), Some("1"));
        assert_eq!(at("rows[2]"), None);
        assert_eq!(at("rows[x]"), None);
        let set = set(BODY, "rows[1].price", "\"2.00\"").unwrap();
        assert_eq!(set, BODY.replace("1.10, ", "\"2.00\", "));
    }

    #[test]
    fn a_missing_field_is_added_and_nonsense_is_refused() {
        assert_eq!(set("{}", "a", "1").unwrap(), r#"{"a":1}"#);
        assert_eq!(set(r#"{"b":{"c":2}}"#, "b.a", "[]").unwrap(), r#"{"b":{"a":[],"c":2}}"#);
        assert!(set(BODY, "rows[7].price", "1").is_err());
        assert!(set(BODY, "id", "seven").is_err());
        assert!(set("no json", "id", "7").is_err());
    }

    #[test]
    fn a_body_is_shown_with_its_digits_and_a_mark() {
        let mark = find(BODY, "rows[1].price").map(|at| at.start);
        let shown = pretty(BODY, mark, "  <-- here");
        assert!(shown.contains("\"price\": 1.10,  <-- here\n"), "{shown}");
        assert_eq!(shown.matches("here").count(), 1);
        assert!(shown.contains("\"x\": {}\n"), "{shown}");
        assert_eq!(pretty("[]", None, ""), "[]");
    }
}
