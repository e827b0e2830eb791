#!/bin/sh
# Starts, reloads and stops the server of a folder.
# usage: server.sh ensure DIR     it runs with the files that are in DIR/current now
#        server.sh is-done DIR    only tells whether that is so already
#        server.sh stop DIR       it does not run, confirmed
set -eu
. "$(dirname "$0")/lib.sh"
verb=$1 dir=$2
conf=$dir/current/named.conf

# What was loaded by whom: when neither has changed since, there is nothing to do.
stamp() {
    echo "$1 $(cat "$dir"/current/* | cksum)"
}

# named as a path. Where AppArmor confines /usr/sbin/named to /etc/bind and /var, a copy of it can use our folder.
program() {
    named=$(command -v named) || fail "there is no named on this machine" "apt-get install bind9"
    if [ -e /etc/apparmor.d/usr.sbin.named ] &&
        [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; then
        cmp -s "$named" "$dir/run/named" || cp "$named" "$dir/run/named"
        named=$dir/run/named
    fi
    echo "$named"
}

start() {
    named=$(program)
    # One that died left its pid behind, which may be anybody's by now.
    rm -f "$dir/run/named.pid"
    [ ! -f "$dir/run/named.log" ] || mv "$dir/run/named.log" "$dir/run/named.log.old"
    # It makes a session of its own and so outlives this job. It returns when it is ready, or with an error.
    "$named" -n 1 -c "$conf" -L "$dir/run/named.log" || {
        show_server_log "$dir"
        fail "named did not start"
    }
    tries=0
    until pid=$(server_pid "$dir"); do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || {
            show_server_log "$dir"
            fail "named did not come up within five seconds"
        }
        a_moment
    done
    echo "named runs as process $pid"
}

reload() {
    control=$(sed -n 's/^controls .* port \([0-9]*\) .*/\1/p' "$conf")
    [ -n "$control" ] && rndc -s 127.0.0.1 -p "$control" -k "$dir/run/rndc.key" reload
}

stop() {
    pid=$(server_pid "$dir") || {
        rm -f "$dir/run/named.pid"
        echo "no server of $dir runs"
        return 0
    }
    kill "$pid"
    tries=0
    while is_server "$dir" "$pid"; do
        tries=$((tries + 1))
        [ "$tries" -ne 100 ] || kill -KILL "$pid"
        [ "$tries" -lt 150 ] || fail "process $pid does not end"
        a_moment
    done
    rm -f "$dir/run/named.pid" "$dir/run/loaded"
    echo "process $pid has ended"
}

case "$verb" in
ensure)
    [ -f "$conf" ] || fail "there is no $conf" "run the flow from the job render"
    if pid=$(server_pid "$dir"); then
        if reload; then
            echo "named has read its files again, process $pid"
        else
            echo "named can't be reached by rndc: it is started anew"
            stop
            start
        fi
    else
        start
    fi
    pid=$(server_pid "$dir") || fail "named has ended again"
    stamp "$pid" >"$dir/run/loaded"
    output pid "$pid"
    ;;
is-done)
    pid=$(server_pid "$dir") && [ "$(stamp "$pid")" = "$(cat "$dir/run/loaded" 2>/dev/null)" ]
    ;;
stop)
    stop
    ;;
*)
    fail "there is no verb $verb" "ensure, is-done or stop"
    ;;
esac
