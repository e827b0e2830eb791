//! Who may do what: roles, and what can be asked about people and tokens. Every change leaves a line in the audit.
//!
//! Passwords and tokens come in as hashes: nothing here could be used to log in.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::time::Timestamp;

use crate::api::Problem;
use crate::engine::{Handle, wall_clock};
use crate::store::people::{AuditRow, Change, PersonRow, TokenRow};

mod arrival;

pub use arrival::{Arrival, Source, Unwelcome, Welcome, gone, welcome};

/// What somebody may do in a project. Each may all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks.
    Viewer = 1,
    /// Runs flows, reruns, answers, acts on tasks.
    Operator = 2,
    /// Changes flows and schedules.
    Author = 3,
    /// Everything; in all projects also people, tokens and the system.
    Admin = 4,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Author, Self::Admin];

    /// The name in commands, pages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Author => "author",
            Self::Admin => "admin",
        }
    }

    /// The role with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its number in the store. Never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The role with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }
}

/// What can be asked about people. On the wire inside of [`crate::api::Request::People`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Ask {
    /// Everybody: `[{"name","roles":[{"project","role"}],"one_time","at","source"}]`.
    People,
    /// Add somebody, or give somebody another password: ends their sessions. `null`.
    Add {
        /// What they are called.
        name: String,
        /// The password's hash as PHC text.
        password: String,
        /// It must be changed at the first login.
        one_time: bool,
        /// A role for a new one: in a project, or everywhere if that is empty.
        role: Option<(String, Role)>,
    },
    /// Remove somebody: `null`.
    Remove {
        /// Who.
        name: String,
    },
    /// Give a role, or take it away: `null`.
    Role {
        /// To whom.
        name: String,
        /// Where; empty for everywhere.
        project: String,
        /// Which.
        role: Option<Role>,
    },
    /// End all sessions of somebody: `null`.
    LogOut {
        /// Of whom.
        name: String,
    },
    /// All tokens: `[{"name","project","role","at","expires_at","by"}]`.
    Tokens,
    /// Add a token: `null`.
    AddToken {
        /// What it is called.
        name: String,
        /// SHA-256 of it, lower-case hex.
        hash: String,
        /// Where; empty for everywhere.
        project: String,
        /// What it may do.
        role: Role,
        /// Until when.
        expires_at: Option<Timestamp>,
    },
    /// Remove a token: `null`.
    RemoveToken {
        /// Which.
        name: String,
    },
    /// What was changed, newest first.
    Audit {
        /// Only older ones.
        before: Option<i64>,
        /// How many at most.
        limit: u64,
    },
}

impl Ask {
    /// Whether nothing comes of asking it twice.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::People | Self::Tokens | Self::Audit { .. } => true,
            Self::Add { .. }
            | Self::Remove { .. }
            | Self::Role { .. }
            | Self::LogOut { .. }
            | Self::AddToken { .. }
            | Self::RemoveToken { .. } => false,
        }
    }
}

/// Passwords and tokens are hashes already, but those belong into no log either.
impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::People => "People",
            Self::Add { .. } => "Add",
            Self::Remove { .. } => "Remove",
            Self::Role { .. } => "Role",
            Self::LogOut { .. } => "LogOut",
            Self::Tokens => "Tokens",
            Self::AddToken { .. } => "AddToken",
            Self::RemoveToken { .. } => "RemoveToken",
            Self::Audit { .. } => "Audit",
        })
    }
}

/// Who asks, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Who.
    pub by: String,
    /// From where: an address, or `socket`.
    pub origin: String,
}

impl Asker {
    /// A line for the audit.
    pub fn note(
        &self,
        what: &str,
        target: &str,
        before: Option<String>,
        after: Option<String>,
    ) -> Change {
        Change::Audit(AuditRow {
            id: 0,
            at: wall_clock(),
            by: self.by.clone(),
            origin: self.origin.clone(),
            what: what.to_owned(),
            target: target.to_owned(),
            before,
            after,
        })
    }
}

fn call(message: impl Into<String>) -> Problem {
    Problem::call(message)
}

fn inner(message: impl std::fmt::Display) -> Problem {
    Problem::inner(message)
}

fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    if (1..=64).contains(&name.chars().count()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(call(format!(
        "`{name}` is no name for a {what}\nhelp: use up to 64 letters, digits and `-_.@+`"
    )))
}

fn roles_text(roles: &[(String, u8)]) -> String {
    let tell = |(project, role): &(String, u8)| {
        let role = Role::from_code(*role).map_or("?", Role::name);
        if project.is_empty() { role.to_owned() } else { format!("{project}: {role}") }
    };
    roles.iter().map(tell).collect::<Vec<_>>().join(", ")
}

