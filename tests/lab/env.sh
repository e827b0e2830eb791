# What the scripts of the lab share; they source it. Nothing is done here but looking.
# shellcheck shell=bash

lab_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root_dir=$(dirname "$(dirname "$lab_dir")")

# Several labs may stand side by side: each has a name, which all that it makes begins with, and a folder.
LAB_NAME=${LAB_NAME:-weirlab}
LAB_STATE=${LAB_STATE:-$root_dir/.cache/lab}

# The exit code for "not on this machine, or not as this user"; 2 is for a wrong call.
not_here=77

outer_net=10.50.0
inner_net=10.2.14

# Name, number in the outer net, number in the inner net. `up N` takes the first N.
hosts_known='jumpbox 5 5
master1 - 11
slave1 - 21
nginx - 28
master2 - 12
slave2 - 22
master3 - 13
slave3 - 23
dns - 53
proxy 80 80
broker - 31
inner - 29'

# The operator's own machine: in the outer net only, always there, not counted.
operator='ops 2 -'

say() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
}

give_up() {
    say "$1"
    [ -z "${2:-}" ] || printf 'help: %s\n' "$2" >&2
    exit "${3:-1}"
}

usage() {
    # The comment at the top of the script is its help.
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

must_be_able() {
    case $LAB_NAME in
    '' | *[!a-z0-9]*) give_up "the lab's name is \"$LAB_NAME\"" 'set LAB_NAME to small letters and digits' 2 ;;
    esac
    [ "$(id -u)" = 0 ] || give_up 'only root can make hosts out of namespaces' "sudo $0 ..." "$not_here"
}

# Its line of the table: `name outer inner`. Hosts for crowds have numbers: node1 is 10.2.14.101.
host_line() {
    case $1 in
    ops) echo "$operator" ;;
    node[1-9] | node[1-9][0-9] | node1[0-4][0-9] | node150) echo "$1 - $((100 + ${1#node}))" ;;
    *) grep -- "^$1 " <<<"$hosts_known" ;;
    esac
}

# The address under which others know it: the inner one, if it has one.
host_address() {
    local name outer inner
    read -r name outer inner <<<"$(host_line "$1")"
    if [ "$inner" = - ]; then echo "$outer_net.$outer"; else echo "$inner_net.$inner"; fi
}

# The address under which the operator knows it.
host_route_address() {
    local name outer inner
    read -r name outer inner <<<"$(host_line "$1")"
    if [ "$outer" = - ]; then echo "$inner_net.$inner"; else echo "$outer_net.$outer"; fi
}

# The hosts that were ever started here, and not purged.
hosts_here() {
    local folder
    for folder in "$LAB_STATE"/hosts/*/; do
        [ -d "$folder" ] && basename "$folder"
    done
    return 0
}

switch=$LAB_NAME-switch

# The number of the host's first process as this machine sees it; nothing if it does not live.
host_pid() {
    local pid
    pid=$(cat "$LAB_STATE/hosts/$1/pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/ns/net" 2>/dev/null)" = "net:[$(stat -Lc %i "/run/netns/$LAB_NAME-$1" 2>/dev/null)]" ] || return 1
    echo "$pid"
}

# All processes of a host are in a control group of its own, by which it is frozen and ended: of the second version where
# there is one, else of the first one's freezer.
control_groups=
for folder in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -e "$folder/cgroup.procs" ] && [ -e "$folder/cgroup.controllers" ] && control_groups=$folder
done
[ -n "$control_groups" ] || control_groups=/sys/fs/cgroup/freezer

group_of() {
    echo "$control_groups/$LAB_NAME-$1"
}

join_group() {
    mkdir -p "$(group_of "$1")"
    echo "$BASHPID" >"$(group_of "$1")/cgroup.procs"
}

freeze_group() {
    if [ -e "$1/cgroup.freeze" ]; then
        echo "$2" >"$1/cgroup.freeze"
    elif [ "$2" = 1 ]; then
        echo FROZEN >"$1/freezer.state"
    else
        echo THAWED >"$1/freezer.state"
    fi
}

# Runs a command as root in a host. A frozen host's commands wait with it.
in_host() {
    local host=$1 pid
    shift
    pid=$(host_pid "$host") || give_up "the host $host is not up" "$lab_dir/up $host"
    (
        join_group "$host"
        exec nsenter -t "$pid" -m -u -i -n -p -- "$@"
    )
}
