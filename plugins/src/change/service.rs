//! `service`: whether a service of a host runs, now and after the next boot, under systemd, upstart or the scripts of System V.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{Fault, JobError};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use super::{Change, assign};
use crate::settings::{self, Flag, Span};

/// The change that the job type `service` brings about.
pub struct Service;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    _become: Option<Value>,
    name: String,
    state: Option<String>,
    enabled: Option<Flag>,
    within: Option<Span>,
}

const SCRIPT: &str = r#"
if [ -d /run/systemd/system ]; then by=systemd
elif command -v initctl >/dev/null 2>&1 && initctl version 2>/dev/null | { read -r told; case $told in *upstart*) true ;; *) false ;; esac; } && [ -e "/etc/init/$name.conf" ]; then by=upstart
elif [ -x "/etc/init.d/$name" ]; then by=sysv
elif command -v initctl >/dev/null 2>&1 && [ -e "/etc/init/$name.conf" ]; then by=upstart
else fail "$refused" "there is no service $name here"; fi
# running or stopped
now() {
    code=0
    case $by in
    systemd)
        told=$(systemctl is-active "$name" 2>&1) || code=$?
        case $told in active | reloading) echo running ;; activating | deactivating) echo changing ;; *) echo stopped ;; esac ;;
    upstart)
        told=$(status "$name" 2>&1) || code=$?
        case $told in
        *" start/running"*) echo running ;;
        *" stop/waiting"*) echo stopped ;;
        *"Unknown instance"*) echo stopped ;;
        *"Unknown job"*) echo unknown ;;
        *) echo changing ;;
        esac ;;
    sysv)
        "/etc/init.d/$name" status >/dev/null 2>&1 </dev/null || code=$?
        case $code in 0) echo running ;; *) echo stopped ;; esac ;;
    esac
}
# Does something to it; what it says when there was nothing to do is no mistake.
to() {
    code=0
    case $by in
    systemd) told=$(systemctl "$1" "$name" 2>&1 </dev/null) || code=$? ;;
    upstart) told=$("$1" "$name" 2>&1 </dev/null) || code=$? ;;
    sysv) told=$("/etc/init.d/$name" "$1" 2>&1 </dev/null) || code=$? ;;
    esac
    [ -z "$told" ] || echo "$told"
    case $code:$told in
    0:*) return 0 ;;
    *"already running"* | *"Unknown instance"*) return 0 ;;
    *"Unknown job"* | *"unrecognized service"* | *"not found"* | *"not loaded"*) fail "$refused" "there is no service $name here: $told" ;;
    esac
    fail "$failed" "$1 $name ended with code $code: $(echo "$told" | tail -n 1)"
}
await() {
    n=0
    until is=$(now); [ "$is" = "$1" ]; do
        n=$((n + 1))
        [ $n -le "$tenths" ] || fail "$failed" "$name is $is $((tenths / 10)) s after it was told otherwise"
        sleep 0.1
    done
}
is=$(now)
[ "$is" != unknown ] || fail "$refused" "there is no service $name here"
if [ -n "$enabled" ]; then
    at_boot=no
    case $by in
    systemd)
        told=$(systemctl is-enabled "$name" 2>/dev/null) || true
        case $told in enabled* | static | alias | indirect | generated) at_boot=yes ;; esac ;;
    upstart)
        at_boot=yes
        # The last word counts, and an override has it.
        for f in "/etc/init/$name.conf" "/etc/init/$name.override"; do
            [ -r "$f" ] || continue
            while read -r word rest; do
                case $word in manual) at_boot=no ;; start) case $rest in on*) at_boot=yes ;; esac ;; esac
            done <"$f"
        done ;;
    sysv)
        for f in /etc/rc[2345].d/S[0-9][0-9]"$name"; do [ -e "$f" ] && at_boot=yes; done
        true ;;
    esac
    if [ "$at_boot" != "$enabled" ]; then
        if [ "$enabled" = yes ]; then
            if must enabled "have $name start at boot"; then
                case $by in
                systemd) to enable ;;
                upstart)
                    f=/etc/init/$name.override
                    kept=
                    if [ -e "$f" ]; then kept=$(while IFS= read -r line; do case $line in manual | "manual "*) ;; *) printf '%s\n' "$line" ;; esac; done <"$f"); fi
                    if [ -n "$kept" ]; then printf '%s\n' "$kept" >"$f"; else rm -f "$f"; fi
                    initctl reload-configuration >/dev/null 2>&1 || true ;;
                sysv)
                    if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$name" defaults && update-rc.d "$name" enable
                    else chkconfig "$name" on; fi || fail "$failed" "$name can't be made to start at boot" ;;
                esac
            fi
        elif must enabled "keep $name from starting at boot"; then
            case $by in
            systemd) to disable ;;
            upstart)
                echo manual >>"/etc/init/$name.override" || fail "$failed" "its override can't be written"
                initctl reload-configuration >/dev/null 2>&1 || true ;;
            sysv)
                if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$name" disable
                else chkconfig "$name" off; fi || fail "$failed" "$name can't be kept from starting at boot" ;;
            esac
        fi
    fi
