//! Whether the books are what this release needs, before anything is taken.

use tokio_postgres::error::SqlState;

use crate::{
    store::postgres::{Postgres, last_migration},
    stream::ServiceError,
};

/// The role that the migrations make for the service.
const ROLE: &str = "upline_service";

/// Why the books cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// There are none.
    #[error(
        "the database has no tables of Upline: run `upline migrate`, or `upline serve --migrate`"
    )]
    Unmigrated,
    /// They are those of an earlier release.
    #[error(
        "the database is at migration {found}, this release needs {needed}: run `upline migrate`, or \
         `upline serve --migrate`"
    )]
    Behind {
        /// The last migration in the database.
        found: i32,
        /// The last migration of this release.
        needed: i32,
    },
    /// The role of the service may not read them.
    #[error(
        "the role {role} may not read the tables of Upline: run `upline migrate` as their owner, who \
         must be able to grant rights"
    )]
    NoRights {
        /// The role that the service works as.
        role: String,
        /// What the database said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The database cannot be asked.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

fn unavailable(error: tokio_postgres::Error) -> BooksError {
    BooksError::Service(ServiceError::Unavailable { service: "postgres", source: error.into() })
}

/// Refuses books that are missing or too old, and warns, once and loudly, of a service that may
/// change what is posted.
pub(super) async fn check(store: &Postgres) -> Result<(), BooksError> {
    let client = store.client().await?;
    let query = "SELECT current_user::text,
            EXISTS (SELECT FROM pg_tables WHERE schemaname = 'upline' AND tablename = 'migration'),
            EXISTS (SELECT FROM pg_roles WHERE rolname = 'upline_service')";
    let row = client.query_one(query, &[]).await.map_err(unavailable)?;
    let (role, migrated, role_exists): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if !migrated {
        return Err(BooksError::Unmigrated);
    }
    let query = "SELECT coalesce(max(number), 0) FROM upline.migration";
    let found: i32 = match client.query_one(query, &[]).await {
        Ok(row) => row.get(0),
        Err(source) if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Err(BooksError::NoRights { role, source });
        }
        Err(error) => return Err(unavailable(error)),
    };
    let needed = last_migration();
    if found < needed {
        return Err(BooksError::Behind { found, needed });
    }
    if found > needed {
        tracing::warn!(found, needed, "the database was migrated by a newer release");
    }
    if role != ROLE {
        let mend = if role_exists {
            "grant upline_service to this user"
        } else {
            "let a user who may create roles run: CREATE ROLE upline_service NOLOGIN, then grant it \
             the rights that the migrations name, and grant it to this user"
        };
        tracing::warn!(
            role,
            "THE SERVICE DOES NOT WORK AS upline_service: only triggers keep it from changing what is \
             posted, and an owner can switch those off; {mend}"
        );
    }
    Ok(())
}
