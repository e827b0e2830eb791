#!/bin/sh
# Brings back the last files that had proven good and has the server read them. Does nothing if the files in use are
# proven. Where there were none before, the server is stopped: that is what was there before.
# usage: rollback.sh DIR
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1
here=$(dirname "$0")

if [ ! -e "$dir/unproven" ]; then
    echo "nothing to roll back: the files in use are proven"
    exit 0
fi
if [ -d "$dir/previous" ]; then
    rm -rf "$dir/current.part"
    cp -R "$dir/previous" "$dir/current.part"
    # Whoever has fetched the bad zone must fetch this one, too. They only do if its serial is higher.
    for zone in "$dir"/current.part/db.*; do
        old=$(serial_of "$zone")
        last=$(cat "$dir/serial")
        serial=$((last + 1))
        sed "s/^ *$old ; serial:/       $serial ; serial:/" "$zone" >"$zone.part"
        mv "$zone.part" "$zone"
        echo "$serial" >"$dir/serial.part"
        mv "$dir/serial.part" "$dir/serial"
        echo "rolled back to the zone of serial $old, which is $serial now"
    done
    rm -rf "$dir/current"
    mv "$dir/current.part" "$dir/current"
    sh "$here/server.sh" ensure "$dir"
else
    sh "$here/server.sh" stop "$dir"
    rm -rf "$dir/current"
    echo "rolled back: there was no name server before"
fi
rm -f "$dir/unproven"
