//! What a form sends, and texts as parts of addresses.

use axum::extract::{Form, FromRequest, Request};

use crate::error::PageError;

/// The fields of a form that was sent, in its order; a name may come several times.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The last value of that name: a box that is ticked stands behind the hidden field that says no.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        match Form::<Vec<(String, String)>>::from_request(request, state).await {
            // Browsers send the ends of lines as CR LF.
            Ok(Form(fields)) => Ok(Self(
                fields
                    .into_iter()
                    .map(|(name, value)| (name, value.replace("\r\n", "\n")))
                    .collect(),
            )),
            Err(error) => Err(PageError::bad(error.to_string())),
        }
    }
}

/// A text as a part of an address.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A flow's address. A flow without a project has `-` in its place.
pub(crate) fn flow_address(project: &str, flow: &str) -> String {
    let project = if project.is_empty() { "-" } else { project };
    format!("/flows/{}/{}", encoded(project), encoded(flow))
}

/// A task's address.
pub(crate) fn task_address(run: i64, path: &str) -> String {
    format!("/runs/{run}/task?path={}", encoded(path))
}

/// The project of an address.
pub(crate) fn project(part: &str) -> &str {
    if part == "-" { "" } else { part }
}

/// Where to go back to, if that is a page of ours.
pub(crate) fn own_page(to: &str) -> &str {
    let is_ours = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && !to.chars().any(char::is_control);
    if is_ours { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (to, goes) in [
            ("/runs/7?x=1", "/runs/7?x=1"),
            ("//evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
            ("", "/"),
        ] {
            assert_eq!(own_page(to), goes);
        }
    }

    #[test]
    fn addresses_hold_any_name() {
        assert_eq!(flow_address("", "a b"), "/flows/-/a%20b");
        assert_eq!(task_address(7, "g/a[0]"), "/runs/7/task?path=g%2Fa%5B0%5D");
        assert_eq!(encoded("名"), "%E5%90%8D");
    }
}
