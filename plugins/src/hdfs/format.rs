//! `hdfs.format`: the name directories of a name node, formatted once and for one cluster. What holds data is never
//! formatted unless the job says in `destroys` what is lost.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::program::{self, LOOK, is_word};
use crate::change::{Change, assign, yes_no};
use crate::settings::{self, Flag, OneOrMany};

/// The change that the job type `hdfs.format` brings about.
pub struct Format;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    dirs: Option<OneOrMany<String>>,
    cluster_id: Option<String>,
    #[serde(default)]
    reformat: Flag,
    #[serde(default)]
    unlock: Flag,
    program: Option<String>,
    conf: Option<String>,
}

/// Formats what is empty, or may be lost. `LOOK` has looked.
const SCRIPT: &str = r#"
force=
if [ -z "$full" ]; then
    :
elif [ "$again" = yes ]; then
    force=-force
    if [ "$mode" = plan ]; then
        echo "destroys the namespace $space of the cluster $cluster_is in $full"
        shared=$(conf_of dfs.namenode.shared.edits.dir)
        [ -z "$shared" ] || echo "destroys what the journal nodes hold of it: $shared"
    fi
elif [ "$ids" != "<$is>" ]; then
    fail "$refused" "the name directories are of different namespaces (cluster, namespace, block pool): $ids"
elif [ -n "$cluster" ] && [ "$cluster_is" != "$cluster" ]; then
    [ "$mode" = plan ] || outputs
    ask "$full is formatted for the cluster $cluster_is (namespace $space), not for $cluster; to approve is to go on with $cluster_is"
elif [ -n "$empty" ]; then
    [ "$mode" = plan ] || outputs
    ask "$full is formatted for the cluster $cluster_is (namespace $space), and $empty is empty: is a disk missing? To approve is to go on"
elif [ -z "$images" ]; then
    fail "$refused" "$full was being formatted when that was cut short (there is no fsimage): empty it, and run this again"
else
    [ "$mode" = plan ] || outputs
    finish
fi
if must formatted "format $(echo $named)${cluster:+ for the cluster $cluster} as $who"; then
    free
    [ -z "$full" ] || echo "the namespace $space of the cluster $cluster_is in $full is destroyed"
    unlock
    code=0
    "$program" ${conf:+--config "$conf"} namenode -format ${cluster:+-clusterid "$cluster"} $force -nonInteractive </dev/null || code=$?
    [ $code -eq 0 ] || fail "$failed" "$program namenode -format ended with code $code"
    proven "$program namenode -format"
    if [ -n "$cluster" ] && [ "$cluster_is" != "$cluster" ]; then fail "$failed" "the cluster is $cluster_is, not $cluster"; fi
    outputs
fi
"#;

impl Change for Format {
    const NAME: &'static str = "hdfs.format";
    const ABOUT: &'static str = "Sees to it that a name node's directories are formatted, once and for one cluster; asks a person where they hold something else.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        let own = program::with_dirs(schema).optional(
            "cluster-id",
            Schema::text()
                .describe(
                    "The cluster they are to be of. Directories of another one are left alone, and a person is \
                     asked. Without: a new one is made up, and any is right.",
                )
                .example("CID-8ba03cf7-a71d-4439-8818-c0a65f47e7aa"),
        );
        program::schema(program::with_reformat(own))
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = program::check_dirs(with);
        if let Some(id) = settings::fixed(with, "/cluster-id")
            && !is_word(id)
        {
            faults.push(settings::fault(
                "/cluster-id",
                format!("`{id}` is no cluster's name"),
                "letters, digits, `-`, `_` and `.` may stand in it",
            ));
        }
        faults
    }

    fn destroys_by(with: &Value) -> Option<&'static str> {
        program::destroys_by(with)
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let dirs = program::read_dirs(settings.dirs)?;
        let cluster = settings.cluster_id.unwrap_or_default();
        if !cluster.is_empty() && !is_word(&cluster) {
            return Err(settings::wrong(format!("`{cluster}` is no cluster's name")));
        }
        let values = assign(&[
            ("dirs", &dirs),
            ("cluster", &cluster),
            ("again", yes_no(settings.reformat.0)),
            ("unlocked", yes_no(settings.unlock.0)),
        ]);
        let ask = program::ask(settings.program.as_deref(), settings.conf.as_deref());
        Ok(format!("{values}{ask}{LOOK}{SCRIPT}"))
    }
}
