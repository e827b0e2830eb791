//! People, roles, sessions, tokens, what was changed by whom: as rows, as changes, and how they are read.
//!
//! They change rarely and one at a time. Hashes are made elsewhere; nothing here can be used to log in.

use rusqlite::Connection;
use weir_core::time::Timestamp;

use super::{Advice, CommitError, Error, RESUBMIT, Store};

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// What they are called.
    pub name: String,
    /// The password's hash as PHC text; empty: no password fits.
    pub password: String,
    /// It was made by the server and must be changed first.
    pub is_one_time: bool,
    /// Since when they are known.
    pub at: Timestamp,
    /// What they may do: a project (empty for all) and the role's number.
    pub roles: Vec<(String, u8)>,
    /// Who vouches for them: `ldap` or `oidc`; empty if their password is kept here.
    pub source: String,
    /// What they are called there, for good; empty if nobody else vouches for them.
    pub subject: String,
}

impl std::fmt::Debug for PersonRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonRow({}, {:?})", self.name, self.roles)
    }
}

/// A login that has not run out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's value, lower-case hex.
    pub hash: String,
    /// Whose it is.
    pub person: String,
    /// Since when.
    pub at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// From where.
    pub origin: String,
}

/// A key for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the token, lower-case hex.
    pub hash: String,
    /// What it is called.
    pub name: String,
    /// The project it is for; empty for all.
    pub project: String,
    /// The role's number.
    pub role: u8,
    /// Since when.
    pub at: Timestamp,
    /// Until when; `None` for good.
    pub expires_at: Option<Timestamp>,
    /// Who made it.
    pub by: String,
}

/// Something that somebody changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; 0 before it is kept.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// From where.
    pub origin: String,
    /// What, such as `run.begin`.
    pub what: String,
    /// On which thing.
    pub target: String,
    /// How it was before.
    pub before: Option<String>,
    /// How it was afterwards.
    pub after: Option<String>,
}

/// A request that counts once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Who sent it.
    pub by: String,
    /// What they call it.
    pub key: String,
    /// A hash of what it asks for.
    pub fingerprint: String,
    /// The run that it began.
    pub run: i64,
    /// When.
    pub at: Timestamp,
}

/// A change of people.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds somebody, or gives somebody another password. Roles are left as they are.
    Person(PersonRow),
    /// Removes somebody with all their roles and sessions.
    RemovePerson(String),
    /// Gives a role in a project; `None` takes it away.
    Role {
        /// To whom.
        person: String,
        /// In which project; empty for all.
        project: String,
        /// The role's number.
        role: Option<u8>,
    },
    /// Begins a session; those that have run out by then are forgotten.
    Session(SessionRow),
    /// Ends a session.
    EndSession(String),
    /// Ends all sessions of somebody.
    EndSessions(String),
    /// Adds a token.
    Token(TokenRow),
    /// Removes the token of that name.
    RemoveToken(String),
    /// Notes what was changed.
    Audit(AuditRow),
}

