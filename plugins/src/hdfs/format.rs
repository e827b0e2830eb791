//! `hdfs.format`: the name directories of a name node, formatted once and for one cluster. What holds data is never
//! formatted unless the job says in `destroys` what is lost.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

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

/// Looks at the files, whatever the exit code of Hadoop says: an argument that it does not know ends it with 0.
const SCRIPT: &str = r#"
lines() { tr ', ' '\n\n' | sed 's|^\[[A-Za-z_]*\]||; s|^file:///*|/|; s|\(.\)/*$|\1|' | grep . | sort -u; }
named=$(printf '%s\n' "$dirs" | lines)
found=
if command -v "$program" >/dev/null 2>&1; then
    told=$("$program" ${conf:+--config "$conf"} getconf -confKey dfs.namenode.name.dir 2>&1 </dev/null) ||
        fail "$failed" "$program can't tell dfs.namenode.name.dir: $(printf '%s\n' "$told" | tail -n 1)"
    found=$(printf '%s\n' "$told" | grep -E '^(\[[A-Z_]*\])?(file:|/)' | lines)
    [ -n "$found" ] || fail "$refused" "dfs.namenode.name.dir is no folder of this host: $(printf '%s\n' "$told" | tail -n 1)"
    if [ -n "$named" ] && [ "$named" != "$found" ]; then
        if [ "$mode" = plan ]; then echo "unknown whether the configuration will name" $named "by then: dfs.namenode.name.dir is" $found "now"
        else fail "$refused" "dfs.namenode.name.dir is $(echo $found), not $(echo $named): another place would be formatted"; fi
    fi
