#!/bin/sh
# Writes the options and the zone into DIR/new. The serial is raised only if something else of the zone has changed.
# usage: render.sh DIR DOMAIN WILDCARD NAMESERVER LISTEN PORT CONTROL-PORT FORWARDERS NETWORKS DNSSEC RECORDS
#        FORWARDERS and NETWORKS are lists with blanks between, RECORDS has one record a line
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1 domain=$2 wildcard=$3 nameserver=$4 listen=$5 port=$6 control=$7
forwarders=$8 networks=$9
shift 9
dnssec=$1 records=$2
new=$dir/new current=$dir/current
zone=db.$domain

# 192.0.2.1, 2001:db8::1, or either with a port behind @
is_address() {
    echo "$1" | grep -Eqx '([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(@[0-9]{1,5})?'
}
is_network() {
    echo "$1" | grep -Eqx '([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?'
}

forward_list=
for forwarder in $forwarders; do
    case "$forwarder" in
    0.0.0.0 | 0.0.0.0@* | ::)
        echo "forwarder $forwarder is left out: that is no server"
        continue
        ;;
    esac
    is_address "$forwarder" || fail "forwarder $forwarder is not an address" "write 192.0.2.1 or 192.0.2.1@5353"
    case "$forwarder" in
    *@*) forward_list="$forward_list ${forwarder%@*} port ${forwarder#*@};" ;;
    *) forward_list="$forward_list $forwarder;" ;;
    esac
done
[ -n "$forward_list" ] || fail "there is no forwarder left" "-p forwarders=192.0.2.1"

network_list=
for network in $networks; do
    is_network "$network" || fail "network $network is not an address with a prefix length" "write 10.2.0.0/16"
    case "$network" in
    */0 | 0.0.0.0 | ::) fail "network $network is everybody: that makes an open resolver" "name the networks of the site" ;;
    esac
    network_list="$network_list $network;"
done
[ -n "$network_list" ] || fail "no network may ask" "-p networks=127.0.0.0/8"

# An earlier run may have found that these forwarders strip what validation needs.
if [ "$dnssec" = auto ] && [ -f "$dir/no-dnssec" ] && [ "$(cat "$dir/no-dnssec")" = "$forward_list" ]; then
    echo "no validation: an earlier run found that these forwarders do not support it"
    dnssec=no
fi

[ -s "$dir/run/rndc.key" ] || rndc-confgen -a -k weir -c "$dir/run/rndc.key"

rm -rf "$new" "$dir/no-dnssec.part"
mkdir "$new"
cat >"$new/named.conf" <<END
include "$dir/run/rndc.key";
controls { inet 127.0.0.1 port $control allow { 127.0.0.1; } keys { "weir"; }; };
options {
    directory "$dir/cache";
    pid-file "$dir/run/named.pid";
    session-keyfile "$dir/run/session.key";
    listen-on port $port { $listen; };
    listen-on-v6 { none; };
    // Only the networks of the site: a resolver that is open to all is soon part of an attack.
    allow-query {$network_list };
    allow-recursion {$network_list };
    allow-query-cache {$network_list };
    recursion yes;
    forwarders {$forward_list };
    forward only;
    dnssec-validation $dnssec;
};
zone "$domain" { type primary; file "$current/$zone"; };
END

# Writes the zone with a serial. In zone files a comment begins with a semicolon; a number sign does not begin one.
write_zone() {
    cat <<END
\$TTL 604800
@  IN SOA ns.$domain. root.$domain. (
       $1 ; serial: year, month, day and a number of two digits
       604800 ; refresh
       86400 ; retry
       2419200 ; expire
       604800 ) ; how long to remember that a name is not there
@  IN NS ns.$domain.
ns IN A  $nameserver
@  IN A  $wildcard
*  IN A  $wildcard
END
    [ -z "$records" ] || printf '%s\n' "$records"
}

# The highest serial that was ever handed out, so that none is used twice, even after a rollback.
last=0
[ ! -s "$dir/serial" ] || last=$(cat "$dir/serial")

serial=
if [ -f "$current/$zone" ]; then
    old=$(serial_of "$current/$zone")
    [ "$old" -le "$last" ] || last=$old
    if write_zone "$old" | cmp -s - "$current/$zone"; then
        serial=$old
        echo "the zone has not changed: serial $old stays"
    fi
fi
if [ -z "$serial" ]; then
    serial=$(date -u +%Y%m%d00)
    [ "$serial" -gt "$last" ] || serial=$((last + 1))
    echo "the zone is new or has changed: serial $serial"
fi
write_zone "$serial" >"$new/$zone"
if [ -d "$current" ]; then
    diff -ruN "$current" "$new" || true
fi
output serial "$serial"
output zone "$new/$zone"
