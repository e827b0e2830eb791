//! People whom another place vouches for: where they come from, and what becomes of them here when they log in.

use crate::engine::Handle;
use crate::store;
use crate::store::people::{Change, PersonRow};

use super::{Asker, Role, check_name, roles_text};

/// Who vouches for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Their password is kept here.
    Here,
    /// A directory.
    Ldap,
    /// A provider of OIDC.
    Oidc,
}

impl Source {
    /// Who vouches for a person.
    pub fn of(person: &PersonRow) -> Self {
        match person.source.as_str() {
            "ldap" => Self::Ldap,
            "oidc" => Self::Oidc,
            _ => Self::Here,
        }
    }

    /// Its name in the store and in settings; empty for [`Self::Here`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Here => "",
            Self::Ldap => "ldap",
            Self::Oidc => "oidc",
        }
    }

    /// What people call it.
    pub fn said(self) -> &'static str {
        match self {
            Self::Here => "this server",
            Self::Ldap => "LDAP",
            Self::Oidc => "OIDC",
        }
    }
}

/// Somebody whom another place vouches for, as it speaks of them now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who vouches for them.
    pub source: Source,
    /// What they are called there, for good.
    pub subject: String,
    /// What they would be called here.
    pub name: String,
    /// What they may do: a project (empty for all) and the role, each project once.
    pub roles: Vec<(String, Role)>,
}

/// What becomes of somebody who arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// What they are called here.
    pub name: String,
    /// What is to be committed before they may do anything; nothing if all is as it was.
    pub changes: Vec<Change>,
}

/// Why somebody who is vouched for may not come in.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// They have no role.
    #[error("`{name}` belongs to no group that has a role here")]
    NoRole {
        /// What they would be called.
        name: String,
    },
    /// Somebody else is called so.
    #[error("there is a user `{name}` already, who logs in by {by}", by = .has.said())]
    Taken {
        /// The name.
        name: String,
        /// Who vouches for the one who has it.
        has: Source,
    },
    /// The name can't be one.
    #[error("{0}")]
    Name(String),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Makes a person of somebody who arrives, or takes over what is new of somebody who is known. Their roles are those that
/// come with them, no others. Nothing is written: what is to be committed is handed back.
///
/// # Errors
/// They may not come in; [`gone`] then says what becomes of sessions that they have.
pub async fn welcome(
    handle: &Handle,
    arrival: &Arrival,
    asker: &Asker,
) -> Result<Welcome, Unwelcome> {
    let store = handle.store();
    let (source, subject) = (arrival.source, &arrival.subject);
    let known = store.name_of_subject(source.name(), subject).await?;
    let name = known.unwrap_or_else(|| arrival.name.clone());
    check_name("user", &name).map_err(|problem| Unwelcome::Name(problem.message))?;
    let before = store.person(&name).await?;
    if let Some(person) = &before {
        let has = Source::of(person);
        // A directory has a name once: who has it now has moved within it. A provider gives a name to others.
        let is_other = person.subject != *subject && source != Source::Ldap;
        if has != source || is_other {
            return Err(Unwelcome::Taken { name, has });
        }
    }
    if arrival.roles.is_empty() {
        return Err(Unwelcome::NoRole { name });
    }
    let roles: Vec<(String, u8)> =
        arrival.roles.iter().map(|(project, role)| (project.clone(), role.code())).collect();
    let mut changes = Vec::new();
    let had = before.as_ref().map(|person| person.roles.clone()).unwrap_or_default();
    if before.as_ref().is_none_or(|person| person.subject != *subject) {
        changes.push(Change::Person(PersonRow {
            name: name.clone(),
            password: String::new(),
            is_one_time: false,
            at: crate::engine::wall_clock(),
            roles: Vec::new(),
            source: source.name().to_owned(),
            subject: subject.clone(),
        }));
        let (what, was) = match &before {
            None => ("person.add", None),
            Some(person) => ("person.move", Some(person.subject.clone())),
        };
        let after = format!("{}: {subject}", source.name());
        changes.push(asker.note(what, &name, was, Some(after)));
    }
    changes.extend(new_roles(&name, &had, &roles));
    if sorted(&had) != sorted(&roles) {
        let (was, is) = (roles_text(&had), roles_text(&roles));
        changes.push(asker.note("person.role", &name, Some(was), Some(is)));
    }
    Ok(Welcome { name, changes })
}

/// What is to be committed when nobody vouches any more for somebody who is known: no session, no role. The name stays, for
/// those who read the audit.
pub fn gone(person: &PersonRow, why: &str, asker: &Asker) -> Vec<Change> {
    let mut changes = vec![Change::EndSessions(person.name.clone())];
    changes.extend(new_roles(&person.name, &person.roles, &[]));
    let was = roles_text(&person.roles);
    changes.push(asker.note("person.gone", &person.name, Some(was), Some(why.to_owned())));
    changes
}

fn new_roles(name: &str, had: &[(String, u8)], has: &[(String, u8)]) -> Vec<Change> {
    let change = |project: &String, role| Change::Role {
        person: name.to_owned(),
        project: project.clone(),
        role,
    };
    let taken = had.iter().filter(|(of, _)| has.iter().all(|(other, _)| other != of));
    let given = has.iter().filter(|role| !had.contains(role));
    taken
        .map(|(project, _)| change(project, None))
        .chain(given.map(|(project, role)| change(project, Some(*role))))
        .collect()
}

fn sorted(roles: &[(String, u8)]) -> Vec<&(String, u8)> {
    let mut sorted: Vec<_> = roles.iter().collect();
    sorted.sort();
    sorted
}
