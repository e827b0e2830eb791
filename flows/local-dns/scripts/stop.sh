#!/bin/sh
# Stops the server and the stand-in for the outside world, wherever the run has got to.
# usage: stop.sh [DIR]            DIR as for folder.sh
set -eu
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")
dir=$(work_folder "${1:-}")

[ -d "$dir" ] || exit 0
sh "$here/server.sh" stop "$dir"
sh "$here/server.sh" stop "$dir/upstream"
