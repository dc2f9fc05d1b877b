//! What can go wrong in the database, sorted by what a caller can do about it.

use sqlx::error::DatabaseError;

/// A failed statement or transaction.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique or exclusion constraint refused a row. Constraint names are part of the code.
    #[error("the constraint {constraint} refused the row")]
    Conflict {
        /// Name of the constraint.
        constraint: String,
    },
    /// A value was refused by its type or by a check: a bug, or input that was not validated.
    #[error("the database refused a value")]
    Refused(#[source] sqlx::Error),
    /// A text holds a character that PostgreSQL cannot store: NUL.
    #[error("a text holds a character that cannot be stored")]
    UnstorableText,
    /// Another transaction was in the way; the same transaction may succeed when repeated.
    #[error("the transaction lost against a concurrent one")]
    Contended(#[source] sqlx::Error),
    /// The database cannot be reached or has no connection left.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else.
    #[error("the database answered with an error")]
    Other(#[source] sqlx::Error),
    /// A stored value that the code cannot read.
    #[error("the column {column} holds a value that cannot be read")]
    Unreadable {
        /// Table and column.
        column: &'static str,
    },
}

impl DbError {
    /// The database went away before the transaction was known to be durable.
    pub fn lost() -> Self {
        Self::Unavailable(sqlx::Error::WorkerCrashed)
    }

    /// Whether the named constraint refused the row.
    pub fn is_conflict(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint } if constraint == name)
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) =
            error.as_database_error().and_then(DatabaseError::code).map(std::borrow::Cow::into_owned)
        else {
            let lost = matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
            );
            return if lost { Self::Unavailable(error) } else { Self::Other(error) };
        };
        match code.as_str() {
            "23505" | "23P01" => {
                let constraint = error
                    .as_database_error()
                    .and_then(DatabaseError::constraint)
                    .unwrap_or_default()
                    .to_owned();
                Self::Conflict { constraint }
            }
            "22021" | "22P05" => Self::UnstorableText,
            "40001" | "40P01" | "55P03" => Self::Contended(error),
            // 57P0x: the server shuts down or starts up. 53300: no connection slot. 08xxx: connection lost.
            "57P01" | "57P02" | "57P03" | "53300" => Self::Unavailable(error),
            other if other.starts_with("08") => Self::Unavailable(error),
            other if other.starts_with("22") || other.starts_with("23") => Self::Refused(error),
            _ => Self::Other(error),
        }
    }
}
