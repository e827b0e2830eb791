#!/bin/sh
# Puts a copy of DIR/new in the place of DIR/current. What was there and had proven good is in DIR/previous from then
# on, and DIR/unproven says that the new files have not been proven yet. Can be cut off anywhere and started again.
# usage: activate.sh DIR          acts
#        activate.sh DIR --done   only tells whether there is nothing to do
set -eu
. "$(dirname "$0")/lib.sh"
dir=$1

if [ "${2:-}" = --done ]; then
    [ ! -e "$dir/unproven" ] && diff -r "$dir/new" "$dir/current"
    exit
fi

[ -d "$dir/new" ] || fail "there are no new files in $dir" "run the flow from the job render"
if [ ! -e "$dir/unproven" ]; then
    # Without `current` this is a repetition: then `previous` already is what has to be kept.
    if [ -d "$dir/current" ]; then
        rm -rf "$dir/previous"
        mv "$dir/current" "$dir/previous"
    fi
    : >"$dir/unproven"
fi
serial_of "$dir"/new/db.* >"$dir/serial.part"
mv "$dir/serial.part" "$dir/serial"
rm -rf "$dir/current.part"
cp -R "$dir/new" "$dir/current.part"
rm -rf "$dir/current"
mv "$dir/current.part" "$dir/current"
echo "the new files are in $dir/current"
