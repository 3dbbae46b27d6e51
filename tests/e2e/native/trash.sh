#!/usr/bin/env bash
# Deleted log volumes: kept with their snapshots, restored under any name, purged; parents of clones go after the last of them.
# timeout: 180
. "$RESTBLK_ROOT/tests/lib.sh"
need jq
need_loop

start_store
start_daemon "[control]" "enabled = false"
restblk -q pool create main --url "$STORE_URL/cdmi/2.0.0/"
mnt=$WORK/mnt
mkdir "$mnt"
# with_file VOLUME: attached and mounted, the volume has the file that was written to the first one
with_file() {
  local device
  device=$(restblk -q attach "$1" --transport loop)
  mount "$device" "$mnt"
  equal "the file in $1" "$(cat "$WORK/sum")" "$(sha256sum < "$mnt/file")"
  umount "$mnt"
  restblk -q detach "$1"
}
in_trash() { restblk -o json trash list main | jq -r '.[] | "\(.volume) \(.state)"'; }
id_of() { restblk -o json trash list main | jq -r --arg volume "$1" '.[] | select(.volume == $volume).id'; }
objects_of() { find "$WORK/store/.restblk/vol/$1" -type f -size +300c 2> /dev/null | wc -l; }

say "a volume with a file and a snapshot"
restblk -q create main/a 64M --layout log
device=$(restblk -q attach main/a --transport loop)
mkfs.ext4 -q "$device"
mount "$device" "$mnt"
head -c 9M /dev/urandom > "$mnt/file"
sha256sum < "$mnt/file" > "$WORK/sum"
umount "$mnt"
restblk -q snapshot create main/a@monday
refuses -c 5 -m 'detach' restblk delete main/a --keep 7d --yes
restblk -q detach main/a
id=$(restblk -o json show main/a | jq -r .id)

say "into the trash, and back under another name"
restblk delete main/a --keep 7d --yes > "$WORK/said.txt" 2>&1
grep -q 'trash restore main/a' "$WORK/said.txt" || fail "what delete says: $(cat "$WORK/said.txt")"
equal "what is in the trash" "main/a kept" "$(in_trash)"
refuses -c 3 restblk show main/a
refuses -c 3 -m 'trash list' restblk trash restore main/b
restblk -q create main/a 1M --layout log
refuses -c 4 -m '[-][-]as' restblk trash restore main/a
restblk trash restore main/a --as old > "$WORK/said.txt" 2>&1
grep -q 'restored main/old' "$WORK/said.txt" || fail "what restore says: $(cat "$WORK/said.txt")"
equal "the restored one's id" "$id" "$(restblk -o json show main/old | jq -r .id)"
equal "its snapshots" main/old@monday "$(restblk -o json snapshot list main/old | jq -r '.[].snapshot')"
with_file main/old
equal "what is left in the trash" "" "$(in_trash)"

say "two of one name are told apart by their ids; one is purged"
restblk -q delete main/a --keep 7d --yes
first=$(id_of main/a)
restblk -q create main/a 1M --layout log
restblk -q delete main/a --keep 7d --yes
refuses -m 'id' restblk trash purge main/a --yes
restblk -q trash purge "main/$first" --yes
equal "what is in the trash" "main/a kept" "$(in_trash)"
restblk -q trash purge main/a --yes
equal "what is in the trash" "" "$(in_trash)"

say "what a protected snapshot or a direct volume says"
restblk -q snapshot protect main/old@monday
refuses -c 5 -m 'monday' restblk delete main/old --keep 1d --yes
restblk -q snapshot unprotect main/old@monday
restblk -q create main/d 1M --layout direct
refuses -c 11 -m 'direct' restblk delete main/d --keep 1d --yes
restblk -q delete main/d --yes

say "a parent waits in the trash for its clone, and the clone goes on reading"
restblk -q clone main/old@monday main/child
restblk -q delete main/old --keep 0 --yes
with_file main/child
equal "what is in the trash" "main/old kept" "$(in_trash)"
refuses -c 5 -m 'cloned' restblk trash purge main/old --yes
restblk -q delete main/child --yes
empty() { [ -z "$(in_trash)" ]; }
wait_for 20 "the end of the parent" empty
equal "objects left of the parent" 0 "$(objects_of "$id")"
stop daemon

say "with [trash] keep in the configuration a delete keeps, and after its time it goes by itself"
printf '%s\n' "[trash]" 'keep = "4s"' >> "$WORK/restblk.toml"
start_daemon
restblk -q create main/a 1M --layout log
id=$(restblk -o json show main/a | jq -r .id)
restblk -q delete main/a --yes
equal "what is in the trash" "main/a kept" "$(in_trash)"
restblk -q create main/d 1M --layout direct
refuses -c 11 -m '[-][-]now' restblk delete main/d --yes
sleep 5
# Any deletion makes the janitor look.
restblk -q delete main/d --now --yes
wait_for 20 "the end of what was kept" empty
equal "objects left" 0 "$(objects_of "$id")"
