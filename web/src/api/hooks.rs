//! A signed call from outside begins a run: of the flow that stands in its body, with the parameters there.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::hex;
use weir_core::webhook;
use weir_engine::begin::Begin;
use weir_engine::engine::wall_clock;
use weir_engine::people::Asker;

use crate::address::Path;
use crate::api::flows::made;
use crate::error::{Kind, PageError};
use crate::flows;
use crate::form;
use crate::site::Shared;
use crate::who::Origin;

/// The project's secret that calls are signed with. One for all projects does not count: it would open them all.
const SECRET: &str = "trigger";

/// What is asked for. The flow is in the body, which is signed, and not in the address, which is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    flow: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    confirm: Vec<String>,
}

pub(crate) async fn call(
    State(site): State<Shared>,
    origin: Origin,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, PageError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(at), Some(signature)) = (text("weir-timestamp"), text("weir-signature")) else {
        let detail = "a call is signed: it has the headers Weir-Timestamp and Weir-Signature";
        return Err(PageError { kind: Kind::NoLogin, detail: detail.to_owned() });
    };
    let project = form::project(&project);
    let secret = site.handle.secrets().get(project, SECRET).await.map_err(PageError::broken)?;
    let secret = secret.ok_or_else(PageError::no_page)?;
    let signed = webhook::verify(&secret, at, signature, &body, wall_clock())
        .map_err(|refused| PageError { kind: Kind::NoLogin, detail: refused.to_string() })?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| PageError::bad(format!("the body does not fit: {error}")))?;
    let by = format!("webhook {project}").trim_end().to_owned();
    // While one is carried out, others with the same signature wait; then they are repeats.
    let turn = site.once(&by, &signed.once);
    let _turn = turn.lock().await;
    let store = site.handle.store();
    if let Some(row) = store.request(&by, &signed.once).await? {
        return Err(PageError::conflict(format!(
            "this call came before, and began run {}: sign each call anew, with its own time",
            row.run
        )));
    }
    let loaded = flows::load(&site, project, &asked.flow).await?;
    let what = format!("{}/{}", loaded.version.project, loaded.version.flow);
    let begin = Begin {
        params: asked.params,
        confirm: asked.confirm,
        request: Some((signed.once, hex::sha256(&body))),
        ..Begin::flow(loaded, &by)
    };
    let run = site.handle.begin(begin).await?;
    let asker = Asker { by, origin: origin.0 };
    let note = asker.note("run.begin", &what, None, Some(format!("run {run}")));
    store.keep_note(note).await?;
    Ok(made(run.0))
}
