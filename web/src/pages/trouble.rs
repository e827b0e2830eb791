//! Errors as pages that help.

use askama::Template;
use axum::response::{IntoResponse as _, Response};

use crate::error::{Kind, PageError};
use crate::shell::{Page, Shell};
use crate::words::Words;

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble {
    s: Shell,
    title: &'static str,
    help: String,
    detail: String,
    back: String,
}

/// What is said of an error: in short, and what to do.
pub(crate) fn words(kind: Kind, words: &Words) -> (&'static str, String) {
    let (title, help) = match kind {
        Kind::NoLogin => (words.err_no_login, words.err_no_login_help),
        Kind::Forbidden(role) => {
            let help = format!("{} {}.", words.err_forbidden_help, words.state(role.name()));
            return (words.err_forbidden, help);
        }
        Kind::Foreign => (words.err_foreign, words.err_foreign_help),
        Kind::NoPage => (words.err_no_page, words.err_no_page_help),
        Kind::NoMethod => (words.err_no_method, words.err_no_method_help),
        Kind::Bad => (words.err_bad, words.err_bad_help),
        Kind::Conflict => (words.err_conflict, words.err_conflict_help),
        Kind::Slow(secs) => {
            return (words.err_slow, format!("{} {secs}", words.err_slow_help));
        }
        Kind::Unwritten => (words.err_unwritten, words.err_unwritten_help),
        Kind::Broken => (words.err_broken, words.err_broken_help),
    };
    (title, help.to_owned())
}

pub(crate) fn page(error: &PageError, s: Shell) -> Response {
    let (title, help) = words(error.kind, &s);
    // From an action on a run or its tasks one goes back to the run.
    let path = s.address.split('?').next().unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let back = match (parts.next(), parts.next()) {
        (Some("runs"), Some(run)) if run.parse::<i64>().is_ok() && error.kind != Kind::NoPage => {
            format!("/runs/{run}")
        }
        (Some("runs"), _) => "/runs".to_owned(),
        (Some("users"), _) => "/users".to_owned(),
        _ => "/".to_owned(),
    };
    Page(Trouble { title, help, detail: error.detail.clone(), back, s }).into_response()
}
