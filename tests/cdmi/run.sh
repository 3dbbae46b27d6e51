#!/bin/bash
# Goes through the examples of the CDMI 2.0.0 specification, section by section, with curl.
#
#   run.sh URL_BASE ROOT_OR_-
#
# URL_BASE is the server's root URI (http://127.0.0.1:8080/cdmi/2.0.0/). ROOT is its directory, to look at the files behind the
# objects; with - that is left out. CURL_OPTS may hold options for curl (--user, --cacert). Everything happens in the container
# MyContainer, which must not exist and is deleted at the end. Prints ok or FAIL for each check, then the sums.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 2 ] || { echo "usage: $0 URL_BASE ROOT_OR_-" >&2; exit 2; }
BASE=${1%/}/
ROOT=$2
for tool in curl jq base64 cmp; do
    command -v "$tool" >/dev/null || { echo "$0 needs $tool" >&2; exit 2; }
done
. "$here/lib.sh"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
PREFIX=/$(printf %s "$BASE" | cut -d/ -f4-)

for section in 12-capabilities 09-containers 06-objects-by-http 08-objects-by-cdmi 10-object-ids 16-metadata 14-snapshots 90-extensions; do
    echo "# $section"
    . "$here/$section.sh"
done

echo "# clean up"
clean_up
status "MyContainer is deleted" 404 GET MyContainer/
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
