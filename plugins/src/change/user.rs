//! `user`: who has an account on a host, in which groups, and whose keys let in.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::{Change, State, assign, yes_no};
use crate::settings::{self, Flag, OneOrMany, Whole};

/// The change that the job type `user` brings about.
pub struct User;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    name: String,
    #[serde(default)]
    state: State,
    uid: Option<Whole>,
    group: Option<String>,
    groups: Option<OneOrMany<String>>,
    home: Option<String>,
    shell: Option<String>,
    #[serde(default)]
    system: Flag,
    keys: Option<OneOrMany<String>>,
}

const SCRIPT: &str = r#"
entry=$(getent passwd "$name") || entry=
if [ "$state" = absent ]; then
    if [ -n "$entry" ] && must gone "remove the user $name (the home stays)"; then
        userdel "$name" || fail "$failed" "the user $name can't be removed"
    fi
    finish
fi
for g in $group $groups; do
    if ! getent group "$g" >/dev/null && must group "make the group $g"; then
        groupadd $([ "$system" != yes ] || echo -r) "$g" || fail "$failed" "the group $g can't be made"
    fi
done
if [ -z "$entry" ]; then
    if must user "make the user $name"; then
        set -- -m
        [ "$system" != yes ] || set -- "$@" -r
        [ -z "$uid" ] || set -- "$@" -u "$uid"
        [ -z "$group" ] || set -- "$@" -g "$group"
        [ -z "$home" ] || set -- "$@" -d "$home"
        set -- "$@" -s "${shell:-/bin/bash}"
        useradd "$@" "$name" || fail "$failed" "the user $name can't be made"
        entry=$(getent passwd "$name") || fail "$failed" "the user $name is not there after useradd had ended well"
    fi
else
    rest=${entry#*:*:}
    is_uid=${rest%%:*}
    is_shell=${entry##*:}
    is_home=${entry%:*}; is_home=${is_home##*:}
    if [ -n "$uid" ] && [ "$uid" != "$is_uid" ]; then
        fail "$refused" "the user $name has the number $is_uid, not $uid: its files would be left behind"
    fi
    if [ -n "$shell" ] && [ "$shell" != "$is_shell" ] && must shell "give $name the shell $shell (it is $is_shell)"; then
        usermod -s "$shell" "$name" || fail "$failed" "the shell of $name can't be set"
    fi
    if [ -n "$home" ] && [ "$home" != "$is_home" ] && must home "give $name the home $home (it is $is_home; nothing is moved)"; then
        usermod -d "$home" "$name" || fail "$failed" "the home of $name can't be set"
    fi
    if [ -n "$group" ] && [ "$(id -gn "$name")" != "$group" ] && must group "give $name the group $group"; then
        usermod -g "$group" "$name" || fail "$failed" "the group of $name can't be set"
    fi
fi
in=" $(id -Gn "$name" 2>/dev/null || true) "
for g in $groups; do
    case $in in *" $g "*) ;; *)
        if must groups "add $name to the group $g"; then
            usermod -a -G "$g" "$name" || fail "$failed" "$name can't be added to the group $g"
        fi ;;
    esac
done
if [ -n "$keys" ]; then
    is_home=${entry%:*}; is_home=${is_home##*:}
    file=$is_home/.ssh/authorized_keys
    missing=
    if [ -z "$entry" ]; then missing=$keys; else
        missing=$(printf '%s\n' "$keys" | while IFS= read -r key; do
            [ -n "$key" ] || continue
            found=
            if [ -r "$file" ]; then while IFS= read -r line; do [ "$line" != "$key" ] || found=yes; done <"$file"; fi
            [ -n "$found" ] || printf '%s\n' "$key"
        done)
    fi
    if [ -n "$missing" ] && must keys "let in $name by $(printf '%s\n' "$missing" | wc -l) more keys"; then
        own=$(id -u "$name"):$(id -g "$name")
        mkdir -p "$is_home/.ssh" && chmod 700 "$is_home/.ssh" && chown "$own" "$is_home/.ssh" || fail "$failed" "the folder of the keys can't be made"
        end=
        if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then end='
'; fi
        printf '%s%s\n' "$end" "$missing" >>"$file" && chmod 600 "$file" && chown "$own" "$file" || fail "$failed" "the keys can't be written"
    fi
fi
if [ "$mode" = act ]; then printf 'uid=%s\nhome=%s\n' "$(id -u "$name")" "$(getent passwd "$name" | cut -d : -f 6)" >>"$WEIR_OUTPUT"; fi
"#;

impl Change for User {
    const NAME: &'static str = "user";
    const ABOUT: &'static str =
        "Sees to it that a user has an account on hosts, with groups and keys, or has none.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        schema
            .required("name", Schema::text().describe("The user.").example("hdfs"))
            .optional(
                "state",
                Schema::choice(["present", "absent"]).default("present").describe(
                    "Whether there should be one. The home of one that is removed stays.",
                ),
            )
            .optional("uid", Schema::integer().minimum(0).describe("The number, for a new user."))
            .optional("group", Schema::text().describe("The first group; made if it is not there."))
            .optional(
                "groups",
                Schema::one_of([Schema::text(), Schema::list(Schema::text())])
                    .describe(
                        "Groups to be in, besides those it is in; made if they are not there.",
                    )
                    .example(json!(["hadoop"])),
            )
            .optional("home", Schema::text().describe("The home. Without: as the host decides."))
            .optional(
                "shell",
                Schema::text().describe("The shell. For a new user, without: `/bin/bash`."),
            )
            .optional(
                "system",
                Schema::boolean().default(false).describe("Whether a new one is a system's user."),
            )
            .optional(
                "keys",
                Schema::one_of([Schema::text(), Schema::list(Schema::text())])
                    .describe("Public keys that let in, besides those that do."),
            )
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        for pointer in ["/name", "/group"] {
            if let Some(name) = settings::fixed(with, pointer)
                && !is_name(name)
            {
                faults.push(settings::fault(
                    pointer,
                    format!("`{name}` is no name of a user or group"),
                    "",
                ));
            }
        }
        faults
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let groups = settings.groups.map_or_else(Vec::new, OneOrMany::into_vec);
        let keys = settings.keys.map_or_else(Vec::new, OneOrMany::into_vec);
        let group = settings.group.unwrap_or_default();
        let named =
            [settings.name.as_str(), &group].into_iter().chain(groups.iter().map(String::as_str));
        if let Some(bad) = named.filter(|name| !name.is_empty()).find(|name| !is_name(name)) {
            return Err(settings::wrong(format!("`{bad}` is no name of a user or group")));
        }
        if settings.name.is_empty() {
            return Err(settings::wrong("the user has no name"));
        }
        let values = assign(&[
            ("name", &settings.name),
            ("state", settings.state.word()),
            ("uid", &settings.uid.map_or_else(String::new, |uid| uid.0.to_string())),
            ("group", &group),
            ("groups", &groups.join(" ")),
            ("home", settings.home.as_deref().unwrap_or_default()),
            ("shell", settings.shell.as_deref().unwrap_or_default()),
            ("system", yes_no(settings.system.0)),
            ("keys", &keys.iter().map(|key| key.trim()).collect::<Vec<_>>().join("\n")),
        ]);
        Ok(format!("{values}{SCRIPT}"))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
}
