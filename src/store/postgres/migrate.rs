//! Migrations: numbered files, each applied once, in one transaction.

use tokio_postgres::NoTls;

use crate::{domain::digest::Digest, stream::ServiceError};

/// Every migration: number, name, text.
const FILES: &[(i32, &str, &str)] = &[
    (1, "upline", include_str!("../../../schemas/postgres/0001_upline.sql")),
    (2, "exchange_rate", include_str!("../../../schemas/postgres/0002_exchange_rate.sql")),
    (3, "attribution", include_str!("../../../schemas/postgres/0003_attribution.sql")),
    (4, "articles", include_str!("../../../schemas/postgres/0004_articles.sql")),
    (5, "order_events", include_str!("../../../schemas/postgres/0005_order_events.sql")),
    (6, "decisions", include_str!("../../../schemas/postgres/0006_decisions.sql")),
    (7, "bulk_enrolment", include_str!("../../../schemas/postgres/0007_bulk_enrolment.sql")),
    (8, "storage", include_str!("../../../schemas/postgres/0008_storage.sql")),
    (9, "volume_journal", include_str!("../../../schemas/postgres/0009_volume_journal.sql")),
    (10, "period_close", include_str!("../../../schemas/postgres/0010_period_close.sql")),
    (11, "carried_volume", include_str!("../../../schemas/postgres/0011_carried_volume.sql")),
    (12, "placement", include_str!("../../../schemas/postgres/0012_placement.sql")),
    (13, "rank_fact", include_str!("../../../schemas/postgres/0013_rank_fact.sql")),
    (14, "sealed_period", include_str!("../../../schemas/postgres/0014_sealed_period.sql")),
    (15, "moving", include_str!("../../../schemas/postgres/0015_moving.sql")),
    (16, "warehouse_mark", include_str!("../../../schemas/postgres/0016_warehouse_mark.sql")),
    (17, "statement", include_str!("../../../schemas/postgres/0017_statement.sql")),
    (18, "corrected_period", include_str!("../../../schemas/postgres/0018_corrected_period.sql")),
];

/// The number of the last migration that this release knows.
pub fn last_migration() -> i32 {
    FILES.last().map_or(0, |(number, _, _)| *number)
}

/// Why the schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// A migration failed; nothing of it was applied.
    #[error("migration {number} ({name}) failed")]
    Apply {
        /// Its number.
        number: i32,
        /// Its name.
        name: &'static str,
        /// What the database said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A migration that was applied has another text now.
    #[error("migration {0} was changed after it was applied; changes go into a new file")]
    Changed(i32),
    /// The database was migrated by a newer release.
    #[error(
        "the database is at migration {found}, this release knows {known}: use a newer release"
    )]
    Newer {
        /// The last migration in the database.
        found: i32,
        /// The last migration of this release.
        known: i32,
    },
}

impl From<MigrateError> for ServiceError {
    fn from(error: MigrateError) -> Self {
        Self::Refused { service: "postgres", source: error.into() }
    }
}

/// Brings the schema up to date and returns the numbers of the migrations applied. Safe to run from
/// several processes at once. Connects as the role of the URL, which must own the schema.
pub async fn migrate(url: &str) -> Result<Vec<i32>, MigrateError> {
    let (mut client, connection) =
        tokio_postgres::connect(url, NoTls).await.map_err(MigrateError::Connect)?;
    let work = async {
        let fail = |source| MigrateError::Apply { number: 0, name: "migration table", source };
        let tx = client.transaction().await.map_err(fail)?;
        tx.batch_execute(
            "SET LOCAL client_min_messages = warning;
             SELECT pg_advisory_xact_lock(hashtextextended('upline.migrate', 0));
             CREATE SCHEMA IF NOT EXISTS upline;
             CREATE TABLE IF NOT EXISTS upline.migration (
                 number integer PRIMARY KEY, name text NOT NULL, hash bytea NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT clock_timestamp())",
        )
        .await
        .map_err(fail)?;
        let mut applied = Vec::new();
        let rows = tx
            .query("SELECT number, hash FROM upline.migration ORDER BY number", &[])
            .await
            .map_err(fail)?;
        let done: Vec<(i32, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let known = last_migration();
        if let Some((found, _)) = done.last().filter(|(found, _)| *found > known) {
            return Err(MigrateError::Newer { found: *found, known });
        }
        for (number, name, text) in FILES.iter().copied() {
            let hash = Digest::of(text.as_bytes());
            match done.iter().find(|(known, _)| *known == number) {
                Some((_, known)) if known != hash.as_bytes() => {
                    return Err(MigrateError::Changed(number));
                }
                Some(_) => continue,
                None => {}
            }
            let fail = |source| MigrateError::Apply { number, name, source };
            tx.batch_execute(text).await.map_err(fail)?;
            tx.execute(
                "INSERT INTO upline.migration (number, name, hash) VALUES ($1, $2, $3)",
                &[&number, &name, &hash.as_bytes().as_slice()],
            )
            .await
            .map_err(fail)?;
            applied.push(number);
        }
        tx.commit().await.map_err(fail)?;
        Ok(applied)
    };
    // The connection ends when the client is dropped; until then it must be driven beside the work.
    tokio::pin!(work);
    tokio::pin!(connection);
    tokio::select! {
        result = &mut work => result,
        ended = &mut connection => match ended {
            Ok(()) => work.await,
            Err(error) => Err(MigrateError::Connect(error)),
        },
    }
}
