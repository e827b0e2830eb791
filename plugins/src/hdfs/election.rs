//! `hdfs.election`: the place in `ZooKeeper` where failover controllers elect the active name node. One that is there is left
//! alone: what stands in it fences.

use std::path::Path;

use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::program::{self, Plain};
use crate::change::Change;
use crate::settings;

/// The change that the job type `hdfs.election` brings about.
pub struct Election;

const SCRIPT: &str = r#"
if [ "$mode" = plan ] && { ! there_is || [ -z "$(conf_of ha.zookeeper.quorum)" ]; }; then
    echo "unknown whether ZooKeeper has the place of the election: the configuration does not name it yet"
    finish
fi
service_of
quorum=$(conf_of ha.zookeeper.quorum)
[ -n "$quorum" ] || fail "$refused" "ha.zookeeper.quorum is not set: there is no place for an election"
parent=$(conf_of ha.zookeeper.parent-znode)
place=${parent:-/hadoop-ha}/$service
# Reads only. Its exit code says nothing, and a command among its arguments it does not wait for.
is_there() {
    told=$(printf 'stat %s\nquit\n' "$place" | timeout 60 "$program" ${conf:+--config "$conf"} org.apache.zookeeper.ZooKeeperMain -server "$quorum" 2>&1) || true
    case $told in
    *cZxid*) return 0 ;;
    *'Node does not exist'* | *NoNode*) return 1 ;;
    esac
    fail "$failed" "ZooKeeper ($quorum) does not tell whether $place is there: $(printf '%s\n' "$told" | tail -n 1)"
}
told_outputs() { printf 'znode=%s\n' "$place" >>"$WEIR_OUTPUT"; }
if is_there; then
    [ "$mode" = plan ] || told_outputs
    finish
fi
if must place "make $place in ZooKeeper, where the active name node is elected"; then
    code=0
    "$program" ${conf:+--config "$conf"} zkfc -formatZK -nonInteractive </dev/null || code=$?
    case $code in
    0) ;;
    # Another one was quicker.
    2) is_there || fail "$failed" "$program zkfc -formatZK refused (code 2), but $place is not there" ;;
    3) fail "$refused" "the path above $place is not there, and can't be made (code 3)" ;;
    4) fail "$refused" "dfs.ha.fencing.methods is not set, or not to be used: no failover without it (code 4)" ;;
    5) fail "$refused" "dfs.ha.automatic-failover.enabled is not true (code 5)" ;;
    6) fail "$failed" "ZooKeeper ($quorum) is not reached (code 6)" ;;
    *) fail "$failed" "$program zkfc -formatZK ended with code $code" ;;
    esac
    is_there || fail "$failed" "$program zkfc -formatZK ended well, but $place is not there"
    told_outputs
fi
"#;

impl Change for Election {
    const NAME: &'static str = "hdfs.election";
    const ABOUT: &'static str = "Sees to it that ZooKeeper has the place where failover controllers elect the active name node; leaves one that is there alone.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        program::schema(schema)
    }

    fn check(_with: &Value) -> Vec<Fault> {
        Vec::new()
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Plain = settings::read(with, secrets)?;
        Ok(format!("{}{SCRIPT}", settings.ask()))
    }
}
