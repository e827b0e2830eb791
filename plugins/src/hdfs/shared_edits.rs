//! `hdfs.shared-edits`: the journal nodes hold the edits of a name node that has a namespace already. Journals that hold
//! something are never formatted.

use std::path::Path;

use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::program::{self, LOOK, Plain};
use crate::change::{Change, assign};
use crate::settings;

/// The change that the job type `hdfs.shared-edits` brings about.
pub struct SharedEdits;

/// Fills the journals where there are none. `LOOK` has looked at the name node's own folders.
const SCRIPT: &str = r#"
shared=$(conf_of dfs.namenode.shared.edits.dir)
case $shared in
qjournal://*/?*) ;;
'') if [ "$mode" = plan ]; then echo "unknown whether the configuration will name journal nodes by then: it names none now"; finish; fi
    # Hadoop itself would end well here, and have done nothing.
    fail "$refused" "dfs.namenode.shared.edits.dir is not set: there is no place for shared edits" ;;
*) fail "$refused" "the shared edits $shared are not kept by journal nodes: only qjournal:// is known here" ;;
esac
journal=${shared##*/}
nodes=${shared#qjournal://}; nodes=$(echo "${nodes%/*}" | tr ';' ' ')
port=$(conf_of dfs.journalnode.http-address); port=${port##*:}
if [ -z "$full" ]; then
    if [ "$mode" = plan ]; then must shared "fill the journals of $journal" || true; finish; fi
    fail "$refused" "there is no namespace in $(echo $named) yet: format it, or fetch it"
fi
[ "$ids" = "<$is>" ] || fail "$refused" "the name directories are of different namespaces (cluster, namespace, block pool): $ids"
first=${full%% *}
info="$(field "$first" layoutVersion):$space:$(field "$first" cTime):$cluster_is"
# Sets `down`, `bare`, `same` and `other`: which journal nodes do not answer, have no journal of that name, or of which namespace.
look() {
    down= bare= same= other= all=0
    for node in $nodes; do
        node=${node%:*} all=$((all + 1))
        told=$(get "$node" "${port:-8480}" '/jmx?qry=Hadoop:service=JournalNode,name=JournalNodeInfo') || told=
        case $(printf '%s\n' "$told" | tr -d '\\ ') in
        *"\"$journal\":{\"Formatted\":\"true\"}"*)
            # It hands out edits to its own namespace only, and says so to others.
            told=$(get "$node" "${port:-8480}" "/getJournal?jid=$journal&segmentTxId=0&storageInfo=$info") || told=
            case $told in
            HTTP/*' 403 '*namespaceId*) other="$other $node" ;;
            HTTP/*' 401 '* | HTTP/*' 403 '*) down="$down $node" ;;
            HTTP/*) same="$same $node" ;;
            *) down="$down $node" ;;
            esac ;;
        *'"JournalsStatus":'*) bare="$bare $node" ;;
        *) down="$down $node" ;;
        esac
    done
    down=${down# } bare=${bare# } same=${same# } other=${other# }
}
told_outputs() { printf 'cluster=%s\nnamespace=%s\njournal=%s\nnodes=%s\n' "$cluster_is" "$space" "$journal" "$same" >>"$WEIR_OUTPUT"; }
look
[ -z "$other" ] || fail "$refused" "the journal $journal on $other is of another namespace than $space of $cluster_is: find out whose it is"
many=$(echo $same | wc -w)
if [ -n "$same" ] && [ -n "$bare" ]; then
    [ "$mode" = plan ] || told_outputs
    ask "the journal $journal is on $same, and not on $bare: copy its folder from one to the other while the journal node stands still. To approve is to go on"
elif [ $((many * 2)) -gt "$all" ]; then
    [ "$mode" = plan ] || told_outputs
    finish
elif [ -n "$down" ]; then
    if [ "$mode" = plan ]; then echo "unknown what $down hold: they do not answer on port ${port:-8480}"; must shared "fill the journals of $journal on $(echo $nodes) if they are empty" || true; finish; fi
    fail "$failed" "the journal nodes on $down do not answer on port ${port:-8480}, and all of them are needed to begin with"
fi
if must shared "fill the journals of $journal on $bare with the edits of $(echo $named)"; then
    free
    code=0
    "$program" ${conf:+--config "$conf"} namenode -initializeSharedEdits -nonInteractive </dev/null || code=$?
    [ $code -eq 0 ] || fail "$failed" "$program namenode -initializeSharedEdits ended with code $code"
    look
    [ "$(echo $same | wc -w)" -eq "$all" ] || fail "$failed" "$program namenode -initializeSharedEdits ended well, but the journal $journal is on ${same:-none} only"
    told_outputs
fi
"#;

impl Change for SharedEdits {
    const NAME: &'static str = "hdfs.shared-edits";
    const ABOUT: &'static str = "Sees to it that the journal nodes hold the edits of a name node that was formatted without them; never formats a journal that holds something.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        program::schema(schema)
    }

    fn check(_with: &Value) -> Vec<Fault> {
        Vec::new()
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Plain = settings::read(with, secrets)?;
        let values = assign(&[("dirs", ""), ("unlocked", "no")]);
        Ok(format!("{values}{}{LOOK}{SCRIPT}", settings.ask()))
    }
}
