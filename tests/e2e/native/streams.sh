#!/usr/bin/env bash
# What changed between snapshots, streams of them to another pool, broken and gone on with; disk images of volumes, and volumes of them.
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
need jq nbdcopy nbdsh qemu-img
# the bindings are for Debian's own Python, and another one may be first in PATH
nbdsh() { PATH=/usr/bin:/bin command nbdsh "$@"; }

start_store
start_daemon "[control]" "enabled = false" "[journal]" 'size = "64M"'
restblk -q pool create main --store cdmi --url "$STORE_URL/cdmi/2.0.0/"
mkdir "$WORK/other"
restblk -q pool create other --store file --url "file://$WORK/other/"

# change VOLUME PYTHON…: what nbdsh does to it, as h
change() {
  local uri
  uri=$(restblk -q export "$1" | head -n1)
  nbdsh -u "$uri" -c "$2"
  restblk -q unexport "$1"
}
# content VOLUME[@SNAPSHOT]: its hash
content() {
  local uri
  uri=$(restblk -q export "$1" --read-only | head -n1)
  nbdcopy "$uri" - | sha256sum
  restblk -q unexport "$1"
}
extents() { restblk -o json diff "$@" 2> /dev/null | jq -c 'map([.offset, .length, .kind])'; }
token() { restblk -o json show "$1" | jq -r '.usage.receiving.token'; }

say "what changed"
restblk -q create main/a 64M --layout log
change main/a 'for at in range(0, 8): h.pwrite(bytes([at + 1]) * (1 << 20), at << 21)'
restblk -q snapshot create main/a@one
change main/a 'h.pwrite(b"x" * 8192, 4096); h.trim(1 << 20, 4 << 20); h.zero(4096, 6 << 20)'
restblk -q snapshot create main/a@two
restblk -q extend main/a 96M
change main/a 'h.pwrite(b"y" * (1 << 20), 80 << 20)'
restblk -q snapshot create main/a@three
equal "from the first to the second" '[[4096,8192,"data"],[4194304,1048576,"zero"],[6291456,4096,"zero"]]' "$(extents main/a@two --from one)"
equal "from the second to now" '[[83886080,1048576,"data"]]' "$(extents main/a --from two)"
equal "nothing" '[]' "$(extents main/a --from three)"
equal "all of the first" 8 "$(extents main/a@one | jq length)"
restblk diff main/a@two --from one > "$WORK/table" 2> "$WORK/words"
equal "lines for people" 4 "$(wc -l < "$WORK/table")"
grep -q '3 extents: 8 KiB of data, 1 MiB of zeros' "$WORK/words" || fail "the sum: $(cat "$WORK/words")"
refuses -c 3 -m 'no such snapshot' restblk diff main/a --from none
refuses -c 6 -m 'with itself' restblk diff main/a@one --from one
restblk -q create main/direct 8M
refuses -c 11 -m 'direct layout' restblk diff main/direct

say "a whole volume to another pool, and what changed since to a file"
restblk send main/a@one 2> /dev/null | restblk -q receive other/a > /dev/null
equal "the size" $((64 << 20)) "$(restblk -o json show other/a | jq .size)"
equal "what it has" "$(content main/a@one)" "$(content other/a)"
equal "where it comes from" "$(restblk -o json snapshot list main/a | jq -r '.[0].origin')" "$(restblk -o json snapshot list other/a | jq -r '.[0] | select(.received) | .origin')"
restblk send main/a@two --from one > "$WORK/two" 2> /dev/null
restblk send main/a@three --from two --progress > "$WORK/three" 2> "$WORK/words"
grep -q '100 % of 96 MiB' "$WORK/words" || fail "its progress: $(cat "$WORK/words")"
[ "$(stat -c %s "$WORK/two")" -lt 20000 ] || fail "8 KiB and zeros take $(stat -c %s "$WORK/two") bytes"
refuses -c 3 -m 'does not have' restblk receive other/a < "$WORK/three"
refuses -c 3 -m 'no such volume' restblk receive other/none < "$WORK/two"
refuses -c 4 -m 'into a new volume' restblk receive other/a < <(restblk send main/a@two 2> /dev/null)
refuses -c 6 -m 'no stream' restblk receive other/a < "$RESTBLK_ROOT/README.md"
restblk -q receive other/a < "$WORK/two" > /dev/null
refuses -c 4 -m 'has it already' restblk receive other/a < "$WORK/two"
restblk -q receive other/a < "$WORK/three" > /dev/null
for name in one two three; do
  equal "the snapshot $name" "$(content main/a@$name)" "$(content other/a@$name)"
