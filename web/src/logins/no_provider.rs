//! In place of `provider` where Weir was built without it: there is none, and who wants one is told so.

use std::path::Path;
use std::time::Duration;

use weir_engine::engine::Handle;

use super::settings::Oidc;
use super::{Failure, Found};

/// There is none.
pub(crate) enum Provider {}

impl Provider {
    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn new(_: Oidc, _: &Path, _: &Handle, _: &str) -> Result<Self, String> {
        Err("this weir was built without OIDC\nhelp: build it with `--features oidc`".to_owned())
    }

    pub(crate) fn title(&self) -> &str {
        match *self {}
    }

    pub(crate) fn session(&self) -> Duration {
        match *self {}
    }

    pub(crate) fn issuer(&self) -> &str {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn begin(&self, _: &str) -> Result<String, Failure> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn finish(&self, _: &Handle, _: &str, _: String) -> Result<Found, Failure> {
        match *self {}
    }
}
