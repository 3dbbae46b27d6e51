#!/usr/bin/env bash
# claim: a WebDAV server whose partial PUT replaces, misplaces or does nothing, whose MOVE overwrites, whose lock does not lock is found out at `pool create`
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
for file in install store lighttpd nginx apache; do . "$RESTBLK_ROOT/tests/servers/$file.sh"; done
need jq curl

# The liars: lighttpd, which tells the truth, behind nginx, which changes one thing on the way, as proxies of real life do.
start_lighttpd "$PARTIAL_PUT"
start_daemon "[control]" "enabled = false"
found=0
# behind NAME LINES…: nginx before lighttpd; these lines are of the location.
behind() {
  local name=$1
  shift
  start_nginx "$name" "location / {" "proxy_pass $LIGHTTPD_URL;" "proxy_http_version 1.1;" 'proxy_set_header Connection "";' \
    'proxy_set_header Host $http_host;' "$@" "}"
}
# strikes NAME ABILITY REASON: the proof does not find the ability, for this reason.
strikes() {
  prove "$(web_store webdav "$NGINX_URL/$1/")"
  equal "$2 of $1" false "$(proof_says ".capabilities.$2")"
  proof_says '.notes[]' | grep -Eq "$3" || fail "$1: no note like \`$3\`: $(proof_says '.notes[]')"
  say "$1: $(proof_says '.notes[]' | grep -Em 1 "$3" | cut -c1-150)"
  found=$((found + 1))
}
# no_volume NAME: the pool opens as a repository, and no direct volume is made there, with the reason.
no_volume() {
  restblk pool create "$1" --store webdav --url "$NGINX_URL/$1/"
  refuses -m 'write in place' restblk create "$1/v" 16M
  equal "volumes of $1" 0 "$(restblk -o json list "$1" | jq length)"
}

behind honest
prove "$(web_store webdav "$NGINX_URL/honest/")"
equal "what is proved through an honest proxy" 'content-range true true true' \
  "$(proof_says '[.dialect, (.capabilities | .write_at, .exclusive_create, .lock)] | map(tostring) | join(" ")')"
stop honest

behind replaces 'proxy_set_header Content-Range "";'
strikes replaces write_at 'PUT with Content-Range: it replaced the whole object'
no_volume replaces
stop replaces

NGINX_HTTP='map $http_content_range $misplaced { default $http_content_range; "~^bytes 2-5/" "bytes 0-3/*"; }'
behind misplaces 'proxy_set_header Content-Range $misplaced;'
unset NGINX_HTTP
strikes misplaces write_at 'PUT with Content-Range: it landed at offset 0'
no_volume misplaces
stop misplaces

behind ignores 'if ($http_content_range) { return 204; }'
strikes ignores write_at 'PUT with Content-Range: '
no_volume ignores
stop ignores

behind overwrites 'proxy_set_header If-None-Match "";' 'proxy_set_header Overwrite "";'
strikes overwrites exclusive_create 'MOVE with Overwrite: F: '
refuses -m 'single_host' restblk pool create overwrites --store webdav --url "$NGINX_URL/overwrites/"
stop overwrites

behind unlocked 'if ($request_method = LOCK) { add_header Lock-Token "<urn:uuid:0>"; return 200; }' 'proxy_set_header If "";'
strikes unlocked lock 'a locked object was changed without'
stop unlocked

behind careless 'proxy_set_header If-Match "";'
strikes careless compare_and_set 'a put with a stale ETag overwrote the object'
stop careless

# And a real one, whose every check is made before the change and not with it.
start_apache
prove "$(web_store webdav "$APACHE_URL/pool/")"
for ability in exclusive_create lock compare_and_set; do
  equal "$ability of Apache" false "$(proof_says ".capabilities.$ability")"
  found=$((found + 1))
done
proof_says '.notes[]' | grep -q 'at once' || fail "Apache was not caught by a race"
figure "$found of $found lies were struck from the proof; 3 of 3 liars about partial PUT were refused a direct volume, 1 of 1 about create a pool"
