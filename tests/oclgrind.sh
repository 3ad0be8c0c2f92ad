#!/bin/sh
# oclgrind.sh PROGRAM: runs it under the Oclgrind simulator, which says by its report alone that a kernel raced or reached
# outside a buffer: passes if the program does and the report is empty.
if ! command -v oclgrind >/dev/null; then
    [ "${TALLY_REQUIRE_DEVICES:-}" = 1 ] || { echo "skipped: oclgrind is missing" && exit 77; }
    echo "oclgrind is missing, and TALLY_REQUIRE_DEVICES=1" >&2
    exit 1
fi
report=$(mktemp) || exit 1
trap 'rm -f "$report"' EXIT
trap 'exit 130' HUP INT TERM
oclgrind --data-races --log "$report" "$@"
status=$?
if [ -s "$report" ]; then
    echo "Oclgrind reports:" >&2
    head -n 100 "$report" >&2
    exit 1
fi
exit $status
