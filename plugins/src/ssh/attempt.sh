# An attempt's folder on a host, and who watches over it. Asks for sh and coreutils, and takes setsid where there is one.
# In it: `begun`, made exclusively by the one process that does the work; `leader` that process and the boot it belongs
# to; `work` the work's first process; `log`, `output` what it leaves; `from` where the log begins, if not at its begin;
# `reader` who hands it out; `guard` who bounds it; `exit` how it ended; `fenced` it must never begin.
# What the work is given is written nowhere, but for its input and a long script, which are gone once it has begun.
say() { printf 'weir:%s\n' "$*" >&2; }
boot() { read -r boot </proc/sys/kernel/random/boot_id || boot=unknown; } 2>/dev/null
# The fields of a process after its name: its state is the first, the time it started the twentieth.
stat_of() { read -r stat <"/proc/$1/stat" || return 1; stat=${stat##*) }; } 2>/dev/null
# Whether the leader is there, and does not only wait to be reaped. It is `p`, of boot `b`.
alive() { read -r b p s <leader && [ "$b" = "$boot" ] && stat_of "$p" && set -- $stat && [ "$1" != Z ] && [ "${20}" = "$s" ]; } 2>/dev/null
mine() { d=$1/$id; [ -d "$d" ] && [ -O "$d" ] && cd "$d"; }
find_attempt() {
    mine "${HOME:-/nonexistent}/.weir/attempts" && return
    for b in /var/tmp/weir-*; do
        if [ -d "$b" ]; then mine "/var/tmp/weir-$(id -u)/attempts"; return; fi
    done
    return 1
}
# Makes the folder, in the home if that can be; `mask` is what the user has files made with.
make_attempt() {
    top=${HOME:-/nonexistent}/.weir
    # Mostly all but the folder itself is there: then this is the only program that runs for it.
    mask=$(umask; umask 077; exec mkdir "$top/attempts/$id" 2>/dev/null)
    umask 077
    [ ! -L "$top" ] && mine "$top/attempts" && return
    for top in "$top" "/var/tmp/weir-$(id -u)"; do
        mkdir -p "$top/attempts" 2>/dev/null && [ -O "$top" ] && [ ! -L "$top" ] || continue
        mkdir "$top/attempts/$id" 2>/dev/null
        mine "$top/attempts" && return
    done
    say "failed no folder can be made in ${HOME:-/nonexistent} nor in /var/tmp: $(mkdir "$top/attempts/$id" 2>&1)"
    exit 0
}
# Whoever makes it decides: the work begins, or never does.
claim() { set -C; { true >begun; } 2>/dev/null; claimed=$?; set +C; return $claimed; }
here() { [ "/proc/$1/cwd" -ef . ]; }
# Sees to it that the log takes no more room than `limit`, also where nobody fetches it: its older part goes.
guard() {
    if [ -s guard ] && read -r g <guard && here "$g"; then return; fi
    (
        trap '' HUP PIPE
        trap 'kill $z; exit 0' TERM
        read -r stat </proc/self/stat
        echo "${stat%% *}" >guard
        pause=5
        while sleep $pause & z=$!; wait $z; alive; do
            set -- $(stat -c '%s %b' log)
            pause=5
            [ "$2" -lt $((limit / 1024)) ] || pause=0.5
            [ "$2" -lt $((limit / 512)) ] || drop $(($1 - limit / 4 * 3))
        done
    ) </dev/null >/dev/null 2>&1 & g=$!
}
# Nobody reads what goes: first the word, then the deed. Where that can't be done the log stays as it is.
drop() {
    old=0
    [ ! -s from ] || read -r old <from
    echo $(($1 / 65536 * 65536)) >from.new && mv from.new from || return
    if read -r r <reader && here "$r"; then
        kill "$r"
        while here "$r"; do sleep 0.05; done
    fi
    read -r at <from
    fallocate -p -l "$at" log || { echo "$old" >from; exit 0; }
}
