//! What the scripts share that run Hadoop's own programs on its hosts: what its configuration says, and what stands in
//! the folders of a name node.

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;

use crate::change::assign;
use crate::settings::{self, OneOrMany};

/// The settings where there are no others.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Plain {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    program: Option<String>,
    conf: Option<String>,
}

impl Plain {
    /// As [`ask`] does it.
    pub(super) fn ask(&self) -> String {
        ask(self.program.as_deref(), self.conf.as_deref())
    }
}

/// How a script begins that asks: where the program and its configuration are, and how they are asked.
pub(super) fn ask(program: Option<&str>, conf: Option<&str>) -> String {
    let values =
        assign(&[("program", program.unwrap_or("hdfs")), ("conf", conf.unwrap_or_default())]);
    format!("{values}{ASK}")
}

/// How its configuration is read and how its servers are asked; `program` and `conf` are set.
const ASK: &str = r#"
there_is() { command -v "$program" >/dev/null 2>&1; }
# A value of the configuration; nothing where it is not set.
conf_of() { "$program" ${conf:+--config "$conf"} getconf -confKey "$1" 2>/dev/null </dev/null | tail -n 1; }
# What a server answers to a GET, from the status line on. Hadoop's own programs need bash, too.
get() {
    timeout 20 bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" "$3" "$1" >&3 && cat <&3' bash "$1" "$2" "$3" 2>/dev/null
}
# The name service, and the names of its name nodes.
service_of() {
    there_is || fail "$refused" "there is no program $program here"
    service=$(conf_of dfs.nameservices)
    case $service in
    '') fail "$refused" "dfs.nameservices is not set: this HDFS has one name node" ;;
    *,*) service=$(conf_of dfs.internal.nameservices)
        case $service in '' | *,*) fail "$refused" "dfs.internal.nameservices does not say which name service is that of this cluster" ;; esac ;;
    esac
}
"#;

/// Looks at the folders of a name node, whatever the exit code of Hadoop says: an argument that it does not know ends it
/// with 0. Sets `named`, of these `full` and `empty`, what stands in them (`ids`, and of the first `cluster_is`,
/// `space` and `pool`), and `images` if there is one.
pub(super) const LOOK: &str = r#"
lines() { tr ', ' '\n\n' | sed 's|^\[[A-Za-z_]*\]||; s|^file:///*|/|; s|\(.\)/*$|\1|' | grep . | sort -u; }
named=$(printf '%s\n' "$dirs" | lines)
found=
if there_is; then
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
# Adds what a folder is of.
count() {
    id="$(field "$1" clusterID) $(field "$1" namespaceID) $(field "$1" blockpoolID)"
    case "$ids" in *"<$id>"*) ;; *) ids="$ids<$id>" ;; esac
    is=${ids#<}; is=${is%%>*}
    cluster_is=${is%% *}; pool=${is##* }; space=${is#* }; space=${space%% *}
}
full= empty= ids= is= images= cluster_is= pool= space=
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
        count "$d"
        for f in "$d"/current/fsimage_*; do case $f in *.md5 | *.ckpt*) ;; *) [ ! -s "$f" ] || images=yes ;; esac; done
    elif [ -n "$(ls -A "$d/current" 2>/dev/null)" ]; then
        fail "$refused" "$d/current holds something, but no VERSION: find out what it is"
    else
        empty="$empty $d"
    fi
