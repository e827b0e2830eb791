//! `hdfs.active`: which name node of a pair is active. A second active one is never made, and nobody is forced.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::program::{self, is_word};
use crate::change::{Change, assign};
use crate::settings::{self, Span};

/// The change that the job type `hdfs.active` brings about.
pub struct Active;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    name_node: Option<String>,
    within: Option<Span>,
    program: Option<String>,
    conf: Option<String>,
}

const SCRIPT: &str = r#"
if [ "$mode" = plan ] && { ! there_is || [ -z "$(conf_of dfs.nameservices)" ]; }; then
    echo "unknown which name node is active: the configuration names no pair yet"
    finish
fi
service_of
nodes=$(conf_of "dfs.ha.namenodes.$service" | tr ',' ' ')
[ -n "$nodes" ] || fail "$refused" "dfs.ha.namenodes.$service is not set: there are no two name nodes"
case " $(echo $nodes) " in *" ${wanted:-$(echo $nodes)} "*) ;; *) fail "$refused" "there is no name node $wanted in $service: dfs.ha.namenodes.$service is $(echo $nodes)" ;; esac
haadmin() { "$program" ${conf:+--config "$conf"} haadmin "$@" </dev/null; }
# Sets `active` and `idle`, and `seen` for people.
look() {
    active= idle= seen=
    for node in $nodes; do
        is=$(timeout 60 "$program" ${conf:+--config "$conf"} haadmin -getServiceState "$node" 2>/dev/null </dev/null | tail -n 1) || is=
        case $is in
        active) active="$active $node" ;;
        standby) idle="$idle $node" ;;
        *) is='does not answer' ;;
        esac
        seen="$seen, $node: $is"
    done
    active=${active# } idle=${idle# } seen=${seen#, }
    case $active in *' '*) fail "$refused" "more than one name node is active ($seen): stop all but one, before both write" ;; esac
}
told_outputs() { printf 'active=%s\nstandby=%s\n' "$active" "$idle" >>"$WEIR_OUTPUT"; }
right() { [ -n "$active" ] && [ "${wanted:-$active}" = "$active" ]; }
look
if right; then
    [ "$mode" = plan ] || told_outputs
    finish
fi
automatic=$(conf_of dfs.ha.automatic-failover.enabled)
end=$(($(date +%s) + seconds))
if [ -z "$active" ] && [ "$automatic" = true ]; then
    # The failover controllers do it, and nobody else may.
    if ! must elected "wait until one of $(echo $nodes) is elected ($seen)"; then finish; fi
    until [ -n "$active" ]; do
        [ "$(date +%s)" -lt "$end" ] || fail "$failed" "no name node was elected within $seconds s ($seen): do the failover controllers run, and does ZooKeeper serve?"
        sleep 1
        look
    done
fi
if [ -z "$active" ]; then
    one=${wanted:-${idle%% *}}
    [ -n "$one" ] || { if [ "$mode" = plan ]; then echo "unknown which name node can be made active: none answers"; finish; fi; fail "$failed" "no name node answers ($seen)"; }
    if must active "make $one active ($seen)"; then
        haadmin -transitionToActive "$one" || fail "$failed" "$one was not made active (code $?)"
        look
    fi
elif ! right; then
    if must active "have $wanted take over from $active ($seen)"; then
        haadmin -failover "$active" "$wanted" || fail "$failed" "$wanted did not take over from $active (code $?)"
        look
    fi
fi
if [ "$mode" = act ]; then
    until right; do
        [ "$(date +%s)" -lt "$end" ] || fail "$failed" "${wanted:-no name node} is not active after $seconds s ($seen)"
        sleep 1
        look
    done
    echo "$seen"
    told_outputs
fi
"#;

impl Change for Active {
    const NAME: &'static str = "hdfs.active";
    const ABOUT: &'static str = "Sees to it that one name node of a pair is active: waits for an election, or has a given one take over; never forces anybody.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        let own = schema
            .optional(
                "name-node",
                Schema::text()
                    .describe(
                        "The one that is to be active, by its name in `dfs.ha.namenodes`. If another one is, it hands over. \
                         Without: any will do.",
                    )
                    .example("nn1"),
            )
            .optional(
                "within",
                Schema::span().default("1m").describe("How long an election or a handover may take."),
            );
        program::schema(own)
    }

    fn check(with: &Value) -> Vec<Fault> {
        let node = settings::fixed(with, "/name-node").filter(|node| !is_word(node));
        let fault = |node: &str| {
            settings::fault(
                "/name-node",
                format!("`{node}` is no name of a name node"),
                "write it as it stands in `dfs.ha.namenodes`, such as nn1",
            )
        };
        node.map(fault).into_iter().collect()
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let wanted = settings.name_node.unwrap_or_default();
        if !wanted.is_empty() && !is_word(&wanted) {
            return Err(settings::wrong(format!("`{wanted}` is no name of a name node")));
        }
        let seconds = settings.within.map_or(60, |within| within.0.as_secs());
        let values = assign(&[("wanted", &wanted), ("seconds", &seconds.to_string())]);
        let ask = program::ask(settings.program.as_deref(), settings.conf.as_deref());
        Ok(format!("{values}{ask}{SCRIPT}"))
    }
}
