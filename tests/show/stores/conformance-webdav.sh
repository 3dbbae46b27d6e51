#!/usr/bin/env bash
# claim: the conformance suite is green on lighttpd, Apache and nginx for what each was proved to do by WebDAV
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"
for file in install store lighttpd apache nginx; do . "$RESTBLK_ROOT/tests/servers/$file.sh"; done
need jq curl

servers=0 found=''
# try NAME VERSION URL WANTED: WANTED are dialect, writes, creates, compares, locks, lists.
try() {
  say "$1 $2"
  local store
  store=$(web_store webdav "$3/suite/")
  prove "$store"
  proof_says '.notes[]' | sed 's/^/  limit: /'
  equal "what $1 is proved to do" "$4" "$(proof_says '[.dialect, (.capabilities | .write_at, .exclusive_create, .compare_and_set, .lock, .list)] | map(tostring) | join(" ")')"
  conformance "$store" > "$WORK/suite.log" 2>&1 || fail "$1: $(grep -v '^ ' "$WORK/suite.log" | tail -n 20)"
  grep -E 'checks|model|rounds' "$WORK/suite.log" | sed 's/^/  /'
  servers=$((servers + 1))
  found+="${found:+; }$1 $2: $(proof_says .dialect)"
}

start_lighttpd "$PARTIAL_PUT"
try lighttpd "$(lighttpd_version)" "$LIGHTTPD_URL" 'content-range true true true true true'
stop lighttpd
start_lighttpd
try 'lighttpd without partial PUT' "$(lighttpd_version)" "$LIGHTTPD_URL" 'whole false true true false true'
stop lighttpd
start_apache
try Apache "$(apache_version)" "$APACHE_URL" 'content-range true false false false true'
stop apache
start_nginx nginx "$NGINX_DAV"
try nginx "$(nginx_version)" "$NGINX_URL" 'whole+move false true false false false'
stop nginx
figure "$servers servers green: $found"
