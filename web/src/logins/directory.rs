//! A directory that is asked over LDAP: is the password right, who is it, in which groups are they.
//!
//! What people type never becomes a part of a filter or a DN as it is, and no password is empty: to a directory that would
//! be a login as nobody in particular, which it grants.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, SearchResult,
    dn_escape, ldap_escape, parse_filter,
};
use rustls::ClientConfig;
use weir_engine::engine::Handle;

use super::settings::{self, Search};
use super::{Answer, Found, Trouble, authority, grants};
use crate::trust;

/// Answers to a login that mean: not so (RFC 4511, appendix A). No such object, no DN, no such way, not these, not now.
const REFUSALS: [u32; 7] = [19, 32, 34, 48, 49, 50, 53];
/// Busy, unavailable, time is up.
const LATER: [u32; 3] = [3, 51, 52];
const NO_SUCH_OBJECT: u32 = 32;
const MORE_THAN_ASKED: u32 = 4;

/// A directory.
pub(crate) struct Directory {
    settings: settings::Ldap,
    tls: Option<Arc<ClientConfig>>,
}

/// An entry of somebody.
struct Somebody {
    dn: String,
    name: String,
}

impl Directory {
    /// One with these settings. It need not be reached yet.
    ///
    /// # Errors
    /// What is wrong with them, as people read it.
    pub(crate) async fn new(
        settings: settings::Ldap,
        folder: &Path,
        handle: &Handle,
    ) -> Result<Self, String> {
        let filters = settings.search.iter().map(|search| &search.filter);
        for filter in filters.chain(settings.groups.iter().map(|groups| &groups.filter)) {
            let tried = fill(filter, &[("{name}", "a"), ("{dn}", "b=c")]);
            if parse_filter(tried).is_err() {
                return Err(format!(
                    "`{filter}` is no filter\nhelp: write it in round brackets, like (uid={{name}})"
                ));
            }
        }
        if let Some(password) = settings.search.as_ref().and_then(|search| search.password.as_ref())
        {
            password.read(handle).await?;
        }
        let tls = if settings.tls {
            let roots = authority(settings.authority.as_deref(), folder, "the directory's")?;
            Some(trust::config(roots).map_err(|error| error.to_string())?)
        } else {
            None
        };
        Ok(Self { settings, tls })
    }

    pub(crate) fn title(&self) -> &str {
        &self.settings.title
    }

    pub(crate) fn check_every(&self) -> Duration {
        self.settings.check_every
    }

    /// Whether it can be asked about people without their passwords.
    pub(crate) fn can_look(&self) -> bool {
        self.settings.search.is_some()
    }

    /// Whether a password is right, and whose it is.
    ///
    /// # Errors
    /// It could not be asked.
    pub(crate) async fn check(
        &self,
        handle: &Handle,
        name: &str,
        password: &str,
    ) -> Result<Answer, Trouble> {
        let is_name =
            !name.is_empty() && !name.chars().any(|c| c.is_control() || c.is_whitespace());
        if password.is_empty() || !is_name {
            return Ok(Answer::Wrong);
        }
        self.in_time(async {
            let mut ldap = self.connect().await?;
            let answer = match (&self.settings.search, &self.settings.person) {
                (Some(search), _) => self.look_for(&mut ldap, search, handle, name, password).await,
                (None, Some(person)) => self.log_in(&mut ldap, person, name, password).await,
                (None, None) => Err(Trouble::Unfit("nothing says how people are found".to_owned())),
            };
            // What it was asked is answered: whether it hears the farewell is of no interest.
            let _farewell = ldap.unbind().await;
            answer
        })
        .await
    }

