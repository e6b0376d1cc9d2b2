//! A writer of JSON objects that keeps the order of fields and prints money without floats.

use super::cents::Cents;

/// A JSON object in the making.
#[derive(Debug, Clone)]
pub(crate) struct Object(String);

impl Object {
    /// An object without fields.
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a field whose value is JSON already.
    #[must_use]
    pub(crate) fn raw(mut self, key: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
        self.0.push_str(value);
        self
    }

    /// Adds text.
    #[must_use]
    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        let value = quoted(value);
        self.raw(key, &value)
    }

    /// Adds text, or null.
    #[must_use]
    pub(crate) fn text_or_null(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    /// Adds null.
    #[must_use]
    pub(crate) fn null(self, key: &str) -> Self {
        self.raw(key, "null")
    }

    /// Adds several fields that are null.
    #[must_use]
    pub(crate) fn nulls(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |object, key| object.null(key))
    }

    /// Adds true or false.
    #[must_use]
    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// Adds a whole number.
    #[must_use]
    pub(crate) fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// Adds money as text with two places.
    #[must_use]
    pub(crate) fn money(self, key: &str, value: Cents) -> Self {
        self.raw(key, &format!("\"{value}\""))
    }

    /// Adds money as a number, without zeros at its end.
    #[must_use]
    pub(crate) fn amount(self, key: &str, value: Cents) -> Self {
        self.raw(key, &value.number())
    }

    /// Adds an object.
    #[must_use]
    pub(crate) fn object(self, key: &str, value: Self) -> Self {
        let value = value.end();
        self.raw(key, &value)
    }

    /// Adds a list of objects.
    #[must_use]
    pub(crate) fn list(self, key: &str, values: impl IntoIterator<Item = Self>) -> Self {
        let values: Vec<String> = values.into_iter().map(Self::end).collect();
        self.raw(key, &format!("[{}]", values.join(",")))
    }

    /// The finished text.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A text as a JSON string, all but ASCII escaped, as PHP does it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    quoted.push_str("\\u");
                    quoted.push_str(&hex::encode(unit.to_be_bytes()));
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let object = Object::new()
            .text("a", "x\"\\\n\u{e9}\u{1F600}")
            .money("b", Cents::new(-5))
            .amount("c", Cents::new(1990))
            .nulls(&["d"])
            .list("e", [Object::new().flag("f", true), Object::new()]);
        let value: serde_json::Value = serde_json::from_str(&object.end()).unwrap();
        assert_eq!(value["a"], "x\"\\\n\u{e9}\u{1F600}");
        assert_eq!(value["b"], "-0.05");
        assert_eq!(value["c"].to_string(), "19.9");
        assert_eq!(value["e"][0]["f"], true);
    }
}
