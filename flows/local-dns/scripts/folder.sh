#!/bin/sh
# Makes the folder that everything else happens in, or checks the one that is there.
# usage: folder.sh [DIR]          without DIR: weir-local-dns-UID below $TMPDIR or /tmp
set -eu
. "$(dirname "$0")/lib.sh"

dir=$(work_folder "${1:-}")
case "$dir" in
/*) ;;
*) fail "the folder $dir is not an absolute path" "-p dir=$PWD/$dir" ;;
esac
# named.conf has no way to write these; a blank would also hide the server among the processes.
case "$dir" in
*[!A-Za-z0-9/._+-]*) fail "the folder $dir has a character other than letters, digits and / . _ + -" ;;
esac

[ -d "$dir" ] || mkdir -p "$dir" || fail "can't make the folder $dir"
# In /tmp anybody could have made it first, to have their own configuration used.
[ -n "$(find "$dir" -prune -type d -user "$(id -u)")" ] || fail "the folder $dir belongs to somebody else" "-p dir=ANOTHER"
chmod 700 "$dir"
for sub in run cache; do
    [ -d "$dir/$sub" ] || mkdir "$dir/$sub"
done
output dir "$dir"
