//! Every choice that a file leaves open, and every word that nobody knows: read against the schema, so
//! that one of them does not hide the next.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{Finding, Severity, leaf};
use crate::domain::plan::{
    PlanError, Problem, close::ClosePlanError, near::nearest, read::place, schema,
};

pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// What is not of the right kind at all, and so is not the branch that was meant.
const OTHER: u32 = 1000;

/// A rank or a component is named; whether there is one is looked up at the end.
const RANK: &str = "names_rank";
const COMPONENT: &str = "names_component";

/// How deep a file is looked into; plans are five tables deep.
const MAX_DEPTH: usize = 32;

/// Every required field that is missing, every field that there is not, and values that are not of their
/// form.
pub(super) fn open(text: &str) -> Vec<Finding> {
    let Ok(file) = toml::from_str::<Value>(text) else { return Vec::new() };
    let mut found = Vec::new();
    walk(&SCHEMA, &file, &mut Vec::new(), &mut found);
    found.retain_mut(|open| stranger(open, &file));
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
            severity: open.severity,
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

/// Whether an error of reading, told at a line, is among what was found here.
pub(super) fn tells(open: &[Finding], error: &PlanError, line: usize) -> bool {
    let error = match error {
        PlanError::Syntax(error) => error,
        PlanError::Field { problem, .. } => return names_nobody(open, problem),
        PlanError::Repeated(_) | PlanError::NoRates(_) => return false,
    };
    let value = |found: &Finding| {
        found.severity == Severity::Error && !matches!(found.rule, "unstated" | "unknown_field")
    };
    if open.iter().any(|found| value(found) && found.line == line) {
        return true;
    }
    let mut words = error.message().split('`');
    let (start, field) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rule = match start {
        "missing field " => "unstated",
        "unknown field " => "unknown_field",
        _ => return false,
    };
    open.iter().any(|f| f.rule == rule && f.field.rsplit('.').next() == Some(field))
}

/// Whether a problem is a name that nobody knows, and it was found where it stands.
fn names_nobody(open: &[Finding], problem: &Problem) -> bool {
    let (rule, name) = if let Problem::UnknownRank { found, .. } = problem {
        ("unknown_rank", &**found)
    } else if let Problem::Close(ClosePlanError::UnknownRank(rank)) = problem {
        ("unknown_rank", rank.as_str())
    } else if let Problem::NotAUnilevel(named)
    | Problem::Close(
        ClosePlanError::NotBefore { named, .. } | ClosePlanError::CapAfter { named, .. },
    ) = problem
    {
        ("unknown_component", named.as_str())
    } else {
        return false;
    };
    let told = |found: &Finding| found.rule == rule && found.message.ends_with(&format!(" {name}"));
    open.iter().any(told)
}

/// The ids of the entries of a list of the file.
fn ids<'a>(file: &'a Value, list: &str) -> Vec<&'a str> {
    let entries = file.get(list).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.get("id")?.as_str()).map(str::trim).collect()
}

/// What is told of a name, if the file has no entry of it: a rank, or a component.
fn stranger(open: &mut Open, file: &Value) -> bool {
    let (list, what, rule) = match open.rule {
        RANK => ("rank", "rank", "unknown_rank"),
        COMPONENT => ("component", "component", "unknown_component"),
        _ => return true,
    };
    let known = ids(file, list);
    let name = std::mem::take(&mut open.message);
    // A case also says that somebody has no rank.
    let none = name == "none" && open.path.first().is_some_and(|list| list == "case");
    if known.contains(&&*name) || (known.is_empty() && open.rule == RANK) || none {
        return false;
    }
    let near = nearest(&name, known.iter().copied());
    let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    open.fix = format!("{near}its {what}s are {}", known.join(", "));
    open.message = format!("the plan has no {what} {name}");
    (open.severity, open.rule) = (Severity::Error, rule);
    true
}

/// A field that is missing, or that there is not.
struct Open {
    severity: Severity,
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
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.rsplit('/').next());
    let name = name.unwrap_or_default();
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
        let (least, mut inside) = best.unwrap_or_default();
        weight = least;
        // Without the word that picks a branch, no branch is the one that was meant.
        let words = tag(branches)
            .filter(|(tag, _)| path.len() > 2 && value.is_object() && value.get(tag).is_none());
        if let Some((tag, words)) = words {
            let mut path = path.clone();
            path.push(tag.to_owned());
            let message = "it is not stated, and there is no default".to_owned();
            let fix = format!("one of {}", words.join(", "));
            inside = vec![Open { severity: Severity::Error, path, rule: "unstated", message, fix }];
            weight = 1;
        }
        if weight < OTHER {
            found.extend(inside);
        }
    }
    let is = |key: &str, right: &dyn Fn(&Value) -> bool| schema.get(key).is_none_or(right);
    let listed = |words: &Value| words.as_array().is_some_and(|words| words.contains(value));
    let fits = is("const", &|only| only == value)
        && is("enum", &listed)
        && is("type", &|t| kind(t, value));
    if !fits {
        return match leaf::mistyped(name, schema, value) {
            Some(told) => weight.saturating_add(tell(told, path, found)),
            None => weight.saturating_add(OTHER),
        };
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
        Value::String(text) => words(name, schema, text, path, found),
        Value::Number(_) => leaf::bounds(schema, value).map_or(0, |told| tell(told, path, found)),
        Value::Null | Value::Bool(_) => 0,
    };
    weight.saturating_add(below)
}

/// Looks at a text: whether it is of its form, and whom it names.
fn words(name: &str, schema: &Value, text: &str, path: &[String], found: &mut Vec<Open>) -> u32 {
    let rule = match name {
        _ if path.last().is_some_and(|key| key == "id") => None,
        "RankId" | "Threshold" => Some(RANK),
        "ComponentId" => Some(COMPONENT),
        _ => None,
    };
    found.extend(rule.map(|rule| Open {
        severity: Severity::Note,
        path: path.to_vec(),
        rule,
        message: text.trim().to_owned(),
        fix: String::new(),
    }));
    leaf::text(name, schema, text).map_or(0, |told| tell(told, path, found))
}

/// Keeps what is told of a value, and says how far that is from the schema.
fn tell(told: leaf::Told, path: &[String], found: &mut Vec<Open>) -> u32 {
    let leaf::Told { severity, rule, message, fix } = told;
    found.push(Open { severity, path: path.to_vec(), rule, message, fix });
    u32::from(severity == Severity::Error)
}

/// The field by whose word branches differ, and the words.
fn tag(branches: &[Value]) -> Option<(&str, Vec<&str>)> {
    let fields = |branch| resolved(branch).get("properties").and_then(Value::as_object);
    let word = |branch, tag: &str| fields(branch)?.get(tag)?.get("const")?.as_str();
    let first = branches.first()?;
    let (tag, _) = fields(first)?.iter().find(|(_, field)| field.get("const").is_some())?;
    let words: Option<Vec<&str>> = branches.iter().map(|branch| word(branch, tag)).collect();
    Some((tag.as_str(), words?))
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
            let names = names.collect::<Vec<_>>();
            let near = nearest(name, names.iter().copied());
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let names = names.join(", ");
            found.push(Open {
                severity: Severity::Error,
                path: path.clone(),
                rule: "unknown_field",
                message: format!("there is no field `{name}` here"),
                fix: format!("{near}known are {names}"),
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
        let severity = Severity::Error;
        found.push(Open { severity, path, rule: "unstated", message, fix });
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
