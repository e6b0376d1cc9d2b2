//! Every choice that a file leaves open, and every word that nobody knows: read against the schema, so
//! that one of them does not hide the next.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{Finding, Severity};
use crate::domain::plan::{PlanError, read::place, schema};

pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// What is not of the right kind at all, and so is not the branch that was meant.
const OTHER: u32 = 1000;

/// How deep a file is looked into; plans are five tables deep.
const MAX_DEPTH: usize = 32;

/// Every required field that is missing and every field that there is not.
pub(super) fn open(text: &str) -> Vec<Finding> {
    let Ok(file) = toml::from_str::<Value>(text) else { return Vec::new() };
    let mut found = Vec::new();
    walk(&SCHEMA, &file, &mut Vec::new(), &mut found);
    let finding = |open: Open| {
        let path: Vec<&str> = open.path.iter().map(String::as_str).collect();
        let component = match path.as_slice() {
            ["component", index, ..] => file.pointer(&format!("/component/{index}/id")),
            _ => None,
        };
        let component =
            component.and_then(Value::as_str).and_then(|id| id.to_owned().try_into().ok());
        let place = place(text, &path, component);
        Finding {
            severity: Severity::Error,
            rule: open.rule,
            line: place.line,
            component: place.component,
            field: place.field,
            message: open.message,
            fix: open.fix,
        }
    };
    found.into_iter().map(finding).collect()
}

/// Whether a file is of the shape that the schema says, patterns of text aside.
#[cfg(test)]
pub(super) fn fits(file: &Value) -> bool {
    walk(&SCHEMA, file, &mut Vec::new(), &mut Vec::new()) == 0
}

/// Whether an error of reading is among what was found here.
pub(super) fn tells(open: &[Finding], error: &PlanError) -> bool {
    let PlanError::Syntax(error) = error else { return false };
    let mut words = error.message().split('`');
    let (start, field) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rule = match start {
        "missing field " => "unstated",
        "unknown field " => "unknown_field",
        _ => return false,
    };
    open.iter().any(|f| f.rule == rule && f.field.rsplit('.').next() == Some(field))
}

/// A field that is missing, or that there is not.
struct Open {
    path: Vec<String>,
    rule: &'static str,
    message: String,
    fix: String,
}

/// The schema itself, or what it refers to.
pub(super) fn resolved(schema: &Value) -> &Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
    target.and_then(|pointer| SCHEMA.pointer(pointer)).unwrap_or(schema)
}

/// Compares, and says how far the value is from the schema.
fn walk(schema: &Value, value: &Value, path: &mut Vec<String>, found: &mut Vec<Open>) -> u32 {
    if path.len() > MAX_DEPTH {
        return 0;
    }
    let schema = resolved(schema);
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    let mut weight: u32 = 0;
    if let Some(branches) = branches {
        let mut best: Option<(u32, Vec<Open>)> = None;
        for branch in branches {
            let mut inside = Vec::new();
            let weight = walk(branch, value, path, &mut inside);
            // Of two equally near ones the later says more: a rank with requirements, not a name.
            if best.as_ref().is_none_or(|(least, _)| weight <= *least) {
                best = Some((weight, inside));
            }
        }
        let (least, inside) = best.unwrap_or_default();
        weight = least;
        if least < OTHER {
            found.extend(inside);
        }
    }
    let is = |key: &str, right: &dyn Fn(&Value) -> bool| schema.get(key).is_none_or(right);
    let words = |words: &Value| words.as_array().is_some_and(|words| words.contains(value));
    let fits =
        is("const", &|only| only == value) && is("enum", &words) && is("type", &|t| kind(t, value));
    if !fits {
        return weight.saturating_add(OTHER);
    }
    let below = match value {
        Value::Object(fields) => object(schema, fields, path, found),
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return weight };
            let mut sum: u32 = 0;
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                sum = sum.saturating_add(walk(schema, item, path, found));
                path.pop();
            }
            sum
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    };
    weight.saturating_add(below)
}

/// Whether a value is of the type, or of one of the types, that the schema says.
fn kind(types: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => true,
    };
    match types {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

fn object(
    schema: &Value,
    fields: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Open>,
) -> u32 {
    let mut weight: u32 = 0;
    let known = schema.get("properties").and_then(Value::as_object);
    // The keys of a map have a form; its values are all of one kind.
    let mapped = schema.get("patternProperties").and_then(Value::as_object);
    let mapped = mapped.and_then(|patterns| patterns.values().next());
    let others = mapped.or_else(|| schema.get("additionalProperties"));
    for (name, value) in fields {
        path.push(name.clone());
        let inside = known.and_then(|known| known.get(name));
        if let Some(inside) = inside.or_else(|| others.filter(|others| others.is_object())) {
            weight = weight.saturating_add(walk(inside, value, path, found));
        } else if others == Some(&Value::Bool(false)) {
            weight = weight.saturating_add(1);
            let names = known.into_iter().flat_map(Map::keys).map(String::as_str);
            let names = names.collect::<Vec<_>>().join(", ");
            found.push(Open {
                path: path.clone(),
                rule: "unknown_field",
                message: format!("there is no field `{name}` here"),
                fix: format!("known are {names}"),
            });
        }
        path.pop();
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
        weight = weight.saturating_add(if name == "kind" { OTHER } else { 1 });
        let mut path = path.clone();
        path.push(name.to_owned());
        let fix = known.and_then(|known| known.get(name)).map_or_else(String::new, meaning);
        let message = "it is not stated, and there is no default".to_owned();
        found.push(Open { path, rule: "unstated", message, fix });
    }
    weight
}

/// What a field decides, and the words for it.
fn meaning(field: &Value) -> String {
    let target = resolved(field);
    let branches = target.get("oneOf").or_else(|| target.get("anyOf")).and_then(Value::as_array);
    let mut words: Vec<&str> = Vec::new();
    for branch in branches.into_iter().flatten().map(resolved) {
        words.extend(branch.get("const").and_then(Value::as_str));
        words.extend(
            branch
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str),
        );
        let required = branch.get("required").and_then(Value::as_array);
        let tag = branch.get("properties").and_then(|p| p.get("kind").or_else(|| p.get("by")));
        match tag.and_then(|tag| tag.get("const")).and_then(Value::as_str) {
            Some(tag) => words.push(tag),
            None => words.extend(required.into_iter().flatten().filter_map(Value::as_str)),
        }
    }
    words.extend(
        target
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    let says = field.get("description").or_else(|| target.get("description"));
    let says = says.and_then(Value::as_str).and_then(|text| text.split("\n\n").next());
    let says = says.unwrap_or_default().replace('\n', " ");
    let words = words.join(", ");
    match (says.is_empty(), words.is_empty()) {
        (true, true) => String::new(),
        (false, true) => says,
        (true, false) => format!("one of {words}"),
        (false, false) => format!("{says} One of {words}."),
    }
}