elif [ "$mode" = plan ]; then echo "unknown what Hadoop's configuration says: there is no $program here yet"
else fail "$refused" "there is no program $program here"; fi
[ -n "$named" ] || named=$found
if [ -z "$named" ]; then finish; fi
who=$(id -un)
field() { sed -n "s/^$2=//p" "$1/current/VERSION" | head -n 1; }
full= empty= ids= images=
for d in $named; do
    case $d in /tmp/*) [ -n "$dirs" ] || fail "$refused" "dfs.namenode.name.dir is not set: $d would be gone after a reboot" ;; esac
    if [ ! -d "$d" ]; then
        if [ "$mode" = plan ]; then echo "unknown what will stand in $d: it is not there yet"; empty="$empty $d"; continue; fi
        fail "$refused" "there is no folder $d: make it first, and give it to the user of the name node"
    fi
    owner=$(stat -c %U "$d")
    [ "$owner" = "$who" ] || fail "$refused" "$d is $owner's, and $who would leave files in it that $owner can't read: set become to $owner"
    if [ -e "$d/current/VERSION" ]; then
        type=$(field "$d" storageType)
        [ "$type" = NAME_NODE ] || fail "$refused" "$d is the folder of a $type, not of a name node"
        full="$full $d"
        id="$(field "$d" clusterID) $(field "$d" namespaceID) $(field "$d" blockpoolID)"
        case "$ids" in *"<$id>"*) ;; *) ids="$ids<$id>" ;; esac
        for f in "$d"/current/fsimage_*; do case $f in *.md5 | *.ckpt*) ;; *) [ ! -s "$f" ] || images=yes ;; esac; done
    elif [ -n "$(ls -A "$d/current" 2>/dev/null)" ]; then
        fail "$refused" "$d/current holds something, but no VERSION: find out what it is"
    else
        empty="$empty $d"
    fi
done
full=${full# } empty=${empty# }
is=${ids#<}; is=${is%%>*}
cluster_is=${is%% *}; pool=${is##* }; space=${is#* }; space=${space%% *}
outputs() { printf 'cluster=%s\nnamespace=%s\nblock_pool=%s\ndirs=%s\n' "$cluster_is" "$space" "$pool" "$(echo $named)" >>"$WEIR_OUTPUT"; }
force=
if [ -z "$full" ]; then
    :
elif [ "$again" = yes ]; then
    force=-force
    if [ "$mode" = plan ]; then echo "destroys the namespace $space of the cluster $cluster_is in $full"; fi
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
    for d in $named; do
        [ -w "$d" ] || fail "$refused" "$who can't write in $d"
        if [ -e "$d/in_use.lock" ] && grep -qs ":$(stat -c %i "$d/in_use.lock") " /proc/locks; then
            fail "$refused" "a name node works with $d: stop it first"
        fi
    done
    [ -z "$full" ] || echo "the namespace $space of the cluster $cluster_is in $full is destroyed"
    # The same configuration, but for the line that keeps others from formatting.
    if [ "$unlock" = yes ]; then
        from=${conf:-${HADOOP_CONF_DIR:-/etc/hadoop/conf}}
        conf=$(mktemp -d) || fail "$failed" "there is no room for a configuration"
        trap 'rm -rf "$conf"' EXIT
        trap 'exit 143' TERM
        cp -RL "$from/." "$conf" || fail "$refused" "the configuration $from can't be read"
        allow='<property><name>dfs.namenode.support.allow.format</name><value>true</value></property>'
        sed "s|</configuration>|$allow&|" "$from/hdfs-site.xml" >"$conf/hdfs-site.xml" || fail "$refused" "$from/hdfs-site.xml can't be read"
    fi
    code=0
    "$program" ${conf:+--config "$conf"} namenode -format ${cluster:+-clusterid "$cluster"} $force -nonInteractive </dev/null || code=$?
    [ $code -eq 0 ] || fail "$failed" "$program namenode -format ended with code $code"
    ids=
    for d in $named; do
        [ -e "$d/current/VERSION" ] || fail "$failed" "$program namenode -format ended well, but $d is not formatted"
        id="$(field "$d" clusterID) $(field "$d" namespaceID) $(field "$d" blockpoolID)"
        case "$ids" in *"<$id>"*) ;; *) ids="$ids<$id>" ;; esac
    done
    is=${ids#<}; is=${is%%>*}
    cluster_is=${is%% *}; pool=${is##* }; space=${is#* }; space=${space%% *}
    [ "$ids" = "<$is>" ] || fail "$failed" "the name directories are of different namespaces now: $ids"
    if [ -n "$cluster" ] && [ "$cluster_is" != "$cluster" ]; then fail "$failed" "the cluster is $cluster_is, not $cluster"; fi
    outputs
fi
"#;

impl Change for Format {
    const NAME: &'static str = "hdfs.format";
    const ABOUT: &'static str = "Sees to it that a name node's directories are formatted, once and for one cluster; asks a person where they hold something else.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        schema
            .optional(
                "dirs",
                Schema::one_of([Schema::text(), Schema::list(Schema::text())])
                    .describe(
                        "The name directories, to be sure: they must be those of `dfs.namenode.name.dir`. Without: \
                         whatever that says.",
                    )
                    .example(json!(["/mnt/cloudera-hdfs/1/dfs/nn", "/nfsmount/dfs/nn"])),
            )
            .optional(
                "cluster-id",
                Schema::text()
                    .describe(
                        "The cluster they are to be of. Directories of another one are left alone, and a person is \
                         asked. Without: a new one is made up, and any is right.",
                    )
                    .example("CID-8ba03cf7-a71d-4439-8818-c0a65f47e7aa"),
            )
            .optional(
                "reformat",
                Schema::boolean().default(false).describe(
                    "Formats what holds data, too. The job must say in `destroys` what is lost, and a person confirms it.",
                ),
            )
            .optional(
                "unlock",
                Schema::boolean().default(false).describe(
                    "Formats empty directories although the configuration says `dfs.namenode.support.allow.format` is \
                     false, which keeps everybody else from it.",
                ),
            )
            .optional(
                "program",
                Schema::text().default("hdfs").describe("Hadoop's program `hdfs`, where it is not found by its name."),
            )
            .optional(
                "conf",
                Schema::text().describe("The folder of its configuration. Without: as the program finds it."),
            )
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let dirs: Vec<&str> = match with.get("dirs") {
            Some(Value::String(dir)) => vec![dir],
            Some(Value::Array(dirs)) => dirs.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let bad = dirs.into_iter().find(|dir| !settings::is_template(dir) && !is_dir(dir));
        if let Some(dir) = bad {
            faults.push(settings::fault(
                "/dirs",
                format!("`{dir}` is no folder from the root on"),
                "several folders are a list; none of them holds a blank or a comma",
            ));
        }
        if let Some(id) = settings::fixed(with, "/cluster-id")
            && !is_id(id)
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
        let reformat = with.get("reformat")?;
        let is_off = reformat == &Value::Bool(false) || reformat.as_str() == Some("false");
        (!is_off).then_some("reformat")
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let dirs = settings.dirs.map_or_else(Vec::new, OneOrMany::into_vec);
        if let Some(bad) = dirs.iter().find(|dir| !is_dir(dir)) {
            return Err(settings::wrong(format!("`{bad}` is no folder from the root on")));
        }
        let cluster = settings.cluster_id.unwrap_or_default();
        if !cluster.is_empty() && !is_id(&cluster) {
            return Err(settings::wrong(format!("`{cluster}` is no cluster's name")));
        }
        let values = assign(&[
            ("dirs", &dirs.join("\n")),
            ("cluster", &cluster),
            ("again", yes_no(settings.reformat.0)),
            ("unlock", yes_no(settings.unlock.0)),
            ("program", settings.program.as_deref().unwrap_or("hdfs")),
            ("conf", settings.conf.as_deref().unwrap_or_default()),
        ]);
        Ok(format!("{values}{SCRIPT}"))
    }
}

/// Whether it may be a folder that the script takes for one word.
fn is_dir(dir: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+=@%".contains(letter);
    dir.len() > 1 && dir.starts_with('/') && dir.chars().all(is_plain)
}

/// Whether it may name a cluster; a dash in front would be an option.
fn is_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}
