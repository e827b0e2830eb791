//! What goes wrong with a request: a status, words that help, and for the log the cause.
//!
//! The words travel with the response; `guard` makes a page or problem+json of them, in the reader's language.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weir_engine::api::Problem;
use weir_engine::begin::BeginError;
use weir_engine::people::Role;
use weir_engine::store::{Advice, CommitError};
use weir_engine::{Refusal, view};

/// Why a request is not granted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind:?} {detail}")]
pub(crate) struct PageError {
    pub(crate) kind: Kind,
    /// What exactly, where there is more to say than the kind says. Has no secret and no path of this machine.
    pub(crate) detail: String,
}

/// Kinds of errors; each has its words in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody has logged in.
    NoLogin,
    /// The role does not allow it.
    Forbidden(Role),
    /// The request comes from another site.
    Foreign,
    /// There is no such page, or it may not be seen.
    NoPage,
    /// The address is right, the method is not.
    NoMethod,
    /// What was sent can't be used.
    Bad,
    /// It does not fit how things stand.
    Conflict,
    /// Too many wrong logins.
    Slow(u64),
    /// Nothing can be written just now.
    Unwritten,
    /// It is ours.
    Broken,
}

impl PageError {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn no_login() -> Self {
        Self::new(Kind::NoLogin, "")
    }

    pub(crate) fn forbidden(role: Role) -> Self {
        Self::new(Kind::Forbidden(role), "")
    }

    pub(crate) fn foreign() -> Self {
        Self::new(Kind::Foreign, "")
    }

    pub(crate) fn no_page() -> Self {
        Self::new(Kind::NoPage, "")
    }

    /// Something that is asked for by its name is not there, or may not be seen.
    pub(crate) fn no_such(detail: impl Into<String>) -> Self {
        Self::new(Kind::NoPage, detail)
    }

    /// What was given to log in with is not valid any more.
    pub(crate) fn no_longer(detail: impl Into<String>) -> Self {
        Self::new(Kind::NoLogin, detail)
    }

    pub(crate) fn no_method() -> Self {
        Self::new(Kind::NoMethod, "")
    }

    pub(crate) fn slow(secs: u64) -> Self {
        Self::new(Kind::Slow(secs), "")
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(Kind::Bad, detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// Something of ours failed: the cause goes to the log only.
    pub(crate) fn broken(cause: impl std::fmt::Display) -> Self {
        tracing::error!("a request failed: {cause}");
        Self::new(Kind::Broken, "")
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.kind {
            Kind::NoLogin => StatusCode::UNAUTHORIZED,
            Kind::Forbidden(_) | Kind::Foreign => StatusCode::FORBIDDEN,
            Kind::NoPage => StatusCode::NOT_FOUND,
            Kind::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Bad => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Slow(_) => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unwritten => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<weir_engine::store::Error> for PageError {
    fn from(error: weir_engine::store::Error) -> Self {
        Self::broken(error)
    }
}

impl From<CommitError> for PageError {
    fn from(error: CommitError) -> Self {
        match error.trouble.advice() {
            Advice::Retry => Self::new(Kind::Unwritten, error.to_string()),
            Advice::Stop => Self::broken(error),
        }
    }
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        if problem.exit == 2 { Self::bad(problem.message) } else { Self::broken(problem) }
    }
}

impl From<view::Error> for PageError {
    fn from(error: view::Error) -> Self {
        match error {
            view::Error::NoRun(_) => Self::no_page(),
            view::Error::Store(_) | view::Error::Version(_) | view::Error::Rows(..) => {
                Self::broken(error)
            }
        }
    }
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            Refusal::NoTask { .. } => Self::new(Kind::NoPage, refusal.to_string()),
            Refusal::NoRun(_) | Refusal::Ignored(_) => Self::conflict(refusal.to_string()),
            Refusal::Bad(_) => Self::bad(refusal.to_string()),
            Refusal::Stopped(_) => Self::broken(refusal),
        }
    }
}

impl From<BeginError> for PageError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Refused(refusal) => refusal.into(),
            BeginError::Version(_) | BeginError::Store(_) => Self::broken(error),
            other => Self::bad(Problem::from(other).message),
        }
    }
}

impl From<std::io::Error> for PageError {
    fn from(error: std::io::Error) -> Self {
        Self::broken(error)
    }
}
