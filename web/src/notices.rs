//! The notices that somebody may see, and having one sent again: for pages and programs alike.

use std::num::NonZeroU32;

use serde::Deserialize;
use weir_core::ids::RunId;
use weir_core::notice::Reason;
use weir_engine::api::notice::state_of;
use weir_engine::people::Role;
use weir_engine::store::rows::NoticeRow;
use weir_engine::store::{NoticeFilter, NoticeKey};

use crate::error::PageError;
use crate::pages::begin::note;
use crate::site::Site;
use crate::who::{Origin, Who};

/// Pages of notices that one may not see which are passed over in one request.
const HIDDEN: usize = 20;

/// Which notices are asked for.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) run: Option<NonZeroU32>,
    pub(crate) state: Option<String>,
    pub(crate) cursor: Option<String>,
    pub(crate) limit: Option<u64>,
}

/// One notice, as a form or a program names it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) run: i64,
    pub(crate) seq: i64,
    pub(crate) reason: String,
    pub(crate) to: String,
}

/// Those that somebody may see, newest first, and the cursor of the next page if there is one.
pub(crate) async fn seen(
    site: &Site,
    me: &Who,
    asked: &Asked,
    limit: u64,
) -> Result<(Vec<NoticeRow>, Option<String>), PageError> {
    let mut filter = NoticeFilter {
        run: asked.run.map(|run| RunId(i64::from(run.get()))),
        state: state_of(asked.state.as_deref())?,
        before: asked.cursor.as_deref().map(key_of).transpose()?,
    };
    let mut found = Vec::new();
    for _ in 0..HIDDEN {
        let rows = site.handle.store().notices(&filter, limit + 1).await?;
        let is_last = rows.len() as u64 <= limit;
        filter.before = rows.last().map(NoticeRow::key);
        found.extend(rows.into_iter().filter(|row| me.role_in(&row.project).is_some()));
        if found.len() as u64 > limit {
            found.truncate(limit as usize);
            filter.before = found.last().map(NoticeRow::key);
            break;
        }
        if is_last {
            return Ok((found, None));
        }
    }
    Ok((found, filter.before.as_ref().map(cursor_of)))
}

/// Has one tried once more.
pub(crate) async fn send_again(
    site: &Site,
    (me, origin): (&Who, &Origin),
    named: Named,
) -> Result<(), PageError> {
    let reason = Reason::named(&named.reason).ok_or_else(PageError::no_page)?;
    let key = NoticeKey {
        run: RunId(named.run),
        seq: named.seq,
        reason: reason.code(),
        receiver: named.to,
    };
    let row = site.handle.store().notice(&key).await?.ok_or_else(PageError::no_page)?;
    me.must(Role::Operator, &row.project)?;
    site.handle.send_again(&key).await?;
    let target = format!("run {} {} {}", key.run, reason.name(), key.receiver);
    note(site, me, origin, "notice.send-again", &target, None).await
}

/// `7.12.2.mail:ops@example.org`: behind which notice the next page begins.
fn cursor_of(key: &NoticeKey) -> String {
    format!("{}.{}.{}.{}", key.run, key.seq, key.reason, key.receiver)
}

fn key_of(cursor: &str) -> Result<NoticeKey, PageError> {
    fn number<T: std::str::FromStr>(part: Option<&str>, digits: usize) -> Option<T> {
        let is_number = |part: &&str| {
            (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        part.filter(is_number)?.parse().ok()
    }
    let read = || {
        let mut parts = cursor.splitn(4, '.');
        Some(NoticeKey {
            run: RunId(number(parts.next(), 18)?),
            seq: number(parts.next(), 18)?,
            reason: number(parts.next(), 2)?,
            receiver: parts.next().filter(|receiver| !receiver.is_empty())?.to_owned(),
        })
    };
    read().ok_or_else(|| PageError::bad("a cursor is the `next` of an earlier page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let key =
            NoticeKey { run: RunId(7), seq: 12, reason: 2, receiver: "mail:a.b@c.org".to_owned() };
        assert_eq!(cursor_of(&key), "7.12.2.mail:a.b@c.org");
        assert_eq!(key_of("7.12.2.mail:a.b@c.org").expect("a cursor"), key);
        for wrong in
            ["", "7", "7.x.2.mail:a", "7.12.2", "7.12.999.mail:a", "+7.12.2.mail:a", "7.12.2."]
        {
            assert!(key_of(wrong).is_err(), "{wrong}");
        }
    }
}
