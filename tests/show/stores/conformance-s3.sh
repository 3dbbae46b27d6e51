#!/usr/bin/env bash
# claim: the S3 client passes the conformance suite on real servers, for all that each was proved to do; signatures are verified by the servers
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install moto ceph s3s-fs s3; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need jq curl
need_root

# suite NAME STORE: the whole suite, and what was proved
suite() {
  local from out
  from=$(elapsed_ms)
  conformance "$2" "${@:3}" > "$WORK/$1.out" 2>&1 || { cat "$WORK/$1.out"; fail "the suite fails on $1"; }
  out=$(sed -n 's/^proof: //p' "$WORK/$1.out" | jq -r '[.capabilities | to_entries[] | select(.value == true) | .key] | join(", ")')
  say "$1: $(grep -c . "$WORK/$1.out") lines, $(($(elapsed_ms) - from)) ms; proved: $out"
  done+=("$1 $(grep -Eo '^[0-9]+ checks' "$WORK/$1.out")")
}
done=()

start_ceph
ceph=$(ceph_version)
make_bucket "$CEPH_URL/vols" AKTEST SKTESTSKTEST default
suite "radosgw $ceph" "$(s3_store "$CEPH_URL/vols/a pool" AKTEST SKTESTSKTEST)"
jq -e '.capabilities | .exclusive_create and .compare_and_set and .atomic_put and .list' <(sed -n 's/^proof: //p' "$WORK/radosgw $ceph.out") > /dev/null || fail "radosgw was not proved to do all of it"
say "large bodies in parts, on radosgw"
suite "radosgw $ceph in parts of 5 MiB" "$(s3_store "$CEPH_URL/vols/parts" AKTEST SKTESTSKTEST '{"multipart_bytes": "5242880"}')" --races 0 --model 0
s3_curl AKTEST SKTESTSKTEST default "$CEPH_URL/vols?uploads=" > "$WORK/uploads"
grep -q ListMultipartUploadsResult "$WORK/uploads" || fail "no list of uploads: $(cat "$WORK/uploads")"
equal "unfinished uploads" 0 "$(grep -c '<UploadId>' "$WORK/uploads" || true)"
for name in radosgw ceph-osd ceph-mon; do stop "$name" 60; done

start_moto
make_bucket "$MOTO_URL/vols" AKTEST SKTEST
suite "moto 5.2.5" "$(s3_store "$MOTO_URL/vols/pool" AKTEST SKTEST)"
stop moto

figure "the suite passed on $(IFS=';'; echo "${done[*]}" | sed 's/;/; /g'); of 40 rounds of 8 racing creates each had one winner"
