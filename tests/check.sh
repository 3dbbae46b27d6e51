# shellcheck shell=bash
# A log volume whose objects on the embedded store are damaged: `. "$RESTBLK_ROOT/tests/check.sh"`, after tests/lib.sh.

# check_ground: a store, a daemon, and the volume main/a with moved frames and overwritten blocks, detached; what it has and what the store has are kept.
check_ground() {
  local device
  start_store
  start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
  restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
  restblk -q create main/a 64M --layout log
  device=$(restblk -q attach main/a --transport loop)
  dd if=/dev/urandom of="$device" bs=1M count=24 oflag=direct status=none
  blockdev --flushbufs "$device"
  fio --name=w --filename="$device" --aux-path="$WORK" --direct=1 --ioengine=psync --rw=randwrite --bs=16k --size=24M --io_size=20M --randseed=7 > "$WORK/fio.txt" 2>&1 ||
    fail "fio: $(tail -n 5 "$WORK/fio.txt")"
  blockdev --flushbufs "$device"
  restblk -q detach main/a
  # again, so that there is a former epoch
  device=$(restblk -q attach main/a --transport loop)
  dd if=/dev/urandom of="$device" bs=1M count=1 seek=40 oflag=direct status=none
  blockdev --flushbufs "$device"
  restblk -q detach main/a
  cp -a "$WORK/store" "$WORK/store.kept"
  check_hash > "$WORK/wanted"
  check_restore
  restblk -q check main/a > /dev/null || fail "a check of the healthy volume: $(restblk check main/a)"
  restblk -q check main/a --deep > /dev/null || fail "a deep check of the healthy volume: $(restblk check main/a --deep)"
}

# check_hash: what the volume has.
check_hash() {
  local uri
  uri=$(restblk -q attach main/a --transport nbd-export --read-only | head -n1)
  nbdcopy "$uri" - 2> "$WORK/nbdcopy.log" | sha256sum
  restblk -q detach main/a > /dev/null
}
check_same() { [ "$(check_hash)" = "$(cat "$WORK/wanted")" ]; }

# check_restore: the store is as it was.
check_restore() {
  rm -rf "$WORK/store/.restblk/vol"
  cp -a "$WORK/store.kept/.restblk/vol" "$WORK/store/.restblk/vol"
}

# check_objects: the objects of the volume, as keys.
check_objects() { (cd "$WORK/store.kept" && find .restblk/vol -type f | sort); }

# check_harm KEY removed|cut|flipped|exchanged: false where that cannot be done to it.
check_harm() {
  local file=$WORK/store/$1 size other
  size=$(stat -c %s "$file")
  case $2 in
    removed) rm "$file" ;;
    cut) truncate -s $((size * 3 / 4)) "$file" ;;
    flipped)
      python3 - "$file" << 'END'
import sys
with open(sys.argv[1], "r+b") as file:
    found = file.read()
    at = len(found.rstrip(b"\0")) - 3
    file.seek(at)
    file.write(bytes([found[at] ^ 1]))
END
      ;;
    exchanged)
      other=$(find "$(dirname "$file")" -type f ! -name "$(basename "$file")" | sort | head -n1)
      [ -n "$other" ] || return 1
      cp "$other" "$file" ;;
  esac
}
