//! The three services: by URL, or from the local stack.

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::NoTls;

use super::{output, stack_config};
use crate::{
    app::Endpoints,
    config::{Environment, Services},
    stack,
    store::postgres::migrate,
    stream::ServiceError,
    warehouse::clickhouse::ClickHouse,
};

/// The services with the lease of the local stack, if it is used.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) endpoints: Endpoints,
    /// Whether the database is that of the local stack: it is ours to create and migrate.
    pub(super) local_database: bool,
    _lease: Option<stack::Running>,
}

/// Finds the services and starts the local stack if one of them is not given. In the local stack
/// the databases are called `name`.
pub(super) fn connect(environment: &Environment, name: &str) -> anyhow::Result<Connected> {
    let services = Services::load(environment)?;
    let running = if services.need_stack() {
        let config = stack_config(environment)?;
        Some(stack::up(&config, false, &mut |step| output::error(step))?)
    } else {
        None
    };
    let local = |pick: fn(&stack::Endpoints) -> String| {
        SecretString::from(running.as_ref().map(|r| pick(&r.endpoints)).unwrap_or_default())
    };
    let local_database = services.database.is_none();
    let database = if let Some(url) = services.database {
        url
    } else {
        let server = local(|e| e.database_url.clone());
        super::block_on(create_database(server.expose_secret(), name))??.into()
    };
    let endpoints = Endpoints {
        nats: services.nats.unwrap_or_else(|| local(|e| e.nats_url.clone())),
        database,
        clickhouse: services.clickhouse.unwrap_or_else(|| {
            format!("{}/{name}", local(|e| e.clickhouse_url.clone()).expose_secret()).into()
        }),
    };
    Ok(Connected { endpoints, local_database, _lease: running })
}

/// Makes a database on the server of `url` if it is not there, and returns its URL.
pub(super) async fn create_database(url: &str, name: &str) -> anyhow::Result<String> {
    admin(url, &format!("CREATE DATABASE \"{name}\""), "42P04").await?;
    let (server, _) = url.rsplit_once('/').context("the database URL has no database")?;
    Ok(format!("{server}/{name}"))
}

/// Drops a database on the server of `url`.
pub(super) async fn drop_database(url: &str, name: &str) -> anyhow::Result<()> {
    admin(url, &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"), "").await
}

/// Runs one statement; an error with the SQLSTATE `fine` is none.
async fn admin(url: &str, statement: &str, fine: &str) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let work = async move { client.batch_execute(statement).await };
    let (result, ended) = tokio::join!(work, connection);
    match result {
        Err(error) if error.code().is_some_and(|code| code.code() == fine) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(ended?),
    }
}

/// Brings the books up to date.
pub(super) async fn migrate_books(endpoints: &Endpoints) -> anyhow::Result<Vec<i32>> {
    Ok(migrate(endpoints.database.expose_secret()).await?)
}

/// Brings both databases up to date.
pub(super) async fn migrate_all(endpoints: &Endpoints) -> anyhow::Result<Vec<i32>> {
    let applied = migrate_books(endpoints).await?;
    let warehouse = ClickHouse::new(endpoints.clickhouse.expose_secret())?;
    warehouse.migrate().await.map_err(|error| anyhow::anyhow!(ServiceError::chain(&error)))?;
    Ok(applied)
}
