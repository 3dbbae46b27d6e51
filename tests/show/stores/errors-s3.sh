#!/usr/bin/env bash
# claim: wrong keys, a clock 20 minutes off, a missing bucket, missing rights and a wrong TLS name are told with server, operation and what to do
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install moto ceph s3; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need jq curl openssl
need_root
apt_packages libfaketime

checks=0
# says REGEX COMMAND…: it fails within 20 s and says something like this, naming the server
says() {
  local regex=$1 from took
  shift
  from=$(elapsed_ms)
  refuses -m "$regex" "$@"
  took=$(($(elapsed_ms) - from))
  [ "$took" -lt 20000 ] || fail "\`$*\` took $took ms to fail"
  say "$took ms: $("$@" 2>&1 | tail -n 1)"
  checks=$((checks + 1))
}
at_once() { conformance "$1" --once; }

say "radosgw: keys, clock, bucket, rights"
start_ceph
make_bucket "$CEPH_URL/vols" AKTEST SKTESTSKTEST default
store() { s3_store "$CEPH_URL/${1}/p" "$2" "$3"; }
conformance "$(store vols AKTEST SKTESTSKTEST)" --once
says 'put once/.* at http://127.0.0.1:.*secret key' at_once "$(store vols AKTEST WRONG)"
says 'at http://127.0.0.1:.*does not know the access key' at_once "$(store vols AKNOBODY WRONG)"
says 'reach the bucket at http://127.0.0.1:.*no bucket nowhere: make it' conformance "$(store nowhere AKTEST SKTESTSKTEST)" --prove
ahead() {
  local library
  library=$(dpkg -L libfaketime | grep -m1 'libfaketime\.so')
  LD_PRELOAD=$library FAKETIME="$1" "$RESTBLK_PROGRAMS/examples/conformance" - --once <<< "$2"
}
says "clock is (19|20) min [0-9]+ s ahead of the server's: set it right" ahead +20m "$(store vols AKTEST SKTESTSKTEST)"
says "clock is (19|20) min [0-9]+ s behind the server's: set it right" ahead -20m "$(store vols AKTEST SKTESTSKTEST)"
ceph_admin user create --uid=other --display-name=other --access-key=AKOTHER --secret-key=SKOTHER > "$WORK/ceph-other.log" 2>&1
says 's3:ListBucket on the bucket vols' conformance "$(store vols AKOTHER SKOTHER)" --prove

say "moto: rights of a user"
start_moto
make_bucket "$MOTO_URL/vols" AKTEST SKTEST
moto_user undeleting s3:GetObject s3:PutObject s3:ListBucket
undeleting=$(s3_store "$MOTO_URL/vols/p" "$MOTO_KEY" "$MOTO_SECRET")
moto_user unlisted s3:GetObject s3:PutObject s3:DeleteObject
unlisted=$(s3_store "$MOTO_URL/vols/p" "$MOTO_KEY" "$MOTO_SECRET")
moto_guard
says 'delete once/.* s3:DeleteObject on the bucket vols' at_once "$undeleting"
says 'list once .*s3:ListBucket on the bucket vols' at_once "$unlisted"
stop moto

say "TLS: a certificate for another name, and one of nobody we know"
authority() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.crt" 2> "$WORK/openssl.log"; }
authority ours
authority strangers
openssl req -x509 -CA "$WORK/ours.crt" -CAkey "$WORK/ours.key" -newkey rsa:2048 -nodes -days 2 -subj /CN=elsewhere -addext subjectAltName=DNS:elsewhere.example \
  -addext basicConstraints=critical,CA:FALSE -keyout "$WORK/elsewhere.key" -out "$WORK/elsewhere.crt" 2> "$WORK/openssl.log"
start_moto "$WORK/elsewhere.crt" "$WORK/elsewhere.key"
tls() { jq -c --arg url "$MOTO_URL/vols/p" --arg ca "$1" '.urls = [$url] | .ca_file = $ca' <<< "$undeleting"; }
says 'certificate is for .*elsewhere.example.* and not for "127.0.0.1"' at_once "$(tls "$WORK/ours.crt")"
says 'authority that is not trusted here: name the authority' at_once "$(tls "$WORK/strangers.crt")"
stop moto

figure "$checks failures, each told within 20 s with the server, the operation and what to do"
