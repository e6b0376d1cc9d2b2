//! `upline plan store`: the plans of the pipeline files into the books.

use std::process::ExitCode;

use secrecy::ExposeSecret;

use super::super::{block_on, output, services};
use crate::{
    config::{Environment, pipelines_folder},
    pipeline::Pipelines,
    store::postgres::{Postgres, Registered},
};

pub(super) fn run(environment: &Environment) -> anyhow::Result<ExitCode> {
    let plans = Pipelines::plans(pipelines_folder(environment).as_ref())?;
    let connected = services::connect(environment, "upline")?;
    block_on(async {
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 1)?;
        for source in Pipelines::in_order(&plans) {
            let plan = &source.plan.reference;
            let stored = store.register_plan(&source.plan, &source.text).await;
            let stored = stored.map_err(|error| anyhow::anyhow!("{}", error.chain()))?;
            let what = match stored {
                Registered::Stored => "stored",
                Registered::Known => "stored before",
            };
            output::line(&format!("plan {} version {}: {what}", plan.id, plan.version));
        }
        anyhow::Ok(ExitCode::SUCCESS)
    })?
}
