//! The JSON Schema of a plan file, generated from the types that read it.
//!
//! It says what stands where, which words there are and what must be stated. What only the whole of a
//! plan shows (names that exist, tables that ascend) is said when the plan is read.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema,
    transform::RecursiveTransform,
};
use serde_json::{Value, json};

use super::{
    by_rank::{ByRank, Threshold},
    case::{Amount, Instant, Points},
    close::{Bracket, Breakaway, Matching, Pool, RankBonus, UnilevelVolume},
    order_time::{
        Differential, Direct, FastStart, Generation, Infinity, RankRates, Unilevel, WalkLimit,
    },
    pairs::{Binary, Limit, Matrix, Periods},
    period::{PeriodId, Zone},
    read::PlanFile,
};
use crate::domain::{
    id::{CommissionClass, ComponentId, DistributorId, RankId, TreeId},
    money::{Currency, Money, Rate},
    volume::{Conversion, Volume},
};

/// The JSON Schema (draft 2020-12) of a plan file, for editors and for checks outside this program.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(plain));
    let mut schema = settings.into_generator().into_root_schema_for::<PlanFile>();
    schema.insert("title".into(), json!("Compensation plan"));
    schema.insert(
        "description".into(),
        json!(
            "One version of a compensation plan. Figures are text, so that none is ever a binary \
             fraction: a rate is \"5 %\" or \"0.05\", an amount \"500.00\", a volume \"1200\"."
        ),
    );
    schema.to_value()
}

/// Takes examples in Rust and the line breaks of the source out of the descriptions, and the defaults
/// that only say "nothing".
fn plain(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let end = text.find("\n\n```").unwrap_or(text.len());
        text.truncate(end);
        let paragraphs = text.split("\n\n").map(|lines| lines.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n").replace("[`", "`").replace("`]", "`");
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
}

/// A type that is text in the file, of a form.
macro_rules! text {
    ($($name:ident, $pattern:literal, $description:literal;)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    )*};
}

text! {
    ComponentId, "^[A-Za-z0-9_-]{1,64}$",
        "The id of a component or a cap: 1 to 64 letters, digits, - and _.";
    RankId, "^[A-Za-z0-9_-]{1,64}$", "The name of a rank: 1 to 64 letters, digits, - and _.";
    TreeId, "^[A-Za-z0-9_-]{1,64}$",
        "The name of a placement tree: 1 to 64 letters, digits, - and _.";
    CommissionClass, "^[A-Za-z0-9_-]{1,64}$",
        "A commission class of the SKU mapping: 1 to 64 letters, digits, - and _.";
    PeriodId, "^[A-Za-z0-9_-]{1,32}$", "The id of a period: 1 to 32 letters, digits, - and _.";
    Rate, "^[0-9]*\\.?[0-9]+ ?%?$",
        "A rate: \"5 %\" or \"0.05\"; at most 1000 %, at most eight decimal places.";
    Money, "^-?[0-9]*\\.?[0-9]+$", "An amount in the currency of the close, such as \"500.00\".";
    Volume, "^-?[0-9]*\\.?[0-9]+$",
        "Points, such as \"1200\"; at most four decimal places, at most 10000000000000.";
    Conversion, "^[0-9]*\\.?[0-9]+$",
        "How much money a point is, such as \"0.50\"; at most 1000000, at most six decimal places.";
    Currency, "^[A-Z]{3}$", "A currency by its three letters of ISO 4217, such as \"EUR\".";
    Zone, "^.{1,64}$", "UTC, or a rule of POSIX such as \"CET-1CEST,M3.5.0,M10.5.0/3\".";
    Periods, "^([1-9][0-9]{0,2}|1000)$", "So many periods as text, \"1\" to \"1000\".";
    Threshold, "^[A-Za-z0-9_-]{1,64}$", "The name of a rank of this plan.";
    DistributorId, "^[!-~]{1,64}$",
        "A member of a case: 1 to 64 printable characters without blanks.";
    Instant, "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$",
        "A day (its first instant in UTC) or an instant: \"2026-01-31\", \"2026-01-31T08:00:00Z\".";
}

/// A figure of a case: a whole number as it is, or a number as text.
macro_rules! figure {
    ($($name:ident, $description:literal;)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                concat!("Case", stringify!($name)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let text = json!({ "type": "string", "pattern": "^-?[0-9]*\\.?[0-9]+$" });
                json_schema!({
                    "anyOf": [{ "type": "integer" }, text], "description": $description,
                })
            }
        }
    )*};
}

figure! {
    Points, "Points, as a whole number or as text: 200, \"1.5\".";
    Amount, "An amount of money, as a whole number or as text: 20, \"19.80\".";
}

impl JsonSchema for WalkLimit {
    fn schema_name() -> Cow<'static, str> {
        "WalkLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": 1, "maximum": 10_000,
            "description": "How many distributors above an order are looked at. What is not placed by \
                            then is breakage.",
        })
    }
}

impl<T: JsonSchema> JsonSchema for Limit<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("LimitOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let figure = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [{ "const": "none" }, figure],
            "description": "A figure, or \"none\" where there is none.",
        })
    }
}

impl<T: JsonSchema> JsonSchema for ByRank<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ByRankOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "type": "object", "additionalProperties": value, "required": ["unranked"],
            "description": "A value for each rank of the plan by its name, and for people without \
                            one (`unranked`). None is left out.",
        })
    }
}

impl JsonSchema for RankRates {
    fn schema_name() -> Cow<'static, str> {
        "RankRates".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rates = generator.subschema_for::<ByRank<Rate>>();
        json_schema!({
            "type": "object", "additionalProperties": rates,
            "description": "For each commission class the rate of each rank.",
        })
    }
}

/// A component of any kind.
pub(super) struct AnyComponent;

impl JsonSchema for AnyComponent {
    fn schema_name() -> Cow<'static, str> {
        "Component".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = [
            of_kind::<Direct>("direct", generator),
            of_kind::<Unilevel>("unilevel", generator),
            of_kind::<Differential>("differential", generator),
            of_kind::<Infinity>("infinity", generator),
            of_kind::<Generation>("generation", generator),
            of_kind::<FastStart>("fast_start", generator),
            of_kind::<Binary>("binary", generator),
            of_kind::<Matrix>("matrix", generator),
            of_kind::<UnilevelVolume>("unilevel_volume", generator),
            of_kind::<Bracket>("bracket", generator),
            of_kind::<Breakaway>("breakaway", generator),
            of_kind::<Matching>("matching", generator),
            of_kind::<RankBonus>("rank_bonus", generator),
            of_kind::<Pool>("pool", generator),
        ];
        json_schema!({ "oneOf": kinds, "description": "One way to earn, by its `kind`." })
    }
}

/// The schema of a component, with the word for what it is.
fn of_kind<T: JsonSchema>(kind: &str, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("kind".into(), json!({ "const": kind }));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, json!("kind"));
    }
    schema
}