    /// Somebody who was met before, as the directory knows them now. Only if [`Self::can_look`].
    ///
    /// # Errors
    /// It could not be asked.
    pub(crate) async fn look(
        &self,
        handle: &Handle,
        dn: &str,
        name: &str,
    ) -> Result<Option<Found>, Trouble> {
        let Some(search) = &self.settings.search else { return Ok(None) };
        self.in_time(async {
            let mut ldap = self.connect().await?;
            self.look_as_service(&mut ldap, search, handle).await?;
            // They may be called otherwise by now.
            let now = self.read(&mut ldap, dn).await?;
            let name = now.map_or_else(|| name.to_owned(), |now| now.name);
            let found = match self.find(&mut ldap, search, &name).await? {
                Some(somebody) => Some(self.found(&mut ldap, somebody).await?),
                None => None,
            };
            let _farewell = ldap.unbind().await;
            Ok(found)
        })
        .await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let late = || Trouble::Away(format!("no answer within {:?}", self.settings.timeout));
        tokio::time::timeout(self.settings.timeout, asked).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self) -> Result<Ldap, Trouble> {
        let mut how = LdapConnSettings::new();
        if let Some(tls) = &self.tls {
            how = how.set_config(Arc::clone(tls)).set_starttls(true);
        }
        let (line, ldap) = LdapConnAsync::with_settings(how, &self.settings.url)
            .await
            .map_err(|error| away(&error))?;
        tokio::spawn(async move {
            if let Err(error) = line.drive().await {
                tracing::debug!("the line to the directory is gone: {error}");
            }
        });
        Ok(ldap)
    }

    /// Finds somebody, then tries the password as them.
    async fn look_for(
        &self,
        ldap: &mut Ldap,
        search: &Search,
        handle: &Handle,
        name: &str,
        password: &str,
    ) -> Result<Answer, Trouble> {
        self.look_as_service(ldap, search, handle).await?;
        let Some(somebody) = self.find(ldap, search, name).await? else {
            return Ok(Answer::Nobody);
        };
        // While we are those who may look.
        let dn = somebody.dn.clone();
        let found = self.found(ldap, somebody).await?;
        Ok(if bind(ldap, &dn, password).await? { Answer::Right(found) } else { Answer::Wrong })
    }

    /// Logs in as somebody whose place is known, and looks at their own entry.
    async fn log_in(
        &self,
        ldap: &mut Ldap,
        person: &str,
        name: &str,
        password: &str,
    ) -> Result<Answer, Trouble> {
        let dn = fill(person, &[("{name}", &dn_escape(name))]);
        if !bind(ldap, &dn, password).await? {
            return Ok(Answer::Wrong);
        }
        let Some(somebody) = self.read(ldap, &dn).await? else {
            return Err(Trouble::Unfit(format!(
                "people may not read their own entry, or it has no `{}`",
                self.settings.name
            )));
        };
        Ok(Answer::Right(self.found(ldap, somebody).await?))
    }

    async fn look_as_service(
        &self,
        ldap: &mut Ldap,
        search: &Search,
        handle: &Handle,
    ) -> Result<(), Trouble> {
        let (Some(dn), Some(password)) = (&search.bind, &search.password) else { return Ok(()) };
        let password = password.read(handle).await.map_err(Trouble::Unfit)?;
        if bind(ldap, dn, password.expose()).await? {
            return Ok(());
        }
        Err(Trouble::Unfit(format!("it does not let {dn} in, or not with this password")))
    }

    /// The one whom a name finds.
    async fn find(
        &self,
        ldap: &mut Ldap,
        search: &Search,
        name: &str,
    ) -> Result<Option<Somebody>, Trouble> {
        let filter = fill(&search.filter, &[("{name}", &ldap_escape(name))]);
        let attributes = [self.settings.name.as_str()];
        ldap.with_search_options(SearchOptions::new().sizelimit(2));
        let found = entries(ldap, &search.base, Scope::Subtree, &filter, &attributes).await?;
        let Some(mut found) = found else {
            return Err(Trouble::Unfit(format!("there is no {}, where people are", search.base)));
        };
        if found.len() > 1 {
            return Err(Trouble::Unfit(format!("{filter} finds several people, not one")));
        }
        Ok(found.pop().and_then(|entry| self.somebody(entry, name)))
    }

    /// The entry at a DN.
    async fn read(&self, ldap: &mut Ldap, dn: &str) -> Result<Option<Somebody>, Trouble> {
        let attributes = [self.settings.name.as_str()];
        let found = entries(ldap, dn, Scope::Base, "(objectClass=*)", &attributes).await?;
        let entry = found.and_then(|mut found| found.pop());
        Ok(entry.and_then(|entry| self.somebody(entry, "")))
    }

