//! `upline plan schema`: the JSON Schema of a plan file.

use std::process::ExitCode;

use super::super::output;
use crate::domain::plan;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    output::line(&text()?);
    Ok(ExitCode::SUCCESS)
}

fn text() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&plan::schema())
}

#[cfg(test)]
mod tests {
    /// The file is what the types say: `upline plan schema > schemas/plan.schema.json`.
    #[test]
    fn the_schema_in_the_repository_is_the_one_that_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/plan.schema.json");
        let file = std::fs::read_to_string(path).unwrap();
        assert!(
            file.trim_end() == super::text().unwrap(),
            "run `upline plan schema > schemas/plan.schema.json` and look at what changed"
        );
    }
}
