//! `hdfs.standby`: a second name node, with the namespace of the first. What holds another namespace is never written over
//! unless the job says in `destroys` what is lost.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::names::PORT;
use super::program::{self, LOOK};
use crate::change::{Change, assign, yes_no};
use crate::settings::{self, Flag, OneOrMany};
use crate::way::Server;

/// The change that the job type `hdfs.standby` brings about.
pub struct Standby;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    name_node: String,
    dirs: Option<OneOrMany<String>>,
    #[serde(default)]
    reformat: Flag,
    #[serde(default)]
    unlock: Flag,
    program: Option<String>,
    conf: Option<String>,
}

/// Fetches the namespace where there is none. `LOOK` has looked.
const SCRIPT: &str = r#"
told=$(get "$node" "$port" '/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo') || told=
wanted=$(printf '%s\n' "$told" | sed -n 's/.*"BlockPoolId" *: *"\([^"]*\)".*/\1/p' | head -n 1)
if [ -z "$wanted" ]; then
    if [ "$mode" = plan ]; then
        if [ -n "$full" ]; then echo "unknown whether $full is of the namespace of $node: it does not answer on port $port yet"
        else must formatted "fetch the namespace of $node into $(echo $named) as $who" || true; fi
        finish
    fi
    fail "$failed" "$node does not tell of which block pool it is (port $port): does the name node run there?"
fi
force=
if [ -z "$full" ]; then
    :
elif [ "$ids" = "<$is>" ] && [ "$pool" = "$wanted" ]; then
    if [ -n "$empty" ]; then
        [ "$mode" = plan ] || outputs
        ask "$full has the namespace $space, and $empty is empty: is a disk missing? To approve is to go on"
    elif [ -n "$images" ]; then
        [ "$mode" = plan ] || outputs
        finish
    # It was being fetched when that was cut short: nothing is lost that the other one does not have.
    else force=-force; fi
elif [ "$again" = yes ]; then
    force=-force
    if [ "$mode" = plan ]; then echo "destroys the namespace $space of the cluster $cluster_is in $full"; fi
else
    fail "$refused" "$full is of another namespace (cluster, namespace, block pool: $ids) than $node (block pool $wanted): find out whose it is; \`reformat\` would write over it"
fi
if must formatted "fetch the namespace of $node into $(echo $named) as $who"; then
    free
    if [ "$force$again" = -forceyes ]; then echo "the namespace $space of the cluster $cluster_is in $full is destroyed"; fi
    unlock
    code=0
    "$program" ${conf:+--config "$conf"} namenode -bootstrapStandby $force -nonInteractive </dev/null || code=$?
    case $code in
    0) ;;
    2) fail "$failed" "the other name node can't be reached: see dfs.namenode.rpc-address of each (code 2)" ;;
    3) fail "$refused" "the other name node is of another version of Hadoop (code 3)" ;;
    5) fail "$refused" "something is in the folders already, and nothing was written over (code 5)" ;;
    6) fail "$failed" "the journal nodes lack what the namespace begins with: see hdfs.shared-edits (code 6)" ;;
    *) fail "$failed" "$program namenode -bootstrapStandby ended with code $code" ;;
    esac
    proven "$program namenode -bootstrapStandby"
    [ "$pool" = "$wanted" ] || fail "$failed" "the block pool is $pool now, and that of $node is $wanted"
    outputs
fi
"#;

impl Change for Standby {
    const NAME: &'static str = "hdfs.standby";
    const ABOUT: &'static str = "Sees to it that a second name node has the namespace of the first one, which must run; refuses to write over another namespace.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        let own = schema.required(
            "name-node",
            Schema::text()
                .describe(
                    "The name node whose namespace it is to have, as the standby's host knows it: `host` or `host:port`. \
                     The port is that of its pages, 50070 if not said (9870 from Hadoop 3 on).",
                )
                .example("master1"),
        );
        program::schema(program::with_reformat(program::with_dirs(own)))
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = program::check_dirs(with);
        if let Some(node) = settings::fixed(with, "/name-node")
            && let Err(why) = Server::parse(node, PORT)
        {
            let help = "write `host` or `host:port`, without `http://`";
            faults.push(settings::fault("/name-node", why, help));
        }
        faults
    }

    fn destroys_by(with: &Value) -> Option<&'static str> {
        program::destroys_by(with)
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let dirs = program::read_dirs(settings.dirs)?;
        let node = Server::parse(&settings.name_node, PORT).map_err(settings::wrong)?;
        let values = assign(&[
            ("dirs", &dirs),
            ("node", &node.host),
            ("port", &node.port.to_string()),
            ("again", yes_no(settings.reformat.0)),
            ("unlocked", yes_no(settings.unlock.0)),
        ]);
        let ask = program::ask(settings.program.as_deref(), settings.conf.as_deref());
        Ok(format!("{values}{ask}{LOOK}{SCRIPT}"))
    }
}
