//! From where people may log in, besides from here; and whether those who vouched for them still do.

#![cfg_attr(
    not(all(feature = "ldap", feature = "oidc")),
    allow(dead_code, reason = "what is left out is used by nobody")
)]

mod grants;
#[cfg(feature = "oidc")]
mod http;
pub(crate) mod settings;
pub(crate) mod steps;

#[cfg(feature = "ldap")]
mod directory;
#[cfg(not(feature = "ldap"))]
#[path = "logins/no_directory.rs"]
mod directory;

#[cfg(not(feature = "oidc"))]
#[path = "logins/no_provider.rs"]
mod provider;
#[cfg(feature = "oidc")]
mod provider;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::RootCertStore;
use weir_core::time::Timestamp;
use weir_engine::engine::{Handle, wall_clock};
use weir_engine::people::{self, Arrival, Asker, Source, Unwelcome};
use weir_engine::store::people::{Change, PersonRow};

use crate::error::PageError;
use crate::trust;
use directory::Directory;
use provider::Provider;

/// Those who vouch for people.
#[derive(Default)]
pub(crate) struct Logins {
    directory: Option<Directory>,
    provider: Option<Provider>,
    /// When the directory was asked last about somebody.
    asked: Mutex<BTreeMap<String, Timestamp>>,
}

/// Somebody as another place knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<(String, people::Role)>,
}

/// What a directory says to a name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Right(Found),
    Wrong,
    /// It knows nobody of that name.
    Nobody,
}

/// Why somebody else could not be asked. For the log; readers are told to try again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It may go better later.
    #[error("it can't be reached: {0}")]
    Away(String),
    /// It will not go better until somebody changes something.
    #[error("its settings do not fit: {0}")]
    Unfit(String),
}

/// Why a login by a provider does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It may go better later.
    #[error("it can't be reached: {0}")]
    Away(String),
    /// It will not go better until somebody changes something.
    #[error("its settings do not fit: {0}")]
    Unfit(String),
    /// The provider says no.
    #[error("it refuses: {0}")]
    Refused(String),
    /// What it says is not from it, not for us, not for this login or not in force.
    #[error("it can't be believed: {0}")]
    Doubtful(String),
    /// It does not say in this claim what somebody is called.
    #[error("there is no name in the claim `{0}`")]
    Nameless(String),
    /// The browser that comes back is not the one that left, or comes too late.
    #[error("nobody here has begun it")]
    Lost,
}

/// What becomes of a name and a password that are not kept here.
pub(crate) enum Entry {
    /// They may come in under this name once these changes are committed.
    Open(String, Vec<Change>),
    Wrong,
    /// Nobody could be asked.
    Trouble,
    /// They are known, and may not come in.
    Unwelcome(Unwelcome),
}

impl Logins {
    /// Reads what a file says, and looks whether it could be done. `pages` is where people find us.
    ///
    /// # Errors
    /// What is wrong, as people read it.
    pub(crate) async fn read(
        file: Option<&Path>,
        handle: &Handle,
        pages: &str,
    ) -> Result<Self, String> {
        let Some(file) = file else { return Ok(Self::default()) };
        let settings = settings::read(file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let directory = match settings.ldap {
            Some(ldap) => Some(Directory::new(ldap, folder, handle).await?),
            None => None,
        };
        let back = format!("{}/login/oidc/callback", pages.trim_end_matches('/'));
        let provider = match settings.oidc {
            Some(oidc) => Some(Provider::new(oidc, folder, handle, &back).await?),
            None => None,
        };
        Ok(Self { directory, provider, asked: Mutex::default() })
    }

    /// What people call the directory, if there is one.
    pub(crate) fn directory_title(&self) -> Option<&str> {
        self.directory.as_ref().map(Directory::title)
    }

    /// The provider, if there is one.
    pub(crate) fn provider(&self) -> Option<&Provider> {
        self.provider.as_ref()
    }

    /// What people call the provider, if there is one.
    pub(crate) fn provider_title(&self) -> Option<&str> {
        self.provider.as_ref().map(Provider::title)
    }

    /// What becomes of somebody whom the provider vouches for.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub(crate) async fn arrive(
        &self,
        handle: &Handle,
        found: Found,
        origin: &str,
    ) -> Result<Entry, PageError> {
        let asker = Asker { by: found.name.clone(), origin: origin.to_owned() };
        Ok(match welcome(handle, Source::Oidc, found, &asker).await? {
            Ok((name, changes)) => Entry::Open(name, changes),
            Err(unwelcome) => Entry::Unwelcome(unwelcome),
        })
    }

    /// Whether the directory is to be asked about a name: not about those whose password is kept here.
    pub(crate) fn is_asked(&self, person: Option<&PersonRow>) -> bool {
        self.directory.is_some() && person.is_none_or(|person| Source::of(person) == Source::Ldap)
    }