done
equal "the size, grown" $((96 << 20)) "$(restblk -o json show other/a | jq .size)"

say "a volume that was written since is not taken for what it was"
restblk -q snapshot delete other/a@three --yes
refuses -c 4 -m 'force' restblk receive other/a < "$WORK/three"
restblk -q receive other/a --force < "$WORK/three" > /dev/null
equal "what it has" "$(content main/a@three)" "$(content other/a)"
change other/a 'h.pwrite(b"z" * 4096, 0)'
change main/a 'h.pwrite(b"w" * (4 << 20), 32 << 20)'
restblk -q snapshot create main/a@four
restblk send main/a@four --from three > "$WORK/four" 2> /dev/null
refuses -c 4 -m 'changed since.*--force' restblk receive other/a < "$WORK/four"
restblk -q export other/a > /dev/null
refuses -c 5 -m 'detach other/a first' restblk receive other/a --force < "$WORK/four"
restblk -q unexport other/a

say "a stream that breaks is kept as far as it is right, and is of no use until it goes on"
head -c 3000000 "$WORK/four" > "$WORK/cut"
refuses -c 10 -m 'cut off after 3000000 bytes' restblk receive other/a --force < "$WORK/cut"
restblk show other/a > "$WORK/shown"
grep -Eq 'Receiving: +other/a@four .*cannot be used until it has all' "$WORK/shown" || fail "it is not told: $(cat "$WORK/shown")"
refuses -c 5 -m 'has a part of the snapshot four' restblk export other/a
refuses -c 5 -m 'has a part of the snapshot four' restblk snapshot create other/a@x
refuses -c 5 -m 'has a part of the snapshot four' restblk extend other/a 1G
refuses -c 5 -m 'has a part of the snapshot four' restblk convert other/a --to direct
equal "an earlier snapshot meanwhile" "$(content main/a@three)" "$(content other/a@three)"
at=$(restblk -o json show other/a | jq .usage.receiving.position)
[ "$at" -gt $((32 << 20)) ] && [ "$at" -lt $((35 << 20)) ] || fail "it is at $at"
crash daemon
start_daemon
equal "where it is after the daemon's death" "$at" "$(restblk -o json show other/a | jq .usage.receiving.position)"
refuses -c 6 -m 'no token' restblk send main/a@four --resume-from rb1.x
refuses -c 6 -m 'of another stream' restblk send main/a@three --resume-from "$(token other/a)"
restblk send main/a@four --resume-from "$(token other/a)" > "$WORK/rest" 2> /dev/null
[ "$(stat -c %s "$WORK/rest")" -lt 2200000 ] || fail "the rest has $(stat -c %s "$WORK/rest") bytes"
# one flipped bit, early and late
for at in 100 1000000; do
  python3 - "$WORK/rest" "$at" > "$WORK/flipped" << 'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[2])] ^= 4
sys.stdout.buffer.write(data)
END
  refuses -c 10 -m 'damaged' restblk receive other/a < "$WORK/flipped"
done
restblk -q receive other/a < <(restblk send main/a@four --resume-from "$(token other/a)" 2> /dev/null) > /dev/null
equal "what it has" "$(content main/a@four)" "$(content other/a)"
equal "nothing is half any more" null "$(restblk -o json show other/a | jq .usage.receiving)"

say "the way back from a half"
change main/a 'h.pwrite(b"v" * (4 << 20), 0)'
restblk -q snapshot create main/a@five
restblk send main/a@five --from four > "$WORK/five" 2> /dev/null
head -c 2000000 "$WORK/five" > "$WORK/cut"
refuses -c 10 restblk receive other/a < "$WORK/cut"
refuses -c 5 -m 'part of the snapshot five' restblk snapshot delete other/a@four --yes
restblk -q snapshot rollback other/a@four --yes
equal "what it was" "$(content main/a@four)" "$(content other/a)"
restblk send main/a@one > "$WORK/one" 2> /dev/null
head -c 2000000 "$WORK/one" > "$WORK/cut"
refuses -c 10 restblk receive other/new < "$WORK/cut"
refuses -c 5 -m 'delete it to give that up' restblk export other/new
restblk -q delete other/new --yes

