//! Every address: who may use it, and what answers.

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use weir_engine::people::Role;

use crate::guard::guard;
use crate::pages::{
    asking, audit, begin, diagnoses, flow, flows, hosts, log, login, notices, provider, rerun, run,
    runs, schedule, schedule_form, schedules, system, task, users, versions,
};
use crate::site::Shared;
use crate::{api, assets, metrics};

/// Who may use an address. Handlers ask again for the project that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everybody.
    Nobody,
    /// Whoever has logged in.
    Login,
    /// Who has this role in some project.
    Role(Role),
    /// Administrators of all projects.
    Admin,
}

const LOOK: Need = Need::Role(Role::Viewer);
const RUN: Need = Need::Role(Role::Operator);
const CHANGE: Need = Need::Role(Role::Author);

/// Method, address, need. Addresses of the API stand in `api`.
const PAGES: &[(&str, &str, Need)] = &[
    ("GET", "/", Need::Login),
    ("GET", "/login", Need::Nobody),
    ("POST", "/login", Need::Nobody),
    ("GET", "/login/oidc", Need::Nobody),
    ("GET", "/login/oidc/callback", Need::Nobody),
    ("POST", "/logout", Need::Nobody),
    ("POST", "/logout-everywhere", Need::Login),
    ("GET", "/password", Need::Login),
    ("POST", "/password", Need::Login),
    ("POST", "/preferences", Need::Nobody),
    ("GET", "/assets/{tag}/{name}", Need::Nobody),
    ("GET", "/healthz", Need::Nobody),
    ("GET", "/readyz", Need::Nobody),
    ("GET", "/metrics", LOOK),
    ("GET", "/flows", LOOK),
    ("GET", "/flows/{project}/{flow}", LOOK),
    ("GET", "/flows/{project}/{flow}/run", RUN),
    ("POST", "/flows/{project}/{flow}/run", RUN),
    ("GET", "/flows/{project}/{flow}/versions", LOOK),
    ("GET", "/runs", LOOK),
    ("GET", "/runs/{id}", LOOK),
    ("GET", "/runs/{id}/live", LOOK),
    ("GET", "/runs/{id}/stream", LOOK),
    ("GET", "/runs/{id}/events", LOOK),
    ("POST", "/runs/{id}/act", RUN),
    ("GET", "/runs/{id}/rerun", RUN),
    ("POST", "/runs/{id}/rerun", RUN),
    ("GET", "/runs/{id}/task", LOOK),
    ("GET", "/runs/{id}/task/log", LOOK),
    ("GET", "/runs/{id}/task/live", LOOK),
    ("GET", "/runs/{id}/task/draft", LOOK),
    ("POST", "/runs/{id}/task/act", RUN),
    ("POST", "/runs/{id}/task/answer", RUN),
    ("GET", "/schedules", LOOK),
    ("GET", "/schedules/add", CHANGE),
    ("GET", "/schedules/{id}", LOOK),
    ("POST", "/schedules/{id}/pause", CHANGE),
    ("POST", "/schedules/{id}/backfill", RUN),
    ("POST", "/schedules/{id}/remove", CHANGE),
    ("GET", "/flows/{project}/{flow}/schedule", CHANGE),
    ("POST", "/flows/{project}/{flow}/schedule", CHANGE),
    ("GET", "/hosts", LOOK),
    ("GET", "/hosts/{project}/{host}", LOOK),
    ("POST", "/hosts/{project}/look", RUN),
    ("GET", "/asking", LOOK),
    ("GET", "/diagnoses", LOOK),
    ("GET", "/catalogue/{id}", LOOK),
    ("GET", "/notices", LOOK),
    ("POST", "/notices/again", RUN),
    ("GET", "/users", Need::Admin),
    ("POST", "/users", Need::Admin),
    ("GET", "/audit", Need::Admin),
    ("GET", "/system", Need::Admin),
];