    /// Asks the directory for somebody whose name is `given` and who is perhaps known as `person`.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub(crate) async fn enter(
        &self,
        handle: &Handle,
        (given, password): (&str, &str),
        person: Option<&PersonRow>,
        origin: &str,
    ) -> Result<Entry, PageError> {
        let Some(directory) = &self.directory else { return Ok(Entry::Wrong) };
        let found = match directory.check(handle, given, password).await {
            Ok(Answer::Right(found)) => found,
            Ok(Answer::Wrong) => return Ok(Entry::Wrong),
            Ok(Answer::Nobody) => {
                if let Some(person) = person {
                    let asker = Asker { by: "ldap".to_owned(), origin: origin.to_owned() };
                    leave(handle, person, &asker, NOBODY).await?;
                }
                return Ok(Entry::Wrong);
            }
            Err(trouble) => {
                tracing::warn!("the directory {} could not be asked: {trouble}", directory.title());
                return Ok(Entry::Trouble);
            }
        };
        let name = found.name.clone();
        let asker = Asker { by: name, origin: origin.to_owned() };
        match welcome(handle, Source::Ldap, found, &asker).await? {
            Ok((name, changes)) => {
                self.note(&name);
                Ok(Entry::Open(name, changes))
            }
            Err(unwelcome) => Ok(Entry::Unwelcome(unwelcome)),
        }
    }

    /// Somebody who has a session, as they are now; `None` if nobody vouches for them any more.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub(crate) async fn still(
        &self,
        handle: &Handle,
        person: PersonRow,
    ) -> Result<Option<PersonRow>, PageError> {
        let directory = match (Source::of(&person), &self.directory) {
            (Source::Here, _) => return Ok(Some(person)),
            (Source::Ldap, Some(directory)) => directory,
            (Source::Oidc, _) => return Ok(self.provider.is_some().then_some(person)),
            (Source::Ldap, None) => return Ok(None),
        };
        if !directory.can_look() || !self.is_due(&person.name, directory.check_every()) {
            return Ok(Some(person));
        }
        let asker = Asker { by: "ldap".to_owned(), origin: "check".to_owned() };
        let found = match directory.look(handle, &person.subject, &person.name).await {
            Ok(found) => found,
            Err(trouble) => {
                // Who is in stays in until it can be asked again, or the session ends.
                tracing::warn!(
                    "whether the directory knows people still can't be asked: {trouble}"
                );
                return Ok(Some(person));
            }
        };
        let Some(found) = found else {
            leave(handle, &person, &asker, NOBODY).await?;
            return Ok(None);
        };
        match welcome(handle, Source::Ldap, found, &asker).await? {
            Ok((name, _)) if name != person.name => {
                leave(handle, &person, &asker, NOBODY).await?;
                Ok(None)
            }
            Ok((_, changes)) if changes.is_empty() => Ok(Some(person)),
            Ok((name, changes)) => {
                handle.store().change_people(changes).await?;
                Ok(handle.store().person(&name).await?)
            }
            Err(_) => Ok(None),
        }
    }

    /// Whether somebody was not asked about for so long. Then this counts as asking.
    fn is_due(&self, name: &str, every: Duration) -> bool {
        let now = wall_clock();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked.get(name).is_none_or(|last| now.since(*last) >= every);
        if is_due {
            asked.insert(name.to_owned(), now);
        }
        is_due
    }

    fn note(&self, name: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(name.to_owned(), wall_clock());
    }
}

/// Whom a file beside the settings believes; those whom this machine believes if none is named.
///
/// # Errors
/// There is nobody in it, as people read it.
fn authority(file: Option<&Path>, folder: &Path, whose: &str) -> Result<RootCertStore, String> {
    let Some(file) = file else { return Ok(trust::of_this_machine()) };
    trust::of_file(&folder.join(file)).map_err(|error| {
        format!(
            "{} can't be read as the authority of {whose} certificate: {error}\nhelp: it is PEM and begins with \
             -----BEGIN CERTIFICATE-----",
            file.display()
        )
    })
}

const NOBODY: &str = "the directory knows nobody of that name";

/// What is to be committed for somebody who is vouched for. Who has lost their last role loses their sessions, too.
async fn welcome(
    handle: &Handle,
    source: Source,
    found: Found,
    asker: &Asker,
) -> Result<Result<(String, Vec<Change>), Unwelcome>, PageError> {
    let Found { subject, name, roles } = found;
    let arrival = Arrival { source, subject, name, roles };
    match people::welcome(handle, &arrival, asker).await {
        Ok(welcome) => Ok(Ok((welcome.name, welcome.changes))),
        Err(Unwelcome::Store(error)) => Err(error.into()),
        Err(unwelcome) => {
            if let Unwelcome::NoRole { name } = &unwelcome
                && let Some(person) = handle.store().person(name).await?
            {
                leave(handle, &person, asker, "no group of theirs has a role here").await?;
            }
            Ok(Err(unwelcome))
        }
    }
}

/// Nobody vouches for somebody any more. Told once.
async fn leave(
    handle: &Handle,
    person: &PersonRow,
    asker: &Asker,
    why: &str,
) -> Result<(), PageError> {
    if person.roles.is_empty() {
        return Ok(());
    }
    Ok(handle.store().change_people(people::gone(person, why, asker)).await?)
}
