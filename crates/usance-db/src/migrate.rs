//! Brings a database to the schema of this binary, once, under a lock, whoever comes first.

use sqlx::{Connection, PgConnection, Row, migrate::Migrator};

use crate::DbError;

/// The migrations that this binary knows.
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The oldest PostgreSQL that the SQL of this crate is written for.
const SERVER_VERSION_MIN: i32 = 15;
/// Serialises the creation of roles, which belong to the cluster.
const ROLES_LOCK: i64 = 0x7573_616e_6365_726f;
const ROLES: [&str; 5] = ["usance_owner", "usance_app", "usance_writer", "usance_system", "usance_customer"];

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Not reachable, or an unexpected answer.
    #[error("cannot prepare the database")]
    Database(#[source] DbError),
    /// Too old.
    #[error("PostgreSQL {found} is too old: Usance needs version 15 or newer")]
    ServerTooOld {
        /// The major version found.
        found: i32,
    },
    /// The roles can neither be found nor made.
    #[error(
        "cannot prepare the role {role}: let a superuser run CREATE ROLE {role} NOLOGIN; GRANT {role} TO <the login of DATABASE_URL>;"
    )]
    Role {
        /// The role.
        role: &'static str,
        /// What PostgreSQL said.
        #[source]
        source: sqlx::Error,
    },
    /// A role could look past row-level security.
    #[error(
        "the role {role} is a superuser or has BYPASSRLS: tenants would not be kept apart; take these attributes away"
    )]
    UnsafeRole {
        /// The role.
        role: String,
    },
    /// A migration failed, or the database is newer than this binary.
    #[error("cannot migrate the database: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Migrates the database at `url` and checks that the roles keep tenants apart.
pub async fn migrate(url: &str) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(url).await?;
    let version: i32 = sqlx::query("SELECT current_setting('server_version_num')::int / 10000")
        .fetch_one(&mut connection)
        .await?
        .try_get(0)?;
    if version < SERVER_VERSION_MIN {
        return Err(MigrateError::ServerTooOld { found: version });
    }
    prepare_roles(&mut connection, version).await?;
    sqlx::query("SET ROLE usance_owner").execute(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(MigrateError::Migration)?;
    connection.close().await?;
    Ok(())
}

async fn prepare_roles(connection: &mut PgConnection, version: i32) -> Result<(), MigrateError> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(ROLES_LOCK).execute(&mut *connection).await?;
    for role in ROLES {
        prepare_role(connection, version, role)
            .await
            .map_err(|source| MigrateError::Role { role, source })?;
    }
    let grants = "DO $$ BEGIN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO usance_owner', current_database());
        GRANT CREATE, USAGE ON SCHEMA public TO usance_owner;
    END $$";
    sqlx::query(grants).execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(ROLES_LOCK).execute(&mut *connection).await?;
    let unsafe_role =
        "SELECT rolname::text FROM pg_roles WHERE rolname = ANY($1) AND (rolsuper OR rolbypassrls) LIMIT 1";
    match sqlx::query(unsafe_role).bind(&ROLES[..]).fetch_optional(&mut *connection).await? {
        Some(row) => Err(MigrateError::UnsafeRole { role: row.try_get(0)? }),
        None => Ok(()),
    }
}

async fn prepare_role(
    connection: &mut PgConnection,
    version: i32,
    role: &'static str,
) -> Result<(), sqlx::Error> {
    // Two databases of one cluster may be prepared at the same time: the loser finds the role made.
    let create = format!(
        "DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    let exists = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1")
        .bind(role)
        .fetch_optional(&mut *connection)
        .await?;
    if exists.is_none() {
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut *connection).await?;
    }
    // From 16 on, who makes a role is its member with the right to grant it, but not to act as it.
    let right = if version >= 16 { "SET" } else { "MEMBER" };
    let may_act: bool = sqlx::query("SELECT pg_has_role(current_user, $1, $2)")
        .bind(role)
        .bind(right)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !may_act {
        // Not inherited: a statement outside a transaction of this crate then reaches nothing.
        let options = if version >= 16 { " WITH INHERIT FALSE, SET TRUE" } else { "" };
        sqlx::query(sqlx::AssertSqlSafe(format!("GRANT {role} TO CURRENT_USER{options}")))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