impl Change {
    pub(super) fn write(&self, to: &Connection) -> Result<(), rusqlite::Error> {
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            to.prepare_cached(sql)?.execute(values).map(|_| ())
        };
        match self {
            Self::Person(row) => run(
                "INSERT INTO person (name, password, one_time, at, source, subject) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (name) DO UPDATE SET password = excluded.password, one_time = excluded.one_time,
                   source = excluded.source, subject = excluded.subject",
                &[
                    &row.name,
                    &row.password,
                    &row.is_one_time,
                    &row.at.millis(),
                    &row.source,
                    &row.subject,
                ],
            ),
            Self::RemovePerson(name) => run("DELETE FROM person WHERE name = ?", &[name]),
            Self::Role { person, project, role: Some(role) } => run(
                "INSERT INTO person_role (person, project, role) VALUES (?, ?, ?)
                 ON CONFLICT (person, project) DO UPDATE SET role = excluded.role",
                &[person, project, role],
            ),
            Self::Role { person, project, role: None } => run(
                "DELETE FROM person_role WHERE person = ? AND project = ?",
                &[person, project],
            ),
            Self::Session(row) => {
                run("DELETE FROM session WHERE expires_at <= ?", &[&row.at.millis()])?;
                run(
                    "INSERT INTO session (hash, person, at, expires_at, origin) VALUES (?, ?, ?, ?, ?)",
                    &[
                        &row.hash,
                        &row.person,
                        &row.at.millis(),
                        &row.expires_at.millis(),
                        &row.origin,
                    ],
                )
            }
            Self::EndSession(hash) => run("DELETE FROM session WHERE hash = ?", &[hash]),
            Self::EndSessions(person) => run("DELETE FROM session WHERE person = ?", &[person]),
            Self::Token(row) => run(
                "INSERT INTO token (hash, name, project, role, at, expires_at, \"by\") VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[
                    &row.hash,
                    &row.name,
                    &row.project,
                    &row.role,
                    &row.at.millis(),
                    &row.expires_at.map(Timestamp::millis),
                    &row.by,
                ],
            ),
            Self::RemoveToken(name) => run("DELETE FROM token WHERE name = ?", &[name]),
            Self::Audit(row) => run(
                "INSERT INTO audit (at, \"by\", origin, what, target, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[
                    &row.at.millis(),
                    &row.by,
                    &row.origin,
                    &row.what,
                    &row.target,
                    &row.before,
                    &row.after,
                ],
            ),
        }
    }
}

type Person = (String, String, bool, i64, String, String);
type Session = (String, String, i64, i64, String);
type Token = (String, String, String, i64, i64, Option<i64>, String);
type Audit = (i64, i64, String, String, String, String, Option<String>, Option<String>);

impl Store {
    /// Commits changes of people together.
    ///
    /// # Errors
    /// None of them was kept.
    pub async fn change_people(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.alone(self.order_all(super::Batch::default(), Vec::new(), changes)).await
    }

    /// Keeps what is to be known of a deed that is done: where nothing can be written now, it waits until that is so no
    /// more, as the deed itself would have.
    ///
    /// # Errors
    /// It will never be kept.
    pub async fn keep_note(&self, note: Change) -> Result<(), CommitError> {
        while let Err(error) = self.change_people(vec![note.clone()]).await {
            if error.trouble.advice() == Advice::Stop {
                return Err(error);
            }
            tokio::time::sleep(RESUBMIT).await;
        }
        Ok(())
    }

