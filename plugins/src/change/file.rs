//! `file`: what stands in a file, whose it is, and who may read it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{AttemptContext, Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::history::{self, Written};
use super::{Change, State, assign, yes_no};
use crate::mask;
use crate::settings::{self, Flag, Word};

/// The most that a file may hold: it goes over the line as text, and is held in memory.
const LARGEST: u64 = 16 << 20;

/// The change that the job type `file` brings about.
pub struct File;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    path: String,
    content: Option<String>,
    source: Option<String>,
    #[serde(default)]
    state: State,
    owner: Option<Word>,
    group: Option<Word>,
    mode: Option<Word>,
    validate: Option<String>,
    #[serde(default = "Flag::yes")]
    backup: Flag,
    #[serde(default)]
    make_folders: Flag,
    undo: Option<String>,
}

/// Looks and acts. `content` prints what is to stand there.
const SCRIPT: &str = r#"
umask 022
case $path in /*) ;; *) fail "$wrong" "the path $path does not begin at the root" ;; esac
# What a link leads to is meant.
if [ -L "$path" ]; then path=$(readlink -f "$path") || fail "$refused" "the link $path leads nowhere"; fi
dir=$(dirname "$path")
[ ! -d "$path" ] || fail "$refused" "$path is a folder"
[ ! -e "$path" ] || [ -f "$path" ] || fail "$refused" "$path is no regular file"
[ ! -e "$path" ] || [ -r "$path" ] || fail "$refused" "$path can't be read: see become"
backup=
back=
save() {
    [ "$keep" = yes ] || return 0
    backup=$path.before-run-${WEIR_RUN:-0}
    cp -p "$path" "$backup" || fail "$failed" "the old file can't be kept as $backup"
    back=$backup
}
if [ "$undoing" = yes ]; then
    if [ "$mode$unknown" = planyes ]; then echo "unknown whether there is anything to undo: it is known when it runs"; finish; fi
    case $undo in
        '') [ "$mode" = plan ] || printf 'path=%s\nundo=\n' "$path" >>"$WEIR_OUTPUT"; finish ;;
        remove) state=absent keep=no ;;
        "$path".before-run-*)
            [ -f "$undo" ] && [ ! -L "$undo" ] || fail "$refused" "the copy $undo is gone"
            owner=$(stat -c %u "$undo") group=$(stat -c %g "$undo") access=$(stat -c %a "$undo") keep=no
            ;;
        *) fail "$wrong" "undo is no output of a job that wrote $path: $undo" ;;
    esac
fi
if [ "$state" = absent ]; then
    if [ -e "$path" ] && must gone "remove $path"; then
        save
        rm -f "$path" || fail "$failed" "$path can't be removed"
    fi
    [ "$mode" = plan ] || printf 'path=%s\nbackup=%s\nundo=%s\n' "$path" "$backup" "$back" >>"$WEIR_OUTPUT"
    finish
fi
diff=
want=$(content | sha256sum) || fail "$failed" "the content can't be read"
old=absent
[ ! -e "$path" ] || old=$(sha256sum <"$path")
show() {
    if [ "$hidden" = yes ]; then echo "(what changes is not shown: it holds secrets)"
    elif [ "$undoing" = yes ]; then echo "(what changes is not shown: it may hold secrets)"
    elif [ "$mode$unknown" = planyes ]; then echo "(what changes is not shown: what is to stand there is known when it runs)"
    elif ! command -v diff >/dev/null 2>&1; then echo "(what changes is not shown: there is no diff here)"
    else
        before=$path; [ -e "$path" ] || before=/dev/null
        content | diff -u --label "$path" --label "$path (new)" "$before" - || true
    fi
}
rights() {
    if [ -n "$owner" ]; then chown "$owner" "$1" || fail "$refused" "the owner $owner can't be set"; fi
    if [ -n "$group" ]; then chgrp "$group" "$1" || fail "$refused" "the group $group can't be set"; fi
    if [ -n "$access" ]; then chmod "$access" "$1" || fail "$wrong" "the mode $access can't be set"; fi
}
if [ "$want" != "$old" ]; then
    what="write $path"
    if [ "$old" = absent ]; then what="create $path"; fi
    if must content "$what"; then
        if [ "$folders" = yes ]; then mkdir -p "$dir" || fail "$failed" "the folder $dir can't be made"; fi
        [ -d "$dir" ] || fail "$refused" "there is no folder $dir (make-folders makes it)"
        new=$dir/.weir.${WEIR_RUN:-0}.$$
        # Made by us or not at all.
        (umask 077; set -C; : >"$new") 2>/dev/null || fail "$refused" "nothing can be written in $dir"
        trap 'rm -f "$new"' EXIT
        trap 'exit 143' TERM
        content >"$new" || fail "$failed" "no room for it in $dir"
        if [ "$old" = absent ]; then chmod 644 "$new"; else
            chown --reference="$path" "$new" 2>/dev/null || true
            chmod --reference="$path" "$new" || fail "$failed" "the mode of the old file can't be kept"
        fi
        rights "$new"
        if [ -n "$validate" ]; then
            case $validate in *'{}'*) ;; *) fail "$wrong" "validate has no {} where the file is meant" ;; esac
            check=$(printf '%s' "$validate" | sed "s|{}|$new|g")
            sh -c "$check" || fail "$refused" "the new $path is not valid: $validate ended with code $?; nothing was changed"
        fi
        show
        if [ "$old" != absent ]; then save; fi
        mv -f "$new" "$path" || fail "$failed" "$path can't be replaced"
        trap - EXIT
        if [ "$old" = absent ] && [ "$undoing" = no ]; then back=remove; fi
    else
        if [ ! -d "$dir" ] && [ "$folders" != yes ]; then fail "$refused" "there is no folder $dir (make-folders makes it)"; fi
        diff=$(mktemp) || fail "$failed" "there is no room for the difference"
        show >"$diff"
    fi
fi
if [ -e "$path" ]; then
    is=$(stat -c '%U %u %G %g %a' "$path")
    set -- $is
    if [ -n "$owner" ] && [ "$owner" != "$1" ] && [ "$owner" != "$2" ] && must owner "give $path to $owner (it is $1's)"; then rights "$path"; fi
    if [ -n "$group" ] && [ "$group" != "$3" ] && [ "$group" != "$4" ] && must group "give $path to the group $group (it is $3's)"; then rights "$path"; fi
    if [ -n "$access" ] && [ "${access#0}" != "$5" ] && must mode "set the mode of $path to $access (it is $5)"; then rights "$path"; fi
fi
if [ "$mode" = plan ]; then
    if [ -n "$diff" ]; then echo diff; cat "$diff"; rm -f "$diff"; fi
    finish
fi
printf 'path=%s\nsha256=%s\nbackup=%s\nundo=%s\n' "$path" "${want%% *}" "$backup" "$back" >>"$WEIR_OUTPUT"
"#;

impl Change for File {
    const NAME: &'static str = "file";
    const ABOUT: &'static str =
        "Sees to it that a file stands as it should, on hosts or here; does nothing where it does.";
    const IS_FOR_HERE: bool = true;

    fn schema(schema: Schema) -> Schema {
        let word = || Schema::one_of([Schema::text(), Schema::number()]);
        schema
            .required(
                "path",
                Schema::text()
                    .describe("The file, from the root on. If it is a link, what it leads to.")
                    .example("/etc/mesos/zk"),
            )
            .optional(
                "content",
                Schema::text()
                    .describe("What is to stand in it. Give this or `source`.")
                    .example("zk://{{ params.masters }}/mesos\n"),
            )
            .optional(
                "source",
                Schema::text()
                    .describe("A file of this machine to copy, from the flow's folder on. At most 16 MiB."),
            )
            .optional(
                "state",
                Schema::choice(["present", "absent"])
                    .default("present")
                    .describe("Whether it should be there."),
            )
            .optional("owner", word().describe("Whose it is. Without: as it was, or who writes it."))
            .optional("group", word().describe("Its group. Without: as it was."))
            .optional(
                "mode",
                word()
                    .describe("Who may do what, in octal and as a text. Without: as it was, or `0644`.")
                    .example("0640"),
            )
            .optional(
                "validate",
                Schema::text()
                    .describe("A command that must end well before the new file takes its place; `{}` is the new file.")
                    .example("named-checkconf {}"),
            )
            .optional(
                "backup",
                Schema::boolean()
                    .default(true)
                    .describe("Whether the old file is kept beside it, as `PATH.before-run-N`."),
            )
            .optional(
                "make-folders",
                Schema::boolean().default(false).describe("Whether missing folders are made."),
            )
            .optional(
                "undo",
                Schema::text()
                    .describe(
                        "The output `undo` of the job that wrote the file: it stands again as before that job, with its \
                         owner and mode, or is gone again. Empty: that job changed nothing. Give this instead of `content`.",
                    )
                    .example("{{ jobs.config.outputs.undo }}"),
            )
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let absent = with.get("state").and_then(Value::as_str) == Some("absent");
        let undo = with.get("undo").is_some();
        let others = ["content", "source", "state", "owner", "group", "mode"];
        if let Some(other) = others.iter().find(|key| undo && with.get(**key).is_some()) {
            faults.push(settings::fault(
                &format!("/{other}"),
                format!("`{other}` has no meaning beside `undo`: the file becomes what it was"),
                "keep one of them",
            ));
        }
        match (with.get("content"), with.get("source")) {
            (Some(_), Some(_)) => faults.push(settings::fault(
                "/source",
                "`content` and `source` can't both stand in it",
                "keep one of them",
            )),
            (None, None)
                if !absent
                    && !undo
                    && ["owner", "group", "mode"].iter().all(|key| with.get(key).is_none()) =>
            {
                faults.push(settings::fault(
                    "",
                    "it does not say what is to stand in the file",
                    "give it `content`, or a `source` to copy",
                ));
            }
            _ => {}
        }
        if let Some(path) = settings::fixed(with, "/path")
            && !path.starts_with('/')
        {
            faults.push(settings::fault(
                "/path",
                format!("`{path}` does not begin at the root"),
                "write the whole path, such as /etc/hosts",
            ));
        }
        if let Some(mode) = settings::fixed(with, "/mode")
            && !is_mode(mode)
        {
            faults.push(settings::fault(
                "/mode",
                format!("`{mode}` is no mode"),
                "write it in octal, such as 0644",
            ));
        }
        if with.get("mode").is_some_and(Value::is_number) {
            faults.push(settings::fault(
                "/mode",
                "a mode is a text: as a number it may be read as decimal",
                "write it in quotes, such as '0644'",
            ));
        }
        if let Some(validate) = settings::fixed(with, "/validate")
            && !validate.contains("{}")
        {
            faults.push(settings::fault(
                "/validate",
                "it does not say where the new file is meant",
                "write `{}` there",
            ));
        }
        faults
    }

    fn script(with: &Value, folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let content: Option<Vec<u8>> = match (&settings.content, &settings.source) {
            (Some(content), None) => Some(content.clone().into_bytes()),
            (None, Some(source)) => Some(read(&folder.join(source))?),
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(settings::wrong("`content` and `source` can't both stand in the file"));
            }
        };
        let mode = settings.mode.as_ref().map_or("", |mode| mode.0.as_str());
        if !mode.is_empty() && !is_mode(mode) {
            return Err(settings::wrong(format!(
                "`{mode}` is no mode: write it in octal, such as 0644"
            )));
        }
        let text = content.as_deref().map(String::from_utf8_lossy);
        let hidden = text.is_some_and(|text| mask::find(&text, secrets).is_some());
        // What can't be filled in yet, as in a plan, may hold a secret, too; and so may what stands there now.
        let open = settings.content.as_deref().or(settings.undo.as_deref());
        let is_unknown = open.is_some_and(settings::is_template);
        let word = |word: &Option<Word>| word.as_ref().map_or(String::new(), |word| word.0.clone());
        let values = assign(&[
            ("path", &settings.path),
            ("state", settings.state.word()),
            ("owner", &word(&settings.owner)),
            ("group", &word(&settings.group)),
            ("access", mode),
            ("validate", settings.validate.as_deref().unwrap_or_default()),
            ("keep", yes_no(settings.backup.0)),
            ("folders", yes_no(settings.make_folders.0)),
            ("hidden", yes_no(hidden)),
            ("unknown", yes_no(is_unknown)),
            ("undoing", yes_no(settings.undo.is_some())),
            ("undo", settings.undo.as_deref().unwrap_or_default()),
        ]);
        let print = match content {
            Some(content) => {
                format!("content() {{\nbase64 -d <<'WEIR_END'\n{}WEIR_END\n}}\n", base64(&content))
            }
            None if settings.undo.is_some() => "content() { cat \"$undo\"; }\n".to_owned(),
            // Only its rights are meant.
            None => "content() { cat \"$path\"; }\n".to_owned(),
        };
        Ok(format!("{values}{print}{SCRIPT}"))
    }

    fn keep(with: &Value, cx: &AttemptContext) {
        let records = cx.host.as_ref().and_then(|route| route.records.as_ref());
        let Some((records, settings)) =
            records.zip(settings::read::<Settings>(with, &cx.secrets).ok())
        else {
            return;
        };
        let bytes = match (&settings.content, &settings.source) {
            (Some(content), _) => Some(content.clone().into_bytes()),
            (None, Some(source)) => read(&cx.working_dir.join(source)).ok(),
            (None, None) => None,
        };
        let is_gone = settings.state == State::Absent || settings.undo.as_deref() == Some("remove");
        let bytes = match settings.undo {
            Some(_) if !is_gone => history::before(records, &settings.path),
            Some(_) | None => bytes,
        };
        // Where only its rights were changed, or no flow wrote what stands there again, nobody here knows it.
        if bytes.is_none() && !is_gone {
            return;
        }
        let text = bytes.filter(|_| !is_gone);
        let written = Written {
            path: &settings.path,
            owner: settings.owner.as_ref().map(|owner| owner.0.as_str()),
            mode: settings.mode.as_ref().map(|mode| mode.0.as_str()),
            text: text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        };
        if let Err(error) = history::keep(records, &written, cx) {
            cx.log.line(&format!("what was written could not be kept for later: {error}"));
        }
    }
}

fn is_mode(mode: &str) -> bool {
    (3..=5).contains(&mode.len()) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
}

fn read(path: &Path) -> Result<Vec<u8>, JobError> {
    let wrong =
        |why: String| settings::wrong(format!("`source` can't be read: {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !size.is_file() {
        return Err(wrong("it is no regular file".to_owned()));
    }
    if size.len() > LARGEST {
        return Err(wrong(format!("it has {} bytes, and at most 16 MiB are copied", size.len())));
    }
    std::fs::read(path).map_err(|error| wrong(error.to_string()))
}

/// Base64 (RFC 4648) in lines of 76.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 8);
    for line in bytes.chunks(57) {
        for three in line.chunks(3) {
            let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            for letter in 0..4 {
                let is_there = letter <= three.len();
                let code = (bits >> (18 - 6 * letter) & 63) as usize;
                out.push(if is_there { char::from(LETTERS[code]) } else { '=' });
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_everybody_writes_it() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg==\n"),
            (b"fo", "Zm8=\n"),
            (b"foo", "Zm9v\n"),
            (b"foobar", "Zm9vYmFy\n"),
        ] {
            assert_eq!(base64(bytes), text);
        }
        let lines = base64(&[0; 60]);
        assert_eq!(lines.lines().map(str::len).collect::<Vec<_>>(), [76, 4]);
    }
}
