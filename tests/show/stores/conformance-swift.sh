#!/usr/bin/env bash
# claim: the conformance suite is green on OpenStack Swift for what it was proved to do; its exclusive create is struck by the race; tokens are renewed
# timeout: 900
. "$RESTBLK_ROOT/tests/lib.sh"
for file in install store swift keystone; do . "$RESTBLK_ROOT/tests/servers/$file.sh"; done
need jq curl

# a token of TempAuth lives forty seconds: it is renewed in the midst of the suite
start_swift "token_life = 40"
store=$(swift_store volumes/suite)
say "proof"
prove "$store"
proof_says '.notes[]' | sed 's/^/  limit: /'
equal "what Swift is proved to do" 'false false false true on_write' \
  "$(proof_says '.capabilities | [.exclusive_create, .compare_and_set, .atomic_put, .list, .durability] | map(tostring) | join(" ")')"
proof_says '.notes[]' | grep -q 'raced for one object more than one' || fail "exclusive create was struck, and not by the race"
say "conformance"
conformance "$store" > "$WORK/suite.log" 2>&1 || fail "Swift: $(grep -v '^ ' "$WORK/suite.log" | tail -n 20)"
grep -E 'checks|model' "$WORK/suite.log" | sed 's/^/  /'
say "tokens that the server no longer knows, wrong keys, a URL without a container"
start_daemon "[control]" "enabled = false"
pool() { restblk pool create "$@" --store swift --user test:tester --password-file "$WORK/swift.key" --set "auth_url=$SWIFT_AUTH_URL"; }
refuses -m 'single_host' pool main --url "$SWIFT_URL/volumes/main"
pool main --url "$SWIFT_URL/volumes/main" --single-host
refuses -m 'write in place' restblk create main/v 16M
# as after a restart of the cache that keeps them
cache=$(sed -n 's/^memcache_servers = .*://p' "$WORK/swift/etc/proxy.conf")
exec 5<> "/dev/tcp/127.0.0.1/$cache"
printf 'flush_all\r\n' >&5
read -r -t 10 answer <&5
equal "the answer of the tokens' cache" OK "${answer%%$'\r'}"
exec 5>&-
restblk list main
refuses -m 'CONTAINER' pool other --url "$SWIFT_URL"
echo wrong > "$WORK/swift.key"
refuses -m 'get a token from .*credentials' pool other --url "$SWIFT_URL/volumes/other" --single-host
stop daemon
for name in memcached swift-account swift-container swift-object swift-proxy; do stop "$name"; done
mv "$WORK/swift" "$WORK/swift.tempauth"

say "Keystone: tokens of a user and of an application credential, which live for forty seconds"
start_keystone "[token]" "expiration = 40"
keystone_before_swift
start_swift
url=${SWIFT_URL%AUTH_test}AUTH_$KEYSTONE_PROJECT_ID/volumes/suite
(umask 077 && echo 'hunter two' > "$WORK/admin.password" && echo 'swift secret' > "$WORK/credential.secret")
keystone_store() {
  jq -nc --arg url "$url" --arg user "$1" --arg file "$2" --argjson settings "$3" --arg auth "$KEYSTONE_URL" \
    '{ kind: "swift", urls: [$url], user: $user, password_file: $file, settings: ({ auth_url: $auth } + $settings), fail_after_ms: 60000 }'
}
conformance "$(keystone_store admin "$WORK/admin.password" '{"project": "admin"}')" > "$WORK/keystone.log" 2>&1 \
  || fail "Swift with Keystone: $(grep -v '^ ' "$WORK/keystone.log" | tail -n 20)"
grep -E 'checks|model' "$WORK/keystone.log" | sed 's/^/  /'
conformance "$(keystone_store "$(keystone_application_credential)" "$WORK/credential.secret" '{"auth": "application-credential"}')" --prove > /dev/null
echo wrong > "$WORK/admin.password"
refuses -m 'get a token from .*credentials' conformance "$(keystone_store admin "$WORK/admin.password" '{"project": "admin"}')" --prove
figure "Swift $(swift_version): $(sed -n 's/ checks of the suite passed//p' "$WORK/suite.log") checks green, exclusive create struck by the race, tokens of 40 s of TempAuth and Keystone 30 renewed throughout"