    /// Everybody who may log in, by name.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn people(&self) -> Result<Vec<PersonRow>, Error> {
        let pool = self.inner.reader.get_sqlite_connection_pool();
        let people: Vec<Person> = sqlx::query_as(
            "SELECT name, password, one_time, at, source, subject FROM person ORDER BY name",
        )
        .fetch_all(pool)
        .await?;
        let roles: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT person, project, role FROM person_role ORDER BY person, project",
        )
        .fetch_all(pool)
        .await?;
        let of = |name: &str| {
            let own = roles.iter().filter(|(person, ..)| person == name);
            own.map(|(_, project, role)| (project.clone(), *role as u8)).collect()
        };
        let with_roles = |person: Person| {
            let roles = of(&person.0);
            person_row(person, roles)
        };
        Ok(people.into_iter().map(with_roles).collect())
    }

    /// Somebody by name.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn person(&self, name: &str) -> Result<Option<PersonRow>, Error> {
        let pool = self.inner.reader.get_sqlite_connection_pool();
        let found: Option<Person> = sqlx::query_as(
            "SELECT name, password, one_time, at, source, subject FROM person WHERE name = ?",
        )
        .bind(name)
        .fetch_optional(pool)
        .await?;
        let Some(person) = found else { return Ok(None) };
        let roles: Vec<(String, i64)> = sqlx::query_as(
            "SELECT project, role FROM person_role WHERE person = ? ORDER BY project",
        )
        .bind(name)
        .fetch_all(pool)
        .await?;
        let roles = roles.into_iter().map(|(project, role)| (project, role as u8)).collect();
        Ok(Some(person_row(person, roles)))
    }

    /// The name here of somebody whom another place vouches for.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn name_of_subject(
        &self,
        source: &str,
        subject: &str,
    ) -> Result<Option<String>, Error> {
        let found: Option<(String,)> =
            sqlx::query_as("SELECT name FROM person WHERE source = ? AND subject = ?")
                .bind(source)
                .bind(subject)
                .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
                .await?;
        Ok(found.map(|(name,)| name))
    }

    /// The session with that hash.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn session(&self, hash: &str) -> Result<Option<SessionRow>, Error> {
        let found: Option<Session> = sqlx::query_as(
            "SELECT hash, person, at, expires_at, origin FROM session WHERE hash = ?",
        )
        .bind(hash)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found.map(|(hash, person, at, expires_at, origin)| SessionRow {
            hash,
            person,
            at: Timestamp::from_millis(at),
            expires_at: Timestamp::from_millis(expires_at),
            origin,
        }))
    }

    /// The token with that hash.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn token(&self, hash: &str) -> Result<Option<TokenRow>, Error> {
        let found: Option<Token> = sqlx::query_as(
            "SELECT hash, name, project, role, at, expires_at, \"by\" FROM token WHERE hash = ?",
        )
        .bind(hash)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found.map(token_row))
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        let found: Vec<Token> = sqlx::query_as(
            "SELECT hash, name, project, role, at, expires_at, \"by\" FROM token ORDER BY name",
        )
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found.into_iter().map(token_row).collect())
    }

    /// What was changed, newest first, older than `before`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn audit(&self, before: Option<i64>, limit: u64) -> Result<Vec<AuditRow>, Error> {
        let found: Vec<Audit> = sqlx::query_as(
            "SELECT id, at, \"by\", origin, what, target, before, after FROM audit
             WHERE id < ? ORDER BY id DESC LIMIT ?",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found
            .into_iter()
            .map(|(id, at, by, origin, what, target, before, after)| AuditRow {
                id,
                at: Timestamp::from_millis(at),
                by,
                origin,
                what,
                target,
                before,
                after,
            })
            .collect())
    }

    /// A request that counts once, if it was met before.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn request(&self, by: &str, key: &str) -> Result<Option<RequestRow>, Error> {
        let found: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT fingerprint, run, at FROM request WHERE \"by\" = ? AND \"key\" = ?",
        )
        .bind(by)
        .bind(key)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found.map(|(fingerprint, run, at)| RequestRow {
            by: by.to_owned(),
            key: key.to_owned(),
            fingerprint,
            run,
            at: Timestamp::from_millis(at),
        }))
    }

    /// The flows that were loaded here: project, name and the hash of the version that was loaded last.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn flows(&self) -> Result<Vec<(String, String, String)>, Error> {
        Ok(sqlx::query_as(
            "SELECT project, flow, hash FROM (SELECT project, flow, hash, max(seen_at) FROM version GROUP BY project, flow)
             ORDER BY project, flow",
        )
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// The versions of a flow, the last loaded first: hash and when it was first seen.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn versions(
        &self,
        project: &str,
        flow: &str,
        limit: u64,
    ) -> Result<Vec<(String, Timestamp)>, Error> {
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT hash, at FROM version WHERE project = ? AND flow = ? ORDER BY seen_at DESC LIMIT ?",
        )
        .bind(project)
        .bind(flow)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(found.into_iter().map(|(hash, at)| (hash, Timestamp::from_millis(at))).collect())
    }
}

fn person_row(
    (name, password, is_one_time, at, source, subject): Person,
    roles: Vec<(String, u8)>,
) -> PersonRow {
    let at = Timestamp::from_millis(at);
    PersonRow { name, password, is_one_time, at, roles, source, subject }
}

fn token_row((hash, name, project, role, at, expires_at, by): Token) -> TokenRow {
    TokenRow {
        hash,
        name,
        project,
        role: role as u8,
        at: Timestamp::from_millis(at),
        expires_at: expires_at.map(Timestamp::from_millis),
        by,
    }
}
