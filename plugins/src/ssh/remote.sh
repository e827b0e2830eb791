# What runs on a host for an attempt there. Asks for sh and coreutils, and takes setsid where there is one.
# The folder of an attempt: `run` what is to be done; `env`, `script`, `stdin` its input, gone once it has begun; `begun`
# made exclusively by the one process that does it; `leader` that process and the boot it belongs to; `work` the work's
# first process; `log`, `output` what it leaves; `alive` a pipe that the leader holds open; `exit` how it ended;
# `fenced` it must never begin.
mask=$(umask)
umask 077
say() { printf 'weir:%s\n' "$*" >&2; }
boot() { read -r boot </proc/sys/kernel/random/boot_id || boot=unknown; } 2>/dev/null
stat_of() { read -r stat <"/proc/$1/stat" || return 1; stat=${stat##*) }; } 2>/dev/null
# The time a process started; nothing if it is not there or only waits to be reaped.
started() { stat_of "$1" && set -- $stat && [ "$1" != Z ] && echo "${20}"; }
find_attempt() {
    for b in "${HOME:-/nonexistent}/.weir/attempts" "/var/tmp/weir-$(id -u)/attempts"; do
        d=$b/$id
        if [ -d "$d" ] && [ -O "$d" ]; then cd "$d" && return 0; fi
    done
    return 1
}
# An empty folder beside the attempts, which becomes this one in one step when it is whole.
stage() {
    for b in "${HOME:-/nonexistent}/.weir/attempts" "/var/tmp/weir-$(id -u)/attempts"; do
        new=$b/$id.new.$$
        top=${b%/attempts}
        mkdir -p "$b" 2>/dev/null && [ -O "$top" ] && [ ! -L "$top" ] && mkdir "$new" 2>/dev/null && cd "$new" && return 0
    done
    say "failed no folder can be made in ${HOME:-/nonexistent} nor in /var/tmp: $(mkdir "$new" 2>&1)"
    exit 0
}
claim() { d=${new%.new.*}; mv -T "$new" "$d" 2>/dev/null || rm -rf "$new"; cd "$d"; }
alive() {
    boot
    read -r b p s <leader && [ "$b" = "$boot" ] && [ "$(started "$p")" = "$s" ]
} 2>/dev/null
begin() {
    if command -v setsid >/dev/null 2>&1; then
        setsid sh ./run "$mask" </dev/null >/dev/null 2>&1 &
    else
        (trap '' HUP; exec sh ./run "$mask") </dev/null >/dev/null 2>&1 &
    fi
    # It is one who makes `begun`; whoever comes later goes away again.
    n=0
    until [ -e leader ] || [ -e exit ] || [ -e fenced ]; do
        n=$((n + 1))
        [ $n -lt 500 ] || { say "failed its leader does not begin"; exit 0; }
        sleep 0.02
    done
}
launch() {
    if find_attempt; then
        found=found
    else
        found=launched
        stage
        { head -c "$runs" >run && head -c "$envs" >env && head -c "$scripts" >script && head -c "$inputs" >stdin &&
            : >log && mkfifo alive; } 2>err || { why=$(cat err); cd /; rm -rf "$new"; say "failed ${why:-No space left on device}"; exit 0; }
        rm -f err
        # Cut off on its way: nothing has been launched.
        [ "$(stat -c %s run env script stdin | tr '\n' ' ')" = "$runs $envs $scripts $inputs " ] || { cd /; rm -rf "$new"; exit 0; }
        claim
    fi
    boot
    [ -e fenced ] && { say fenced; exit 0; }
    [ -e begun ] || begin
    say "$found $boot"
}
# What belongs to the work: its session, whoever carries its mark, and all that descends from those.
members() {
    read -r w s 2>/dev/null <work || w=none
    marked=
    if command -v grep >/dev/null 2>&1; then
        for f in $(grep -lF "WEIR_ATTEMPT=$id" /proc/[0-9]*/environ 2>/dev/null); do f=${f#/proc/}; marked="$marked ${f%/environ}"; done
    else
        for f in /proc/[0-9]*/environ; do
            [ -r "$f" ] || continue
            case $(tr '\0' '\n' 2>/dev/null <"$f") in *"WEIR_ATTEMPT=$id"*) f=${f#/proc/}; marked="$marked ${f%/environ}" ;; esac
        done
    fi
    set_of=" $marked "
    grown=yes
    while [ -n "$grown" ]; do
        grown=
        for p in /proc/[0-9]*; do
            p=${p#/proc/}
            case $set_of in *" $p "*) continue ;; esac
            stat_of "$p" || continue
            set -- $stat
            if [ "$p" = "$w" ] || [ "$4" = "$w" ]; then set_of="$set_of$p "; grown=yes; continue; fi
            case $set_of in *" $2 "*) set_of="$set_of$p "; grown=yes ;; esac
        done
    done
    # Not those that only wait to be reaped, nor this shell.
    for p in $set_of; do
        if [ "$p" != $$ ] && stat_of "$p"; then set -- $stat; [ "$1" = Z ] || printf '%s ' "$p"; fi
    done
}
# TERM, a while, KILL; tells what is left.
end_tree() {
    left=$(members)
    [ -n "$left" ] || return 0
    kill -TERM $left 2>/dev/null
    kill -CONT $left 2>/dev/null
    n=0
    while [ $n -lt "$1" ]; do
        sleep 0.1
        n=$((n + 1))
        left=$(members)
        [ -n "$left" ] || return 0
    done
    n=0
    while [ $n -lt 50 ]; do
        kill -KILL $left 2>/dev/null
        sleep 0.1
        n=$((n + 1))
        left=$(members)
        [ -n "$left" ] || return 0
    done
    return 1
}
size() { stat -c %s log 2>/dev/null || echo 0; }
# How it stands with an attempt whose leader is not there.
judge() {
    if [ -e fenced ] && [ ! -e exit ]; then say fenced; return; fi
    how=
    # Without its newline it does not count.
    if [ -f exit ] && read -r how <exit; then say "ended $how $(size)"; return; fi
    boot
    read -r b p s 2>/dev/null <leader || b=$boot
    if [ "$b" != "$boot" ]; then say "lost rebooted $(size)"; return; fi
    if end_tree 50; then say "lost killed $(size)"; else say "lost stuck $(size)"; fi
}
attach() {
    if ! find_attempt; then boot; say "absent $boot"; exit 0; fi
    [ -e begun ] || [ -e fenced ] || begin
    if alive; then
        say "running"
        exec 3<&0
        # Both wait in the kernel: for more of the log, and for the leader's end of the pipe to close.
        tail -s 0.2 -c "+$((offset + 1))" -f log 2>/dev/null & t=$!
        cat <alive >/dev/null 2>&1 & c=$!
        # How much of the log was taken: it need not stay here. Where that can't be done it stays.
        (while read -r n; do fallocate -p -l "$n" log; done; kill $t $c) <&3 >/dev/null 2>&1 & s=$!
        # The leader may have gone just before the pipe was opened.
        (while sleep 5 && kill -0 $c; do alive || : <>alive; done) </dev/null >/dev/null 2>&1 & n=$!
        wait $c
        kill $t $s $n 2>/dev/null
        wait $t 2>/dev/null
    fi
    judge
}
collect() {
    find_attempt || exit 3
    tail -c "+$((offset + 1))" log | head -c "$((end - offset))"
    if [ -f output ] && [ ! -L output ]; then head -c 1048577 output; fi
}
cancel() {
    if ! find_attempt; then
        stage
        : >fenced || { say "failed no tombstone can be made"; exit 0; }
        claim
    fi
    # Whoever makes `begun` decides.
    if mkdir begun 2>/dev/null; then : >fenced; fi
    if [ -e fenced ]; then say fenced; exit 0; fi
    n=0
    until [ -e leader ] || [ $n -ge 20 ]; do sleep 0.1; n=$((n + 1)); done
    read -r b p s 2>/dev/null <leader || b=none
    boot
    if [ "$b" != "$boot" ] && [ "$b" != none ]; then say gone; exit 0; fi
    if ! end_tree "$tenths"; then say "stuck $left"; exit 0; fi
    n=0
    while alive && [ ! -e exit ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
    say gone
}
# Only the tombstone stays; the old ones go.
remove() {
    if find_attempt; then
        : >fenced
        rm -rf run env script stdin leader work begun log output exit alive leader.new exit.new
        now=$(date +%s)
        stat -c '%Y %n' ../* 2>/dev/null | while read -r y n; do
            age=$((now - y))
            [ $age -gt 86400 ] || continue
            if [ -e "$n/fenced" ] || [ ! -e "$n/begun" ] || { [ -e "$n/exit" ] && [ $age -gt 2592000 ]; }; then rm -rf "$n"; fi
        done
    fi
    say removed
}
# Ends what carries the mark of an attempt that has no folder.
cut() { if end_tree "$tenths"; then say gone; else say "stuck $left"; fi; }
