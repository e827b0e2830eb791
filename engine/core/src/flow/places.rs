//! Where the texts of some settings stand.

use std::fmt;

use crate::mistake::Place;

/// Where each text of some settings stands, by JSON pointer (RFC 6901).
///
/// A sorted list: most settings have very few texts, and flows have very many settings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Places(Box<[(Box<str>, Place)]>);

impl Places {
    /// Where the text at a pointer stands.
    pub fn get(&self, pointer: &str) -> Option<Place> {
        self.find(pointer).ok().map(|at| self.0[at].1)
    }

    /// The first text below a pointer, in the pointers' order.
    pub fn below(&self, pointer: &str) -> Option<Place> {
        let below = format!("{pointer}/");
        let (Ok(at) | Err(at)) = self.find(&below);
        self.0.get(at).filter(|(first, _)| first.starts_with(&below)).map(|(_, place)| *place)
    }

    /// All of them, in the pointers' order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Place)> {
        self.0.iter().map(|(pointer, place)| (&**pointer, *place))
    }

    fn find(&self, pointer: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(pointer))
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of two places of one pointer the later counts.
impl<P: Into<Box<str>>> FromIterator<(P, Place)> for Places {
    fn from_iter<T: IntoIterator<Item = (P, Place)>>(all: T) -> Self {
        let mut sorted: Vec<(Box<str>, Place)> =
            all.into_iter().map(|(pointer, place)| (pointer.into(), place)).collect();
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        sorted.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        Self(sorted.into())
    }
}
