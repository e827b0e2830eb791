#!/bin/sh
# Asks the server for the address of a name and compares the answer with what it must be.
# usage: ask.sh DIR PORT NAME ADDRESS          ADDRESS can be `any`
#        ask.sh DIR PORT ZONE serial SERIAL    asks for the zone's serial instead
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1 port=$2 name=$3 want=$4

listen=$(sed -n 's/^ *listen-on port [0-9]* { \([0-9.]*\); };.*/\1/p' "$dir/current/named.conf" 2>/dev/null) || listen=
if [ -z "$listen" ] || ! server_pid "$dir" >/dev/null; then
    show_server_log "$dir"
    fail "no server runs in $dir" "it was stopped or rolled back since: weir rerun RUN --from render"
fi
type=A
[ "$want" != serial ] || type=SOA

log=$dir/run/named.log
lines=$(wc -l <"$log")
answer=$(dig "@$listen" -p "$port" +time=3 +tries=1 +nocookie "$name" "$type") || {
    echo "$answer"
    fail "no answer from $listen port $port"
}
echo "$answer"
status=$(echo "$answer" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p')
if [ "$status" != NOERROR ]; then
    # Why it could not answer stands in its log only. Older lines may be about what has been mended since.
    tail -n "+$((lines + 1))" "$log"
    fail "the answer for $name is $status"
fi

# Of the lines `name ttl IN type data`, the data.
data=$(echo "$answer" | awk -v type="$type" '!/^;/ && $3 == "IN" && $4 == type { print type == "SOA" ? $7 : $5 }' | sort | paste -sd ' ' -)
case "$want" in
any)
    [ -n "$data" ] || fail "$name has no address"
    ;;
serial)
    [ "$data" = "$5" ] || fail "the serial of $name is ${data:-nothing}, not $5" \
        "if the files were rolled back since: weir rerun RUN --from render"
    ;;
*)
    [ "$data" = "$want" ] || fail "the answer for $name is ${data:-nothing}, not $want"
    ;;
esac
echo "as it must be: $name is $data"
