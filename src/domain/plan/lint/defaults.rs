//! What a plan file means where it says nothing: fields with a default, filled in before two files are
//! compared, so that a default that is written out is no change.

use serde_json::{Map, Value};

use super::stated::{SCHEMA, resolved};

/// How deep a file is filled in; plans are five tables deep.
const MAX_DEPTH: usize = 32;

/// Fills in the words and numbers that hold where a file does not state them.
pub(super) fn filled(mut file: Map<String, Value>) -> Map<String, Value> {
    table(&SCHEMA, &mut file, 0);
    file
}

fn fill(schema: &Value, value: &mut Value, depth: usize) {
    match value {
        Value::Object(fields) => table(schema, fields, depth),
        Value::Array(items) => {
            let Some(schema) = resolved(schema).get("items") else { return };
            for item in items {
                fill(schema, item, depth.saturating_add(1));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn table(schema: &Value, fields: &mut Map<String, Value>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let schema = resolved(schema);
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    for branch in branches.into_iter().flatten() {
        if meant(branch, fields) {
            table(branch, fields, depth.saturating_add(1));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, field) in known.into_iter().flatten() {
        let default = field.get("default").filter(|default| match default {
            Value::String(word) => !word.is_empty(),
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        });
        match (fields.get_mut(name), default) {
            (Some(value), _) => fill(field, value, depth.saturating_add(1)),
            (None, Some(default)) => {
                fields.insert(name.clone(), default.clone());
            }
            (None, None) => {}
        }
    }
}

/// Whether a branch is the one that the words of a table choose: it has all of its fields.
fn meant(branch: &Value, fields: &Map<String, Value>) -> bool {
    let Some(known) = resolved(branch).get("properties").and_then(Value::as_object) else {
        return false;
    };
    let chosen = |(name, value): (&String, &Value)| {
        let only = known.get(name).map(resolved);
        only.is_some_and(|field| field.get("const").is_none_or(|only| only == value))
    };
    fields.iter().all(chosen)
}
