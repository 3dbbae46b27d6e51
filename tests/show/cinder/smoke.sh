#!/usr/bin/env bash
# claim: by the openstack and cinder clients every operation holds on log and direct volumes of real services, byte for byte, and nothing but tombstones is left on the store, nothing in /dev or in the daemon
# timeout: 3600
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
start_openstack
objects() { (cd "$WORK/store" && find . -type f | LC_ALL=C sort); }
objects > "$WORK/before"
from=$(elapsed_ms)
in_openstack smoke | tee "$WORK/smoke.log" || fail "see smoke.log and openstack/log"
took=$((($(elapsed_ms) - from) / 1000))
# Of each log volume that was deleted there stay, for good, the tombstones that fence its late writers (docs/log.md), and a mark by which a
# late restore knows that it is gone (docs/trash.md).
objects | LC_ALL=C comm -13 "$WORK/before" - > "$WORK/after"
left="" marks=0
while read -r object; do
  if [[ $object = */trash-ends/* ]] || [ "$(head -c 9 "$WORK/store/$object" | tail -c 2 | xxd -p)" = 0a54 ]; then
    marks=$((marks + 1))
  else
    left+=$object$'\n'
  fi
done < "$WORK/after"
equal "what is left on the store" "" "$left"
equal "what is left in dev" "" "$(find "$WORK/dev" ! -type d)"
equal "loop devices that are left" "" "$(losetup -n -O BACK-FILE | grep "^$WORK/" || true)"
figure "$(sed -n 's/^checks: //p' "$WORK/smoke.log") in $took s; pool and devices as before, $marks tombstones and marks of deleted volumes on the store"
