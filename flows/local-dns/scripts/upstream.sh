#!/bin/sh
# A tiny name server that stands in for the outside world: one zone, one address, no recursion.
# usage: upstream.sh DIR PORT NAME          writes its files and starts it
#        upstream.sh DIR PORT NAME --done   only tells whether it runs like that already
set -eu
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")
dir=$1 port=$2 name=$3

if [ "${4:-}" = --done ]; then
    grep -qF "port $port {" "$dir/current/named.conf" && grep -qF "zone \"$name\" {" "$dir/current/named.conf" &&
        sh "$here/server.sh" is-done "$dir"
    exit
fi

mkdir -p "$dir/run" "$dir/cache" "$dir/current"
cat >"$dir/current/named.conf" <<END
options {
    directory "$dir/cache";
    pid-file "$dir/run/named.pid";
    session-keyfile none;
    listen-on port $port { 127.0.0.1; };
    listen-on-v6 { none; };
    allow-query { 127.0.0.0/8; };
    recursion no;
    dnssec-validation no;
};
controls { };
zone "$name" { type primary; file "$dir/current/db.outside"; };
END
# 192.0.2.0/24 is for documentation (RFC 5737): no real server answers there.
cat >"$dir/current/db.outside" <<END
\$TTL 60
@  IN SOA ns.$name. root.$name. ( 1 3600 600 86400 60 )
@  IN NS  ns.$name.
ns IN A   192.0.2.1
@  IN A   192.0.2.80
END
named-checkconf "$dir/current/named.conf"
named-checkzone "$name" "$dir/current/db.outside"
sh "$here/server.sh" ensure "$dir"
