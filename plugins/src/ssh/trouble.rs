//! What went wrong on the way to a host: where, what, and what would help.

use std::fmt;

use weir_core::hosts::Hop;
use weir_core::job_type::JobError;
use weir_core::outcome::ErrorClass;

/// Something went wrong between here and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// [`ErrorClass::Connection`] if the other side can't be reached (trying again may help), else
    /// [`ErrorClass::Refused`] or [`ErrorClass::Definition`].
    pub(crate) class: ErrorClass,
    /// Where: `hop jumpbox (10.50.0.5:22)`; empty for the host itself.
    pub(crate) hop: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What would be right; may be empty.
    pub(crate) help: String,
}

impl Trouble {
    /// It can't be reached now.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Connection, message, "")
    }

    /// It says no.
    pub(crate) fn refused(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(ErrorClass::Refused, message, help)
    }

    /// Something of `class`.
    pub(crate) fn new(
        class: ErrorClass,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { class, hop: String::new(), message: message.into(), help: help.into() }
    }

    /// Says where, unless that is known.
    pub(crate) fn at(mut self, hop: &Hop) -> Self {
        if self.hop.is_empty() {
            self.hop = place(hop);
        }
        self
    }

    /// Whether the other side can't be reached.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.class == ErrorClass::Connection
    }

    /// In words, for work on the host `host`.
    pub(crate) fn about(&self, host: &Hop) -> JobError {
        let at = if self.hop.is_empty() || self.hop == place(host) {
            place(host)
        } else {
            format!("{}, hop {}", host.name, self.hop)
        };
        JobError::new(self.class, format!("host {at}: {self}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

/// A machine in words: its name, and where it answers.
pub(crate) fn place(hop: &Hop) -> String {
    if hop.name.is_empty() || hop.name == hop.address {
        format!("{}:{}", hop.address, hop.port)
    } else {
        format!("{} ({}:{})", hop.name, hop.address, hop.port)
    }
}