fn page(path: &str) -> MethodRouter<Shared> {
    match path {
        "/" => get(|| async { axum::response::Redirect::to("/flows") }),
        "/login" => get(login::form).post(login::log_in),
        "/login/oidc" => get(provider::begin),
        "/login/oidc/callback" => get(provider::back),
        "/logout" => post(login::log_out),
        "/logout-everywhere" => post(login::log_out_everywhere),
        "/password" => get(login::account).post(login::change_password),
        "/preferences" => post(login::prefer),
        "/assets/{tag}/{name}" => get(assets::asset),
        "/healthz" => get(metrics::alive),
        "/readyz" => get(metrics::ready),
        "/metrics" => get(metrics::metrics),
        "/flows" => get(flows::list),
        "/flows/{project}/{flow}" => get(flow::show),
        "/flows/{project}/{flow}/run" => get(begin::form).post(begin::start),
        "/flows/{project}/{flow}/versions" => get(versions::show),
        "/runs" => get(runs::list),
        "/runs/{id}" => get(run::show),
        "/runs/{id}/live" => get(run::live),
        "/runs/{id}/stream" => get(run::stream),
        "/runs/{id}/events" => get(run::events),
        "/runs/{id}/act" => post(run::act),
        "/runs/{id}/rerun" => get(rerun::form).post(rerun::start),
        "/runs/{id}/task" => get(task::show),
        "/runs/{id}/task/log" => get(log::download),
        "/runs/{id}/task/live" => get(log::live),
        "/runs/{id}/task/draft" => get(log::draft),
        "/runs/{id}/task/act" => post(task::act),
        "/runs/{id}/task/answer" => post(task::answer),
        "/schedules" => get(schedules::list),
        "/schedules/add" => get(schedule_form::choose),
        "/schedules/{id}" => get(schedule::show),
        "/schedules/{id}/pause" => post(schedule::pause),
        "/schedules/{id}/backfill" => post(schedule::backfill),
        "/schedules/{id}/remove" => post(schedule::remove),
        "/flows/{project}/{flow}/schedule" => get(schedule_form::form).post(schedule_form::add),
        "/hosts" => get(hosts::list),
        "/hosts/{project}/{host}" => get(hosts::show),
        "/hosts/{project}/look" => post(hosts::look),
        "/asking" => get(asking::list),
        "/diagnoses" => get(diagnoses::list),
        "/catalogue/{id}" => get(diagnoses::entry),
        "/notices" => get(notices::list),
        "/notices/again" => post(notices::send_again),
        "/users" => get(users::list).post(users::change),
        "/audit" => get(audit::list),
        "/system" => get(system::show),
        other => unreachable!("{other} has no handler"),
    }
}

/// All that is listed: method, address with its parts in braces, need.
pub fn listed() -> impl Iterator<Item = (&'static str, &'static str, Need)> {
    PAGES.iter().chain(api::CALLS).copied()
}

/// Who may use an address; `None` if it is not used with that method.
pub(crate) fn need_of(method: &Method, path: &str) -> Option<Need> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    listed().find(|(one, at, _)| *one == method && *at == path).map(|(.., need)| need)
}

/// The methods that an address is used with, as the header `Allow` lists them.
pub(crate) fn methods_of(path: &str) -> String {
    let mut methods = Vec::new();
    for (method, at, _) in listed() {
        if at == path {
            methods.push(method);
            if method == "GET" {
                methods.push("HEAD");
            }
        }
    }
    methods.join(", ")
}

pub(crate) fn router(site: Shared) -> Router {
    let mut router = Router::new();
    let mut last = "";
    for (_, path, _) in PAGES {
        if *path != last {
            router = router.route(path, page(path));
            last = path;
        }
    }
    router
        .merge(api::router())
        .fallback(|| async { crate::error::PageError::no_page() })
        .layer(from_fn_with_state(site.clone(), guard))
        .with_state(site)
}