fi
case $state in
running)
    if [ "$is" = changing ]; then [ "$mode" = plan ] || await running
    elif [ "$is" != running ] && must state "start $name"; then to start; await running; fi ;;
stopped)
    if [ "$is" != stopped ] && must state "stop $name"; then to stop; await stopped; fi ;;
restarted)
    if must state "restart $name"; then
        # Upstart's own restart would keep the old definition of the job.
        if [ "$by" = upstart ] || [ "$is" = stopped ]; then
            if [ "$is" != stopped ]; then to stop; await stopped; fi
            to start
        else to restart; fi
        await running
    fi ;;
reloaded)
    if [ "$is" = running ]; then
        if must state "reload $name"; then to reload; await running; fi
    elif must state "start $name"; then to start; await running; fi ;;
esac
if [ "$mode" = act ]; then printf 'by=%s\nstate=%s\n' "$by" "$(now)" >>"$WEIR_OUTPUT"; fi
"#;

impl Change for Service {
    const NAME: &'static str = "service";
    const ABOUT: &'static str = "Sees to it that a service of hosts runs or does not, now and after the next boot: systemd, upstart or SysV.";
    const IS_FOR_HERE: bool = false;

    fn schema(schema: Schema) -> Schema {
        schema
            .required("name", Schema::text().describe("The service.").example("zookeeper"))
            .optional(
                "state",
                Schema::choice(["running", "stopped", "restarted", "reloaded"]).describe(
                    "What it should be. `restarted` and `reloaded` do so each time; use them where something has changed.",
                ),
            )
            .optional(
                "enabled",
                Schema::boolean().describe(
                    "Whether it starts at boot. Upstart is told by an override, systemd and SysV by their own commands.",
                ),
            )
            .optional(
                "within",
                Schema::span().default("30s").describe("How long it may take until it runs or has ended."),
            )
    }

    fn check(with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        if with.get("state").is_none() && with.get("enabled").is_none() {
            faults.push(settings::fault(
                "",
                "it does not say what the service should be",
                "give it a `state` or `enabled`",
            ));
        }
        if let Some(name) = settings::fixed(with, "/name")
            && !is_service(name)
        {
            faults.push(settings::fault("/name", format!("`{name}` is no service"), ""));
        }
        faults
    }

    fn script(with: &Value, _folder: &Path, secrets: &[Secret]) -> Result<String, JobError> {
        let settings: Settings = settings::read(with, secrets)?;
        if !is_service(&settings.name) {
            return Err(settings::wrong(format!("`{}` is no service", settings.name)));
        }
        let enabled = match settings.enabled {
            None => "",
            Some(Flag(true)) => "yes",
            Some(Flag(false)) => "no",
        };
        let tenths = settings.within.map_or(300, |within| within.0.as_millis() / 100);
        let values = assign(&[
            ("name", &settings.name),
            ("state", settings.state.as_deref().unwrap_or_default()),
            ("enabled", enabled),
            ("tenths", &tenths.to_string()),
        ]);
        Ok(format!("{values}{SCRIPT}"))
    }
}

fn is_service(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-._:@".contains(letter))
}