    /// Whose entry it is. Of several names the one that was asked for.
    fn somebody(&self, entry: SearchEntry, asked: &str) -> Option<Somebody> {
        let names = values(&entry, &self.settings.name);
        let same = names.iter().find(|name| name.to_lowercase() == asked.to_lowercase());
        let name = same.or(names.first())?.clone();
        Some(Somebody { dn: entry.dn, name })
    }

    async fn found(&self, ldap: &mut Ldap, somebody: Somebody) -> Result<Found, Trouble> {
        let Somebody { dn, name } = somebody;
        let mut theirs = Vec::new();
        if let Some(groups) = &self.settings.groups {
            let parts =
                [("{dn}", ldap_escape(dn.as_str())), ("{name}", ldap_escape(name.as_str()))];
            let parts = parts.each_ref().map(|(mark, text)| (*mark, text.as_ref()));
            let filter = fill(&groups.filter, &parts);
            let attributes = [groups.name.as_str()];
            let found = entries(ldap, &groups.base, Scope::Subtree, &filter, &attributes).await?;
            let Some(found) = found else {
                return Err(Trouble::Unfit(format!(
                    "there is no {}, where groups are",
                    groups.base
                )));
            };
            theirs.extend(found.iter().flat_map(|entry| values(entry, &groups.name).to_vec()));
        }
        let roles = grants::roles(&self.settings.roles, &theirs);
        Ok(Found { subject: dn, name, roles })
    }
}

/// Logs in. `false` if that is refused.
async fn bind(ldap: &mut Ldap, dn: &str, password: &str) -> Result<bool, Trouble> {
    let result = ldap.simple_bind(dn, password).await.map_err(|error| away(&error))?;
    match result.rc {
        0 => Ok(true),
        rc if REFUSALS.contains(&rc) => Ok(false),
        rc => Err(said(rc, &result.text)),
    }
}

/// The entries that a filter finds; `None` if there is no such base.
async fn entries(
    ldap: &mut Ldap,
    base: &str,
    scope: Scope,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Vec<SearchEntry>>, Trouble> {
    let searched = ldap.search(base, scope, filter, attributes).await;
    let SearchResult(found, result) = searched.map_err(|error| away(&error))?;
    match result.rc {
        0 | MORE_THAN_ASKED => {}
        NO_SUCH_OBJECT => return Ok(None),
        rc => return Err(said(rc, &result.text)),
    }
    // Some are only hints that another directory may know more.
    let own = found.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
    Ok(Some(own.map(SearchEntry::construct).collect()))
}

/// An attribute's values. Directories do not care how its name is written.
fn values<'a>(entry: &'a SearchEntry, attribute: &str) -> &'a [String] {
    let mut all = entry.attrs.iter();
    let found = all.find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    found.map(|(_, values)| values.as_slice()).unwrap_or_default()
}

fn said(rc: u32, text: &str) -> Trouble {
    let what = format!("it answers with {rc} {text}").trim_end().to_owned();
    if LATER.contains(&rc) { Trouble::Away(what) } else { Trouble::Unfit(what) }
}

fn away(error: &ldap3::LdapError) -> Trouble {
    Trouble::Away(error.to_string())
}

/// Fills values in for their marks, in one pass: a value that looks like a mark stays as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let known = values.iter().find_map(|(mark, value)| Some((from.strip_prefix(mark)?, value)));
        if let Some((after, value)) = known {
            out.push_str(value);
            rest = after;
        } else {
            out.push('{');
            rest = &from[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once() {
        let values = [("{dn}", "cn={name}"), ("{name}", "anna")];
        assert_eq!(fill("(&(m={dn})(u={name}){x}{)", &values), "(&(m=cn={name})(u=anna){x}{)");
        assert_eq!(fill("", &values), "");
    }

    #[test]
    fn what_people_type_stays_a_value() {
        let typed = "*)(uid=admin))(|(uid=*";
        let filter = fill("(uid={name})", &[("{name}", &ldap_escape(typed))]);
        assert_eq!(filter, r"(uid=\2a\29\28uid=admin\29\29\28|\28uid=\2a)");
        assert!(parse_filter(&filter).is_ok());
        let dn = fill("uid={name},ou=people", &[("{name}", &dn_escape("a,ou=admins"))]);
        assert_eq!(dn, r"uid=a\2cou\3dadmins,ou=people");
    }
}
