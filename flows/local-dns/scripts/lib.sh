# What the other scripts share. Read with `.`; does nothing by itself.

# named and its tools live in sbin, which an ordinary user's PATH may lack.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
umask 077

# Ends the script: what is wrong, and what would be right.
fail() {
    echo "error: $1" >&2
    [ $# -lt 2 ] || echo "help: $2" >&2
    exit 1
}

# Hands a value on to the jobs that follow. Without Weir it goes to the log only.
output() {
    echo "$1=$2"
    [ -z "${WEIR_OUTPUT:-}" ] || echo "$1=$2" >>"$WEIR_OUTPUT"
}

# The folder that everything happens in: what was asked for, or one of this user's own for temporary files.
work_folder() {
    echo "${1:-${TMPDIR:-/tmp}/weir-local-dns-$(id -u)}"
}

# Waits a tenth of a second; a whole one where sleep knows no fractions.
a_moment() {
    sleep 0.1 2>/dev/null || sleep 1
}

# Whether process PID is the server of folder DIR. A pid file proves nothing: its process may have died and the number
# gone to another program. So the process must have been started with this folder's configuration.
is_server() (
    if [ -r "/proc/$2/cmdline" ]; then
        arguments=$(tr '\0' ' ' <"/proc/$2/cmdline")
    else
        arguments=$(ps -o args= -p "$2" 2>/dev/null) || exit 1
    fi
    case "$arguments" in
    *" -c $1/current/named.conf "*) exit 0 ;;
    *) exit 1 ;;
    esac
)

# The process id of the server of folder DIR, if it runs.
server_pid() (
    read -r pid 2>/dev/null <"$1/run/named.pid" || exit 1
    case "$pid" in '' | *[!0-9]*) exit 1 ;; esac
    is_server "$1" "$pid" || exit 1
    echo "$pid"
)

# The serial of a zone file that render.sh wrote.
serial_of() {
    sed -n 's/^ *\([0-9]*\) ; serial:.*/\1/p' "$1"
}

# What the server of the folder says in its log, for people who look for the cause.
show_server_log() {
    [ ! -s "$1/run/named.log" ] || {
        echo "--- the end of $1/run/named.log"
        tail -n 15 "$1/run/named.log"
    }
}
