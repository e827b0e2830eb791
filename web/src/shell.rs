//! What every page has around its content: language, theme, who is logged in.

use std::ops::Deref;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{Html, IntoResponse, Response};

use crate::assets;
use crate::error::PageError;
use crate::jar::cookie;
use crate::site::{Shared, Site};
use crate::who::Who;
use crate::words::{Lang, Words};

/// The cookies that remember what a reader prefers.
pub(crate) const LANG_COOKIE: &str = "weir_lang";
pub(crate) const THEME_COOKIE: &str = "weir_theme";

/// What every page has around its content. Its words are found through it: `s.flows`.
#[derive(Clone)]
pub(crate) struct Shell {
    words: &'static Words,
    pub(crate) lang: Lang,
    pub(crate) theme: &'static str,
    pub(crate) who: Option<Who>,
    /// What has happened can't be written just now.
    pub(crate) is_stuck: bool,
    /// The address of this page, to come back to.
    pub(crate) address: String,
    pub(crate) css: String,
    pub(crate) js: String,
    pub(crate) icon: String,
}

impl Deref for Shell {
    type Target = Words;

    fn deref(&self) -> &Words {
        self.words
    }
}

impl Shell {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri, who: Option<&Who>, site: &Site) -> Self {
        let lang =
            cookie(headers, LANG_COOKIE).and_then(|tag| Lang::named(&tag)).unwrap_or_else(|| {
                let accepted =
                    headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
                Lang::accepted(accepted.unwrap_or_default())
            });
        let theme = match cookie(headers, THEME_COOKIE).as_deref() {
            Some("light") => "light",
            Some("dark") => "dark",
            Some(_) | None => "auto",
        };
        Self {
            words: Words::of(lang),
            lang,
            theme,
            who: who.cloned(),
            is_stuck: who.is_some() && site.handle.is_stuck(),
            address: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            css: assets::address("weir.css"),
            js: assets::address("weir.js"),
            icon: assets::address("weir.svg"),
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.who.as_ref().is_some_and(Who::is_admin)
    }

    pub(crate) fn name(&self) -> &str {
        self.who.as_ref().map_or("", |who| who.name.as_str())
    }

    /// Whether a page is the one that a link of the navigation leads to.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let here = self.address.split('?').next().unwrap_or_default();
        here.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromRequestParts<Shared> for Shell {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, site: &Shared) -> Result<Self, PageError> {
        Ok(Self::of(&parts.headers, &parts.uri, parts.extensions.get::<Who>(), site))
    }
}

/// A page, ready to be sent.
pub(crate) struct Page<T>(pub(crate) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(text) => Html(text).into_response(),
            Err(error) => PageError::broken(error).into_response(),
        }
    }
}
