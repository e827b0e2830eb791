//! In place of `directory` where Weir was built without it: there is none, and who wants one is told so.

use std::path::Path;
use std::time::Duration;

use weir_engine::engine::Handle;

use super::settings::Ldap;
use super::{Answer, Found, Trouble};

/// There is none.
pub(crate) enum Directory {}

impl Directory {
    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn new(_: Ldap, _: &Path, _: &Handle) -> Result<Self, String> {
        Err("this weir was built without LDAP\nhelp: build it with `--features ldap`".to_owned())
    }

    pub(crate) fn title(&self) -> &str {
        match *self {}
    }

    pub(crate) fn check_every(&self) -> Duration {
        match *self {}
    }

    pub(crate) fn can_look(&self) -> bool {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn check(&self, _: &Handle, _: &str, _: &str) -> Result<Answer, Trouble> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it is called as the one that can be built")]
    pub(crate) async fn look(
        &self,
        _: &Handle,
        _: &str,
        _: &str,
    ) -> Result<Option<Found>, Trouble> {
        match *self {}
    }
}