/// Answers what is asked about people, for somebody who may ask it.
///
/// # Errors
/// It can't be granted; nothing has changed.
pub async fn answer(handle: &Handle, ask: Ask, asker: &Asker) -> Result<Value, Problem> {
    let store = handle.store();
    let change = async |changes: Vec<Change>| {
        store.change_people(changes).await.map(|()| Value::Null).map_err(|error| inner(&error))
    };
    match ask {
        Ask::People => Ok(store.people().await?.iter().map(person_json).collect()),
        Ask::Add { name, password, one_time, role } => {
            check_name("user", &name)?;
            let before = store.person(&name).await?;
            before.as_ref().map_or(Ok(()), keeps_a_password)?;
            let what = if before.is_some() { "person.password" } else { "person.add" };
            let after =
                role.as_ref().map(|(project, role)| roles_text(&[(project.clone(), role.code())]));
            let row = PersonRow {
                name: name.clone(),
                password,
                is_one_time: one_time,
                at: wall_clock(),
                roles: Vec::new(),
                source: String::new(),
                subject: String::new(),
            };
            let mut changes = vec![Change::Person(row), Change::EndSessions(name.clone())];
            if let Some((project, role)) = role {
                let person = name.clone();
                changes.push(Change::Role { person, project, role: Some(role.code()) });
            }
            changes.push(asker.note(what, &name, None, after));
            change(changes).await
        }
        Ask::Remove { name } => {
            let before = known(handle, &name).await?;
            keep_an_admin(handle, &name, "").await?;
            let note = asker.note("person.remove", &name, Some(roles_text(&before.roles)), None);
            change(vec![Change::RemovePerson(name), note]).await
        }
        Ask::Role { name, project, role } => {
            let before = known(handle, &name).await?;
            has_roles_of_ours(&before)?;
            if project.is_empty() && role != Some(Role::Admin) {
                keep_an_admin(handle, &name, &project).await?;
            }
            let mut after = before.roles.clone();
            after.retain(|(of, _)| *of != project);
            after.extend(role.map(|role| (project.clone(), role.code())));
            let (was, is) = (roles_text(&before.roles), roles_text(&after));
            let note = asker.note("person.role", &name, Some(was), Some(is));
            change(vec![Change::Role { person: name, project, role: role.map(Role::code) }, note])
                .await
        }
        Ask::LogOut { name } => {
            known(handle, &name).await?;
            let note = asker.note("person.log-out", &name, None, None);
            change(vec![Change::EndSessions(name), note]).await
        }
        Ask::Tokens => Ok(store.tokens().await?.iter().map(token_json).collect()),
        Ask::AddToken { name, hash, project, role, expires_at } => {
            check_name("token", &name)?;
            if store.tokens().await?.iter().any(|token| token.name == name) {
                return Err(call(format!(
                    "there is a token `{name}` already\nhelp: remove it first, or take another name"
                )));
            }
            let at = wall_clock();
            let after = format!(
                "{}, {}",
                roles_text(&[(project.clone(), role.code())]),
                expires_at.map_or("for good".to_owned(), |at| format!("until {at}"))
            );
            let note = asker.note("token.add", &name, None, Some(after));
            let by = asker.by.clone();
            let row = TokenRow { hash, name, project, role: role.code(), at, expires_at, by };
            change(vec![Change::Token(row), note]).await
        }
        Ask::RemoveToken { name } => {
            if !store.tokens().await?.iter().any(|token| token.name == name) {
                return Err(call(format!("there is no token `{name}`")));
            }
            let note = asker.note("token.remove", &name, None, None);
            change(vec![Change::RemoveToken(name), note]).await
        }
        Ask::Audit { before, limit } => {
            Ok(store.audit(before, limit).await?.iter().map(audit_json).collect())
        }
    }
}

async fn known(handle: &Handle, name: &str) -> Result<PersonRow, Problem> {
    handle.store().person(name).await?.ok_or_else(|| call(format!("there is no user `{name}`")))
}

fn keeps_a_password(person: &PersonRow) -> Result<(), Problem> {
    let (name, source) = (&person.name, Source::of(person));
    if source == Source::Here {
        return Ok(());
    }
    Err(call(format!(
        "`{name}` has no password here: they log in by {0}\nhelp: it is changed where {0} keeps it",
        source.said()
    )))
}

fn has_roles_of_ours(person: &PersonRow) -> Result<(), Problem> {
    let (name, source) = (&person.name, Source::of(person));
    if source == Source::Here {
        return Ok(());
    }
    Err(call(format!(
        "what `{name}` may do follows from their groups: they log in by {0}\nhelp: change `roles` below `{1}` in the file that \
         `weir serve --login` names, or their groups",
        source.said(),
        source.name()
    )))
}

/// Refuses what would leave nobody of our own who may do everything: others may be out of reach when they are needed.
async fn keep_an_admin(handle: &Handle, name: &str, project: &str) -> Result<(), Problem> {
    let is_admin = |person: &PersonRow| {
        Source::of(person) == Source::Here
            && person.roles.iter().any(|(of, role)| of.is_empty() && *role == Role::Admin.code())
    };
    let people = handle.store().people().await?;
    let is_last = people.iter().any(|person| person.name == name && is_admin(person))
        && people.iter().filter(|person| is_admin(person)).count() == 1;
    if project.is_empty() && is_last {
        return Err(call(format!(
            "`{name}` is the last administrator\nhelp: make another one first"
        )));
    }
    Ok(())
}

fn person_json(row: &PersonRow) -> Value {
    let role = |(project, role): &(String, u8)| json!({ "project": project, "role": Role::from_code(*role).map(Role::name) });
    json!({
        "name": row.name, "roles": row.roles.iter().map(role).collect::<Value>(), "one_time": row.is_one_time, "at": row.at,
        "source": Source::of(row).name(),
    })
}

fn token_json(row: &TokenRow) -> Value {
    json!({
        "name": row.name, "project": row.project, "role": Role::from_code(row.role).map(Role::name), "at": row.at,
        "expires_at": row.expires_at, "by": row.by,
    })
}

fn audit_json(row: &AuditRow) -> Value {
    json!({
        "id": row.id, "at": row.at, "by": row.by, "origin": row.origin, "what": row.what, "target": row.target,
        "before": row.before, "after": row.after,
    })
}
