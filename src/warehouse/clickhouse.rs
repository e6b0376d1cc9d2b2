//! Writing rows to ClickHouse.

use std::time::Duration;

use clickhouse::{Client, RowWrite, error::Error};

use super::{
    period::PeriodRow,
    rows::{LatencyRow, LineRow, OrderRow, Rows},
};
use crate::{domain::digest::Digest, stream::ServiceError};

const SERVICE: &str = "clickhouse";
/// Every file, in order; each statement may run again.
const SCHEMA: [&str; 3] = [
    include_str!("../../schemas/clickhouse/0001_upline.sql"),
    include_str!("../../schemas/clickhouse/0002_payout_currency.sql"),
    include_str!("../../schemas/clickhouse/0003_period_lines.sql"),
];
const SEND: Duration = Duration::from_secs(10);
const END: Duration = Duration::from_secs(30);

/// Why a warehouse URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ClickHouse URL cannot be read, write http://user:password@host:8123/database")]
pub struct UrlError;

/// A connection to the warehouse.
#[derive(Clone)]
pub struct ClickHouse {
    client: Client,
    database: String,
}

impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouse").field("database", &self.database).finish_non_exhaustive()
    }
}

/// What the data is to blame for is refused; everything else may work later.
fn classify(error: Error) -> ServiceError {
    // Of the server's errors only type mismatches and violated constraints; not overload.
    const REFUSED: [&str; 4] = ["Code: 27.", "Code: 53.", "Code: 117.", "Code: 469."];
    let refused = if let Error::BadResponse(text) = &error {
        REFUSED.iter().any(|code| text.contains(code))
    } else {
        matches!(
            error,
            Error::InvalidParams(_)
                | Error::InvalidColumnsHeader(_)
                | Error::SchemaMismatch(_)
                | Error::Unsupported(_)
        )
    };
    if refused {
        ServiceError::Refused { service: SERVICE, source: error.into() }
    } else {
        ServiceError::Unavailable { service: SERVICE, source: error.into() }
    }
}

impl ClickHouse {
    /// A client for `http://[user[:password]@]host:port[/database]`; the database is `upline` unless
    /// the URL names one. Connects when first used.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let uri: hyper::Uri = url.parse().map_err(|_syntax| UrlError)?;
        let authority = uri.authority().ok_or(UrlError)?;
        let scheme = uri.scheme_str().filter(|s| *s == "http").ok_or(UrlError)?;
        let (user, host) = match authority.as_str().rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority.as_str()),
        };
        let database = match uri.path().trim_matches('/') {
            "" => "upline",
            database => database,
        };
        if !database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(UrlError);
        }
        let mut client = Client::default()
            .with_url(format!("{scheme}://{host}"))
            .with_database(database)
            .with_product_info("upline", env!("CARGO_PKG_VERSION"));
        if let Some(user) = user {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            client = client.with_user(name).with_password(password);
        }
        Ok(Self { client, database: database.to_owned() })
    }

    /// The database that the tables are in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The underlying client, for queries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the database, the tables and the views if they are not there.
    pub async fn migrate(&self) -> Result<(), ServiceError> {
        let create = format!("CREATE DATABASE IF NOT EXISTS {}", self.database);
        let server = self.client.clone().with_database("default");
        server.query(&create).execute().await.map_err(classify)?;
        let statements = SCHEMA.iter().flat_map(|file| file.split(";\n"));
        for statement in statements.map(str::trim).filter(|s| !s.is_empty()) {
            self.client.query(statement).execute().await.map_err(classify)?;
        }
        Ok(())
    }

    /// Drops the database with all that is in it.
    pub async fn drop_database(&self) -> Result<(), ServiceError> {
        let drop = format!("DROP DATABASE IF EXISTS {}", self.database);
        let server = self.client.clone().with_database("default");
        server.query(&drop).execute().await.map_err(classify)
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), ServiceError> {
        let server = self.client.clone().with_database("default");
        server.query("SELECT 1").execute().await.map_err(classify)
    }

    /// Writes a batch. With a token, the server drops what it has had under it lately, so a batch that is
    /// written again at once is there once; without one it takes everything, and the views count each row
    /// once.
    pub async fn write(&self, rows: &Rows<'_>, token: Option<Digest>) -> Result<(), ServiceError> {
        self.insert::<OrderRow<'static>>("orders_versions", token, &rows.orders).await?;
        self.insert::<LineRow<'static>>("commission_lines_versions", token, &rows.lines).await?;
        let latencies = &rows.latencies;
        self.insert::<LatencyRow<'static>>("stage_latencies_versions", token, latencies).await
    }

    /// Writes entries of a closed period.
    pub async fn write_period(&self, rows: &[PeriodRow<'_>]) -> Result<(), ServiceError> {
        self.insert::<PeriodRow<'static>>("period_lines_versions", None, rows).await
    }

    async fn insert<T: RowWrite>(
        &self,
        table: &str,
        token: Option<Digest>,
        rows: &[T::Value<'_>],
    ) -> Result<(), ServiceError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .client
            .insert::<T>(table)
            .await
            .map_err(classify)?
            // What is read back may be of many months, each with a partition of its own.
            .with_setting("max_partitions_per_insert_block", "0")
            .with_timeouts(Some(SEND), Some(END));
        insert = match token {
            Some(token) => insert.with_setting("insert_deduplication_token", token.to_string()),
            None => insert.with_setting("insert_deduplicate", "0"),
        };
        for row in rows {
            insert.write(row).await.map_err(classify)?;
        }
        insert.end().await.map_err(classify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_user_and_database() {
        let plain = ClickHouse::new("http://127.0.0.1:8123").unwrap();
        assert_eq!(plain.database(), "upline");
        let full = ClickHouse::new("http://me:secret@ch:8123/analytics").unwrap();
        assert_eq!(full.database(), "analytics");
        assert!(!format!("{full:?}").contains("secret"));
        assert_eq!(ClickHouse::new("http://h:1/a;drop").unwrap_err(), UrlError);
        assert_eq!(ClickHouse::new("clickhouse:9000").unwrap_err(), UrlError);
    }
}
