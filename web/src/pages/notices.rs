//! Who was told of what, who is still to be told, and who could not be.

use askama::Template;
use axum::extract::State;
use axum::response::Redirect;
use weir_core::notice::{Message, Reason};
use weir_engine::people::Role;
use weir_engine::store::rows::{NoticeRow, NoticeState};

use crate::address::Query;
use crate::clock::At;
use crate::error::PageError;
use crate::form::{Fields, encoded};
use crate::notices::{self, Asked, Named};
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::{Origin, Who};
use crate::words::Words;

/// Notices of a page.
const PAGE: u64 = 50;

#[derive(Template)]
#[template(path = "notices.html")]
pub(crate) struct Notices {
    s: Shell,
    wanted: String,
    states: [&'static str; 3],
    lines: Vec<Line>,
    next: Option<String>,
}

struct Line {
    run: i64,
    seq: i64,
    reason: &'static str,
    to: String,
    at: At,
    subject: String,
    state: &'static str,
    said: &'static str,
    mark: &'static str,
    tries: u32,
    next_try: Option<At>,
    ended_at: Option<At>,
    error: String,
    may_send: bool,
}

pub(crate) async fn list(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Query(asked): Query<Asked>,
) -> Result<Page<Notices>, PageError> {
    let asked = Asked { state: asked.state.filter(|state| !state.is_empty()), ..asked };
    let (rows, next) = notices::seen(&site, &me, &asked, PAGE).await?;
    let wanted = asked.state.unwrap_or_default();
    let run = asked.run.map_or_else(String::new, |run| format!("run={run}&"));
    let next = next
        .map(|next| format!("/notices?{run}state={}&cursor={}", encoded(&wanted), encoded(&next)));
    let lines = rows.into_iter().map(|row| Line::new(row, &me, &s)).collect();
    Ok(Page(Notices { lines, next, wanted, states: ["waiting", "given-up", "delivered"], s }))
}

impl Line {
    fn new(row: NoticeRow, me: &Who, words: &Words) -> Self {
        let message: Option<Message> = serde_json::from_str(&row.message).ok();
        let state = NoticeState::name(row.state);
        let is_waiting = row.state == NoticeState::Waiting.code();
        let is_given_up = row.state == NoticeState::GivenUp.code();
        Self {
            run: row.run.0,
            seq: row.seq,
            reason: Reason::from_code(row.reason).map_or("", Reason::name),
            may_send: is_given_up && me.may(Role::Operator, &row.project),
            to: row.receiver,
            at: At::new(row.at),
            subject: message.as_ref().map(Message::subject).unwrap_or_default(),
            state,
            said: words.state(state),
            mark: match state {
                "delivered" => "✓",
                "given-up" => "✕",
                _ => "…",
            },
            tries: row.tries,
            next_try: is_waiting.then(|| At::new(row.due_at)),
            ended_at: row.ended_at.map(At::new),
            error: row.error.unwrap_or_default(),
        }
    }
}

/// Has one tried once more, then back to the list.
pub(crate) async fn send_again(
    State(site): State<Shared>,
    me: Who,
    origin: Origin,
    fields: Fields,
) -> Result<Redirect, PageError> {
    let number = |name: &str| fields.text(name).parse::<i64>().map_err(|_| PageError::no_page());
    let named = Named {
        run: number("run")?,
        seq: number("seq")?,
        reason: fields.text("reason").to_owned(),
        to: fields.text("to").to_owned(),
    };
    notices::send_again(&site, (&me, &origin), named).await?;
    Ok(Redirect::to("/notices"))
}