say "what is encrypted"
head -c 32 /dev/urandom > "$WORK/key"
printf '%s\n' "[encryption]" "\"main/secret\" = { key_file = \"$WORK/key\" }" "\"other/secret\" = { key_file = \"$WORK/key\" }" >> "$WORK/restblk.toml"
stop daemon
start_daemon
restblk -q create main/secret 16M --layout log --encrypt
change main/secret 'h.pwrite(b"open sesame!" * 4096, 0)'
restblk -q snapshot create main/secret@s
refuses -c 7 -m 'in the clear.*' restblk send main/secret@s
restblk send main/secret@s --plaintext > "$WORK/secret" 2> /dev/null
grep -q sesame "$WORK/secret" || fail "what is sent is not in the clear"
refuses -c 7 -m 'encrypted where it comes from' restblk receive other/secret < "$WORK/secret"
restblk -q create other/secret 8M --layout log --encrypt
restblk -q receive other/secret < "$WORK/secret" > /dev/null
equal "what it has" "$(content main/secret)" "$(content other/secret)"
! grep -rq sesame "$WORK/other" || fail "the other pool has it in the clear"
restblk -q receive other/plain --plaintext < "$WORK/secret" > /dev/null

say "disk images"
for format in raw qcow2; do
  restblk -q image export main/a@five "$WORK/image.$format" --format $format --progress 2> "$WORK/words"
  grep -q '100 % of 96 MiB' "$WORK/words" || fail "its progress: $(cat "$WORK/words")"
  equal "its format" $format "$(qemu-img info --output=json "$WORK/image.$format" | jq -r .format)"
  [ "$(du -k "$WORK/image.$format" | cut -f1)" -lt $((24 << 10)) ] || fail "$format: not sparse: $(du -k "$WORK/image.$format")"
  for layout in log direct; do
    restblk -q image import "$WORK/image.$format" "main/$format-$layout" --layout $layout > /dev/null
    equal "$format, $layout" "$(content main/a@five)" "$(content main/$format-$layout)"
  done
done
used=$(restblk -o json show main/raw-log | jq .usage.allocated)
[ "$used" -lt $((24 << 20)) ] || fail "the imported volume takes $used bytes"
restblk -q image import "$WORK/image.qcow2" main/larger --size 128M --layout log > /dev/null
equal "its size" $((128 << 20)) "$(restblk -o json show main/larger | jq .size)"
refuses -c 4 -m 'force' restblk image export main/a@five "$WORK/image.raw"
refuses -c 6 -m 'is no format|Unknown|unknown' restblk image export main/a@five "$WORK/image.x" --format nonsense
[ ! -e "$WORK/image.x" ] || fail "half an image was left"
# holes are told to clients of NBD, not read: the volume is as large as 4096 of its segments
restblk -q create main/thin 1T --layout log
change main/thin 'h.pwrite(b"thin" * 16384, 1 << 39)'
restblk -q snapshot create main/thin@s
from=$(elapsed_ms)
timeout 60 "$RESTBLK" --socket "$WORK/run/api.sock" -q image export main/thin@s "$WORK/thin.qcow2" --format qcow2 || fail "an image of 1 TiB that is empty is not made in 60 s"
say "an image of 1 TiB with 64 KiB of data in $(($(elapsed_ms) - from)) ms"
equal "its data" "$((1 << 39)) 65536" "$(qemu-img map --output=json "$WORK/thin.qcow2" | jq -r '.[] | select(.data) | "\(.start) \(.length)"')"
refuses -c 6 -m 'would have' restblk image import "$WORK/image.raw" main/small --size 8M
refuses -c 6 restblk image import "$WORK/none" main/none
# an image that is opened and cannot be read to its end: the last cluster of it lies between two
python3 - "$WORK/image.qcow2" << 'END'
import struct, sys
with open(sys.argv[1], "r+b") as image:
    def at(offset):
        image.seek(offset)
        return struct.unpack(">Q", image.read(8))[0]
    table = at(at(40)) & (1 << 56) - 1
    entry = max(n for n in range(8192) if at(table + 8 * n))
    wrong = at(table + 8 * entry) | 0x2000
    image.seek(table + 8 * entry)
    image.write(struct.pack(">Q", wrong))
END
refuses -m 'deleted again' restblk image import "$WORK/image.qcow2" main/torn
refuses -c 3 restblk show main/torn
refuses -c 11 -m "qemu-img is not installed" env PATH=/nowhere "$RESTBLK" --socket "$WORK/run/api.sock" image export main/a@five "$WORK/image.y"
equal "nothing is exported any more" '[]' "$(restblk -o json devices | jq -c .)"
