#!/bin/sh
# For forwarders that strip what DNSSEC needs: switches validation off. If that proves good, accept.sh remembers it.
# usage: without-dnssec.sh DIR
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1
conf=$dir/current/named.conf

sed 's/^\( *dnssec-validation\) auto;/\1 no;/' "$conf" >"$conf.part"
if cmp -s "$conf" "$conf.part"; then
    rm "$conf.part"
    fail "validation is off already: the cause is another one"
fi
named-checkconf "$conf.part"
mv "$conf.part" "$conf"
sed -n 's/^ *forwarders {\(.*\) };$/\1/p' "$conf" >"$dir/no-dnssec.part"
cp "$conf" "$dir/new/named.conf"
sh "$(dirname "$0")/server.sh" ensure "$dir"
