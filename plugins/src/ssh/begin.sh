# Begins an attempt, and stays for as long as the line does: tells how it ended, and hands out what it leaves.
# The one process that does the work and writes down its end. What it says goes the way of this shell's own words.
leader() {
    trap '' HUP INT TERM PIPE
    claim || { printf 'weir:found %s\n' "$boot" >&8; exit 0; }
    read -r stat </proc/self/stat
    p=${stat%% *}
    stat=${stat##*) }
    set -- $stat
    { echo "$boot $p ${20}" >leader && true >log; } 2>/dev/null || {
        true >fenced
        # The words of the system, which a shell keeps to itself.
        printf 'weir:failed %s\n' "$(echo "$boot" | cat 2>&1 >leader)" >&8
        exit 0
    }
    printf 'weir:launched %s\n' "$boot" >&8
    own=
    if command -v setsid >/dev/null 2>&1; then own=setsid; fi
    (
        exec 8>&-
        trap - HUP INT QUIT TERM PIPE
        umask "$mask"
        WEIR_OUTPUT=$PWD/output
        export WEIR_OUTPUT
        work
    ) >>log 2>&1 &
    w=$!
    if stat_of "$w"; then set -- $stat; echo "$w ${20}" >work; fi
    wait "$w"
    code=$?
    until echo "code $code" >exit; do sleep 1; done
    printf 'weir:ended code %s\n' "$code" >&8
    exit 0
}
# The log from where it has come to, and the outputs.
rest() {
    at=0
    if [ -n "$t" ]; then
        kill "$t" "$g" 2>/dev/null
        wait "$t" "$g" 2>/dev/null
        t=
        # Only who reads it knows how much of the log came before this.
        printf '%s' "$mark"
        until [ "$word" = at ]; do read -r word at || exit 0; done
    fi
    # What is missing is told to whoever asks anew.
    if [ -s from ] && read -r e <from && [ "$at" -lt "$e" ]; then say gone; exit 0; fi
    size=0 out=0
    [ ! -s log ] || size=$(stat -c %s log)
    if [ -f output ] && [ ! -L output ] && [ -s output ]; then out=$(stat -c %s output); fi
    [ "$out" -le 1048577 ] || out=1048577
    say "rest $size $out"
    [ "$at" -ge "$size" ] || dd if=log bs=64k iflag=skip_bytes,count_bytes skip="$at" count=$((size - at)) 2>/dev/null
    [ "$out" = 0 ] || head -c "$out" output
}
# Only the tombstone counts. What has room for nothing goes with it, a day later.
sweep() {
    true >fenced
    for f in log exit leader work from reader guard; do
        [ ! -s "$f" ] || true >"$f"
    done
    # The work made it, as whatever it liked.
    [ ! -e output ] || rm -rf output
    [ "$1" = all ] || return 0
    touch -d '-1 day' ../.day && touch -d '-30 days' ../.month || return 0
    for n in ../*; do
        if [ "$n" -ot ../.day ] && { [ -e "$n/fenced" ] || [ ! -e "$n/begun" ] ||
            { [ -s "$n/exit" ] && [ "$n" -ot ../.month ]; }; }; then rm -rf "$n"; fi
    done
}
# A part of what the work is given that is no part of this.
take() {
    [ "$2" = 0 ] || why=$(head -c "$2" 2>&1 >"$1.$$") || {
        rm -f script.$$ stdin.$$
        say "failed ${why:-No space left on device}"
        exit 0
    }
}
begin() {
    boot
    if find_attempt; then
        [ ! -e fenced ] || { say fenced; exit 0; }
        [ ! -e begun ] || { say "found $boot"; exit 0; }
        mask=$(umask)
        umask 077
    else
        make_attempt
    fi
    take script "$scripts"
    take stdin "$inputs"
    # Cut off on its way: nothing has been begun.
    read -r whole && [ "$whole" = whole ] || { rm -f script.$$ stdin.$$; exit 0; }
    leader 8>&2 </dev/null >/dev/null 2>&1 &
    t=
    while read -r word at; do
        case $word in
            follow)
                tail -s 0.2 -c +1 -f log 2>/dev/null & t=$!
                echo $t >reader
                guard
                ;;
            drop) fallocate -p -l "$at" log >/dev/null 2>&1 ;;
            look) { alive && [ ! -s from ]; } || { say gone; break; } ;;
            rest) rest ;;
            done) sweep "$at"; say removed; break ;;
        esac
    done
    [ -z "$t" ] || kill "$t"
}
