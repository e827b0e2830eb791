//! Who makes a request: somebody who has logged in, or a program with a token; and what they may do where.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use weir_engine::engine::wall_clock;
use weir_engine::people::{Asker, Role, Source};

use crate::error::PageError;
use crate::jar::Jar;
use crate::password;
use crate::site::Site;

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// What they are called; tokens as `token NAME`.
    pub(crate) name: String,
    pub(crate) is_token: bool,
    /// They must choose a password before anything else.
    pub(crate) is_one_time: bool,
    /// Who vouches for them.
    pub(crate) source: Source,
    /// Roles by project; empty for everywhere.
    roles: Vec<(String, Role)>,
}

/// Where a request comes from: the address of the other side, or what a proxy that is believed says.
#[derive(Clone, Debug)]
pub(crate) struct Origin(pub(crate) String);

impl Who {
    /// What they may do in a project.
    pub(crate) fn role_in(&self, project: &str) -> Option<Role> {
        let own = self.roles.iter().filter(|(of, _)| of.is_empty() || of == project);
        own.map(|(_, role)| *role).max()
    }

    /// What they may do where they may do most.
    pub(crate) fn highest(&self) -> Option<Role> {
        self.roles.iter().map(|(_, role)| *role).max()
    }

    pub(crate) fn may(&self, role: Role, project: &str) -> bool {
        self.role_in(project).is_some_and(|own| own >= role)
    }

    /// Refuses if they may not do so much in a project. What they may not even see is not there.
    pub(crate) fn must(&self, role: Role, project: &str) -> Result<(), PageError> {
        if self.may(role, project) {
            return Ok(());
        }
        if self.role_in(project).is_none() {
            return Err(PageError::no_page());
        }
        Err(PageError::forbidden(role))
    }

    /// Whether they are administrators of all projects.
    pub(crate) fn is_admin(&self) -> bool {
        self.roles.iter().any(|(of, role)| of.is_empty() && *role == Role::Admin)
    }

    /// Whether they see all projects.
    pub(crate) fn sees_all(&self) -> bool {
        self.roles.iter().any(|(of, _)| of.is_empty())
    }
}

/// Finds out who makes a request. `None` if it does not say, or what it says is not valid (any more).
pub(crate) async fn find(
    site: &Site,
    headers: &HeaderMap,
    jar: Jar,
) -> Result<Option<Who>, PageError> {
    let store = site.handle.store();
    let now = wall_clock();
    if headers.contains_key(header::AUTHORIZATION) {
        let Some(token) = bearer(headers) else { return Ok(None) };
        let Some(row) = store.token(&password::digest(token)).await? else { return Ok(None) };
        if row.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let roles = Role::from_code(row.role).map(|role| (row.project, role));
        let name = format!("token {}", row.name);
        return Ok(Some(Who {
            name,
            is_token: true,
            is_one_time: false,
            source: Source::Here,
            roles: roles.into_iter().collect(),
        }));
    }
    let Some(cookie) = jar.session(headers) else { return Ok(None) };
    let Some(session) = store.session(&password::digest(&cookie)).await? else { return Ok(None) };
    if session.expires_at <= now {
        return Ok(None);
    }
    let Some(person) = store.person(&session.person).await? else { return Ok(None) };
    let Some(person) = site.logins.still(&site.handle, person).await? else { return Ok(None) };
    let source = Source::of(&person);
    let role = |(project, code): (String, u8)| Some((project, Role::from_code(code)?));
    Ok(Some(Who {
        name: person.name,
        is_token: false,
        is_one_time: person.is_one_time,
        source,
        roles: person.roles.into_iter().filter_map(role).collect(),
    }))
}

/// Why a token is not taken, where that helps its owner: it was right, and has expired.
pub(crate) async fn why_not(
    site: &Site,
    headers: &HeaderMap,
) -> Result<Option<PageError>, PageError> {
    let Some(token) = bearer(headers) else { return Ok(None) };
    let Some(row) = site.handle.store().token(&password::digest(token)).await? else {
        return Ok(None);
    };
    let gone = row.expires_at.filter(|at| *at <= wall_clock());
    Ok(gone.map(|at| PageError::no_longer(format!("the token `{}` expired at {at}", row.name))))
}

/// The token that a request comes with.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(PageError::no_login)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(String::new())))
    }
}

/// Who asks, for the audit.
pub(crate) fn asker(who: &Who, origin: &Origin) -> Asker {
    Asker { by: who.name.clone(), origin: origin.0.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_where_they_were_given() {
        let roles = vec![("tap".to_owned(), Role::Operator), ("lab".to_owned(), Role::Viewer)];
        let (name, source) = ("anna".to_owned(), Source::Here);
        let who = Who { name, is_token: false, is_one_time: false, source, roles };
        assert!(who.may(Role::Operator, "tap") && !who.may(Role::Author, "tap"));
        assert!(who.may(Role::Viewer, "lab") && !who.may(Role::Operator, "lab"));
        assert_eq!(who.role_in("other"), None);
        assert_eq!(who.highest(), Some(Role::Operator));
        assert!(!who.is_admin() && !who.sees_all());
    }
}
