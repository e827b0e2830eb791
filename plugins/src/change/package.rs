//! `package`: what is installed on a host, with apt, dnf or yum, and never a question asked.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::{Change, State, assign, yes_no};
use crate::settings::{self, Flag, OneOrMany};

/// The change that the job type `package` brings about.
pub struct Package;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    name: OneOrMany<String>,
    #[serde(default)]
    state: State,
    #[serde(default = "Flag::yes")]
    recommends: Flag,
    #[serde(default)]
    update: Flag,
}

const SCRIPT: &str = r#"
if command -v apt-get >/dev/null 2>&1; then by=apt
elif command -v dnf >/dev/null 2>&1; then by=dnf
elif command -v yum >/dev/null 2>&1; then by=yum
else fail "$refused" "there is neither apt-get nor dnf nor yum here"; fi
# Whether a package (`name` or `name=version`) is installed.
installed() {
    case $by in
    apt)
        told=$(dpkg-query -W -f='${Status} ${Version}' "${1%%=*}" 2>/dev/null) || return 1
        case $told in "install ok installed "*) ;; *) return 1 ;; esac
        case $1 in *=*) [ "${told##* }" = "${1#*=}" ] ;; *) return 0 ;; esac
        ;;
    *)
        told=$(rpm -q --qf '%{VERSION}-%{RELEASE}' "${1%%=*}" 2>/dev/null) || return 1
        case $1 in *=*) case $told in "${1#*=}" | "${1#*=}-"*) ;; *) return 1 ;; esac ;; *) return 0 ;; esac
        ;;
    esac
}
open=
for p in $names; do
    if installed "$p"; then is=present; else is=absent; fi
    [ "$is" = "$state" ] || open="$open $p"
done
# Never a question, and the files that somebody changed stay as they are.
DEBIAN_FRONTEND=noninteractive; NEEDRESTART_MODE=a; export DEBIAN_FRONTEND NEEDRESTART_MODE
apt() {
    tries=0
    while :; do
        code=0
        apt-get -y -q -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null >"$log" 2>&1 || code=$?
        cat "$log"
        # Somebody else installs just now: unattended upgrades, the first boot.
        tries=$((tries + 1))
        if [ $code -ne 0 ] && [ $tries -lt 60 ]; then
            case $(cat "$log") in *"Could not get lock"* | *"Unable to lock"*) echo "weir waits for the lock of the packages"; sleep 5; continue ;; esac
        fi
        return $code
    done
}
if [ -n "$open" ]; then
    what=install; [ "$state" = present ] || what=remove
    if must packages "$what$open"; then
        if [ "$by" = apt ]; then
            log=$(mktemp); trap 'rm -f "$log"' EXIT
            more=; [ "$recommends" = yes ] || more=--no-install-recommends
            if [ "$what" = install ]; then
                if [ "$update" = yes ]; then apt update || fail "$failed" "the lists of packages can't be fetched"; fi
                code=0
                apt install $more $open || code=$?
                if [ $code -ne 0 ] && [ "$update" != yes ]; then
                    case $(cat "$log") in *"Unable to locate"* | *"Unable to fetch"* | *"Failed to fetch"* | *"no installation candidate"* | *"Version "*" was not found"*)
                        echo "weir fetches the lists of packages and tries once more"
                        apt update || fail "$failed" "the lists of packages can't be fetched"
                        code=0
                        apt install $more $open || code=$? ;;
                    esac
                fi
                [ $code -eq 0 ] || fail "$failed" "apt-get could not install$open"
            else
                apt remove $open || fail "$failed" "apt-get could not remove$open"
            fi
        else
            open=$(echo "$open" | tr = -)
            $by -y -q $what $open </dev/null || fail "$failed" "$by could not $what$open"
        fi
        for p in $names; do
            if installed "$p"; then is=present; else is=absent; fi
            [ "$is" = "$state" ] || fail "$failed" "$p is $is after $by had ended well"
        done
    fi
fi
"#;

impl Change for Package {
    const NAME: &'static str = "package";
    const ABOUT: &'static str = "Sees to it that packages are installed on hosts, or are not; asks nothing there, and does nothing where it is so.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        schema
            .required(
                "name",
                Schema::one_of([Schema::text(), Schema::list(Schema::text())])
                    .describe("The package or packages, each alone or with a version.")
                    .example("zookeeperd")
                    .example(json!(["curl", "mesos=0.19.0~ubuntu14.04+1"])),
            )
            .optional(
                "state",
                Schema::choice(["present", "absent"])
                    .default("present")
                    .describe("Whether they should be installed. Removed packages leave their settings."),
            )
            .optional(
                "recommends",
                Schema::boolean()
                    .default(true)
                    .describe("Whether what a package recommends comes with it (apt)."),
            )
            .optional(
                "update",
                Schema::boolean().default(false).describe(
                    "Whether the lists of packages are fetched first. In any case they are if a package is not found.",
                ),
            )
    }

    fn check(with: &Value) -> Vec<Fault> {
        let bad = settings::fixed_texts(with, "name").into_iter().find(|name| !is_package(name));
        bad.map(|name| {
            settings::fault(
                "/name",
                format!("`{name}` is no package"),
                "several packages are a list",
            )
        })
        .into_iter()
        .collect()
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        let names = settings.name.into_vec();
        if let Some(bad) = names.iter().find(|name| !is_package(name)) {
            return Err(settings::wrong(format!("`{bad}` is no package")));
        }
        if names.is_empty() {
            return Err(settings::wrong("no package is named"));
        }
        let values = assign(&[
            ("names", &names.join(" ")),
            ("state", settings.state.word()),
            ("recommends", yes_no(settings.recommends.0)),
            ("update", yes_no(settings.update.0)),
        ]);
        Ok(format!("{values}{SCRIPT}"))
    }
}

/// Whether it may be a package's name, with or without a version.
fn is_package(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-._:=~@".contains(letter))
}
