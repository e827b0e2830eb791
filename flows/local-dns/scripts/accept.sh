#!/bin/sh
# The files in use have proven good: from now on they are what a later run falls back to.
# usage: accept.sh DIR
set -eu
. "$(dirname "$0")/lib.sh"
[ ! -f "$1/no-dnssec.part" ] || mv "$1/no-dnssec.part" "$1/no-dnssec"
rm -f "$1/unproven"
serial=$(serial_of "$1"/current/db.*)
output serial "$serial"
