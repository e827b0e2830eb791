# What is asked of an attempt over another line than that on which it was begun.
umask 077
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
# Between its claim and its leader's name a moment may pass.
await_leader() {
    n=0
    until [ -s leader ] || [ -s exit ] || [ -e fenced ] || [ $n -ge 20 ]; do sleep 0.1; n=$((n + 1)); done
}
# How it stands with an attempt whose leader is not there.
judge() {
    how=
    # Without its newline it does not count.
    if [ -f exit ] && read -r how <exit; then say "ended $how $(size)"; return; fi
    if [ -e fenced ]; then say fenced; return; fi
    read -r b p s 2>/dev/null <leader || b=$boot
    if [ "$b" != "$boot" ]; then say "lost rebooted $(size)"; return; fi
    if end_tree 50; then say "lost killed $(size)"; else say "lost stuck $(size)"; fi
}
attach() {
    boot
    if ! find_attempt || { [ ! -e begun ] && [ ! -e fenced ]; }; then say "absent $boot"; exit 0; fi
    await_leader
    t= k=
    trap '[ -z "$t" ] || kill $t $k; exit 0' TERM
    # Whoever drops a part of the log ends this one first, and then this begins later.
    alive && echo $$ >reader
    if [ -s from ] && read -r e <from && [ "$offset" -lt "$e" ]; then offset=$e; fi
    echo "$offset"
    if alive; then
        say "running"
        guard
        exec 3<&0
        # Ends by itself when the leader has, and all of the log was read.
        tail -s 0.2 --pid="$p" -c "+$((offset + 1))" -f log 2>/dev/null & t=$!
        # How much of the log was taken: it need not stay here. Where that can't be done it stays.
        (while read -r n; do fallocate -p -l "$n" log; done; kill $t) <&3 >/dev/null 2>&1 & k=$!
        wait $t
        kill $k 2>/dev/null
        # The line broke: nobody is there to be told, and the work goes on.
        ! alive || exit 0
    fi
    judge
}
collect() {
    find_attempt || exit 3
    tail -c "+$((offset + 1))" log | head -c "$((end - offset))"
    if [ -f output ] && [ ! -L output ]; then head -c 1048577 output; fi
}
cancel() {
    boot
    find_attempt || make_attempt
    if claim; then true >fenced || { say "failed no tombstone can be made"; exit 0; }; fi
    if [ -e fenced ]; then say fenced; exit 0; fi
    await_leader
    if [ -e fenced ]; then say fenced; exit 0; fi
    read -r b p s 2>/dev/null <leader || b=none
    if [ "$b" != "$boot" ] && [ "$b" != none ]; then say gone; exit 0; fi
    if ! end_tree "$tenths"; then say "stuck $left"; exit 0; fi
    n=0
    while alive && [ ! -s exit ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
    say gone
}
# Only the tombstone stays.
remove() {
    if find_attempt; then
        true >fenced
        rm -rf script.* stdin.* leader work begun log output exit from reader guard
    fi
    say removed
}
# Ends what carries the mark of an attempt that has no folder.
cut() { if end_tree "$tenths"; then say gone; else say "stuck $left"; fi; }