done
full=${full# } empty=${empty# }
outputs() { printf 'cluster=%s\nnamespace=%s\nblock_pool=%s\ndirs=%s\n' "$cluster_is" "$space" "$pool" "$(echo $named)" >>"$WEIR_OUTPUT"; }
# Nobody works with the folders, and they can be written.
free() {
    for d in $named; do
        [ -w "$d" ] || fail "$refused" "$who can't write in $d"
        if [ -e "$d/in_use.lock" ] && grep -qs ":$(stat -c %i "$d/in_use.lock") " /proc/locks; then
            fail "$refused" "a name node works with $d: stop it first"
        fi
    done
}
# From here on the same configuration, but for the line that keeps everybody from formatting.
unlock() {
    [ "$unlocked" = yes ] || return 0
    from=${conf:-${HADOOP_CONF_DIR:-/etc/hadoop/conf}}
    conf=$(mktemp -d) || fail "$failed" "there is no room for a configuration"
    trap 'rm -rf "$conf"' EXIT
    trap 'exit 143' TERM
    cp -RL "$from/." "$conf" || fail "$refused" "the configuration $from can't be read"
    allow='<property><name>dfs.namenode.support.allow.format</name><value>true</value></property>'
    sed "s|</configuration>|$allow&|" "$from/hdfs-site.xml" >"$conf/hdfs-site.xml" || fail "$refused" "$from/hdfs-site.xml can't be read"
}
# After $1 has ended well: each of the folders is of one namespace now.
proven() {
    ids=
    for d in $named; do
        [ -e "$d/current/VERSION" ] || fail "$failed" "$1 ended well, but $d is not formatted"
        count "$d"
    done
    [ "$ids" = "<$is>" ] || fail "$failed" "the name directories are of different namespaces now: $ids"
}
"#;

/// Adds where the program and its configuration are.
pub(super) fn schema(own: Schema) -> Schema {
    own.optional(
        "program",
        Schema::text()
            .default("hdfs")
            .describe("Hadoop's program `hdfs`, where it is not found by its name."),
    )
    .optional(
        "conf",
        Schema::text()
            .describe("The folder of its configuration. Without: as the program finds it."),
    )
}

/// Adds the name directories, `unlock` and `reformat`.
pub(super) fn with_dirs(own: Schema) -> Schema {
    own.optional(
        "dirs",
        Schema::one_of([Schema::text(), Schema::list(Schema::text())])
            .describe(
                "The name directories, to be sure: they must be those of `dfs.namenode.name.dir`. Without: whatever that \
                 says.",
            )
            .example(json!(["/mnt/cloudera-hdfs/1/dfs/nn", "/nfsmount/dfs/nn"])),
    )
}

/// Adds the ways past what keeps data and configuration safe.
pub(super) fn with_reformat(own: Schema) -> Schema {
    own.optional(
        "reformat",
        Schema::boolean().default(false).describe(
            "Formats what holds data, too. The job must say in `destroys` what is lost, and a person confirms it.",
        ),
    )
    .optional(
        "unlock",
        Schema::boolean().default(false).describe(
            "Formats empty directories although the configuration says `dfs.namenode.support.allow.format` is false, \
             which keeps everybody else from it.",
        ),
    )
}

/// The setting by which data is lost, if it is or may be on.
pub(super) fn destroys_by(with: &Value) -> Option<&'static str> {
    let reformat = with.get("reformat")?;
    let is_off = reformat == &Value::Bool(false) || reformat.as_str() == Some("false");
    (!is_off).then_some("reformat")
}

/// What is wrong with the name directories.
pub(super) fn check_dirs(with: &Value) -> Vec<Fault> {
    let bad = settings::fixed_texts(with, "dirs").into_iter().find(|dir| !is_dir(dir));
    let fault = |dir: &str| {
        settings::fault(
            "/dirs",
            format!("`{dir}` is no folder from the root on"),
            "several folders are a list; none of them holds a blank or a comma",
        )
    };
    bad.map(fault).into_iter().collect()
}

/// The name directories as a script wants them, when templates have filled them in.
///
/// # Errors
/// One of them can't be a folder.
pub(super) fn read_dirs(dirs: Option<OneOrMany<String>>) -> Result<String, JobError> {
    let dirs = dirs.map_or_else(Vec::new, OneOrMany::into_vec);
    match dirs.iter().find(|dir| !is_dir(dir)) {
        Some(bad) => Err(settings::wrong(format!("`{bad}` is no folder from the root on"))),
        None => Ok(dirs.join("\n")),
    }
}

/// Whether it may be a folder that the scripts take for one word.
fn is_dir(dir: &str) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+=@%".contains(letter);
    dir.len() > 1 && dir.starts_with('/') && dir.chars().all(is_plain)
}

/// Whether it may be a word of Hadoop's that is no option: a dash in front would be one.
pub(super) fn is_word(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphanumeric())
        && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}
