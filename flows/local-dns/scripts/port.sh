#!/bin/sh
# Fails if a program that is not ours holds a port.
# usage: port.sh DIR PORT         DIR is the folder of the server that may hold it
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1 port=$2

# The tables of the kernel: column 2 is the local address and port in hexadecimal, column 4 the state; 0A is listening.
holders() {
    hex=$(printf '%04X' "$port")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v hex=":$hex" '$2 ~ hex "$" && $4 == "0A" { print "TCP" }'
    cat /proc/net/udp /proc/net/udp6 2>/dev/null | awk -v hex=":$hex" '$2 ~ hex "$" { print "UDP" }'
}

kinds=$(holders | sort -u | tr '\n' ' ')
if [ -z "$kinds" ]; then
    echo "port $port is free"
elif pid=$(server_pid "$dir") && grep -Eq "port ${port}[ ;]" "$dir/current/named.conf"; then
    echo "port $port is held by our own server, process $pid"
else
    fail "port $port is taken by another program (${kinds% })" \
        "choose another with -p port=..., or find out who it is: ss -lnptu 'sport = :$port'"
fi
