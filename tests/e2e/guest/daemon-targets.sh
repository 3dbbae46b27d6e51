#!/bin/bash
# test: a volume's device behind the kernel's NVMe/TCP and iSCSI targets: an initiator's file system, the daemon's death, growing, discard
# kernels: 7.2
# modules: ext4 nvmet nvmet-tcp nvme-tcp target_core_iblock iscsi_target_mod iscsi_tcp sd_mod
# timeout: 600
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
need nvme iscsid iscsiadm mkfs.ext4 fstrim jq

mkdir -p "$WORK/a" "$WORK/b" "$WORK/data"
initiator
nvmet=/sys/kernel/config/nvmet lio=/sys/kernel/config/target
name=restblk-targets nqn=nqn.2014-08.org.example:$name iqn=iqn.2014-08.org.example:$name
for at in $(seq 12); do head -c 700K /dev/urandom > "$WORK/data/$at"; done
share_mounts
start_host

# nvme_export, nvme_take, nvme_leave, nvme_end: the device as a target; its initiator, which sets DISK; and the ends of both.
nvme_export() {
  mkdir "$nvmet/subsystems/$nqn" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/ports/1"
  echo 1 > "$nvmet/subsystems/$nqn/attr_allow_any_host"
  printf %s "$NODE" > "$nvmet/subsystems/$nqn/namespaces/1/device_path"
  echo 1 > "$nvmet/subsystems/$nqn/namespaces/1/enable"
  for word in "trtype tcp" "adrfam ipv4" "traddr 127.0.0.1" "trsvcid 4420"; do echo "${word#* }" > "$nvmet/ports/1/addr_${word% *}"; done
  ln -s "$nvmet/subsystems/$nqn" "$nvmet/ports/1/subsystems/$nqn"
}
nvme_take() {
  nvme connect -t tcp -a 127.0.0.1 -s 4420 -n "$nqn" > "$WORK/nvme.log" 2>&1 || fail "nvme connect: $(cat "$WORK/nvme.log")"
  wait_for 20 "the NVMe disk" nvme_disk
}
nvme_disk() {
  local found
  for found in /sys/block/nvme*n1; do
    # its paths are listed, too, as nvme0c0n1
    if [[ $found =~ /nvme[0-9]+n1$ ]]; then DISK=/dev/${found##*/} && return; fi
  done
  return 1
}
nvme_grow() { echo 1 > "$nvmet/subsystems/$nqn/namespaces/1/revalidate_size"; }
nvme_leave() { nvme disconnect -n "$nqn" >> "$WORK/nvme.log"; }
nvme_end() {
  rm "$nvmet/ports/1/subsystems/$nqn"
  rmdir "$nvmet/ports/1" "$nvmet/subsystems/$nqn/namespaces/1" "$nvmet/subsystems/$nqn"
}
# the same by iSCSI
iscsi_export() {
  local core=$lio/core/iblock_0/$name tpg=$lio/iscsi/$iqn/tpgt_1
  mkdir -p "$core"
  printf 'udev_path=%s' "$NODE" > "$core/control"
  printf %s "$NODE" > "$core/udev_path"
  echo 1 > "$core/enable"
  echo 1 > "$core/attrib/emulate_tpu"
  mkdir -p "$tpg/np/127.0.0.1:3260" "$tpg/lun/lun_0"
  ln -s "$core" "$tpg/lun/lun_0/$name"
  for word in "authentication 0" "generate_node_acls 1" "demo_mode_write_protect 0" "cache_dynamic_acls 1"; do echo "${word#* }" > "$tpg/attrib/${word% *}"; done
  echo 1 > "$tpg/enable"
}
iscsi_take() {
  wait_for 20 "iSCSI's discovery" iscsi_found
  iscsiadm -m node -T "$iqn" -p 127.0.0.1:3260 --login > "$WORK/iscsi.log" 2>&1 || fail "iscsiadm --login: $(cat "$WORK/iscsi.log")"
  wait_for 20 "the iSCSI disk" iscsi_disk
  # by itself Linux' initiator discards by a longer WRITE SAME than Linux' target says that it takes
  echo unmap > "/sys/block/${DISK#/dev/}/device/scsi_disk/$(ls "/sys/block/${DISK#/dev/}/device/scsi_disk")/provisioning_mode"
}
iscsi_found() { iscsiadm -m discovery -t sendtargets -p 127.0.0.1:3260 > "$WORK/iscsi.log" 2>&1; }
iscsi_disk() {
  local found
  for found in /sys/class/iscsi_session/session*/device/target*/*/block/sd*; do
    if [ -e "$found" ]; then DISK=/dev/${found##*/} && return; fi
  done
  return 1
}
iscsi_grow() { iscsiadm -m session --rescan > "$WORK/iscsi.log" 2>&1; }
iscsi_leave() { iscsiadm -m node -T "$iqn" -p 127.0.0.1:3260 --logout > "$WORK/iscsi.log" 2>&1; }
iscsi_end() {
  local core=$lio/core/iblock_0/$name tpg=$lio/iscsi/$iqn/tpgt_1
  echo 0 > "$tpg/enable"
  rm "$tpg/lun/lun_0/$name"
  rmdir "$tpg/lun/lun_0" "$tpg/np/127.0.0.1:3260" "$tpg" "$lio/iscsi/$iqn" "$core"
}
has_grown() { [ "$(blockdev --getsize64 "$DISK")" = "$1" ]; }

for transport in $TRANSPORTS; do
  for target in nvme iscsi; do
    say "$transport, $target: an initiator's file system"
    attach "$transport" "$target" 128M
    "${target}_export"
    "${target}_take"
    mkfs.ext4 -q "$DISK"
    mount "$DISK" "$WORK/a"
    cp -r "$WORK/data" "$WORK/a/one"
    sync -f "$WORK/a"
    refuses -c 5 -m 'it is held by|in use|busy' restblk detach "main/$target"

    say "$transport, $target: the daemon dies"
    crash daemon
    cp -r "$WORK/data" "$WORK/a/two" &
    copying=$!
    sleep 2
    daemon_again
    wait "$copying" || fail "a copy while the daemon was away failed"
    sync -f "$WORK/a"
    rm -r "$WORK/a/one"
    fstrim "$WORK/a"

    say "$transport, $target: it grows"
    restblk extend "main/$target" 192M
    "${target}_grow"
    wait_for 30 "the initiator's disk to grow" has_grown $((192 << 20))
    resize2fs "$DISK" > "$WORK/resize.log" 2>&1 || fail "resize2fs: $(cat "$WORK/resize.log")"
    cp -r "$WORK/data" "$WORK/a/three"
    umount "$WORK/a"
    "${target}_leave"
    "${target}_end"

    say "$transport, $target: what is on the device"
    fsck ext4
    mount -o ro "$NODE" "$WORK/b"
    same_tree "$WORK/data" "$WORK/b/two"
    same_tree "$WORK/data" "$WORK/b/three"
    umount "$WORK/b"
    end_of "main/$target"
  done
  quiet_kernel
  figure "$transport: a file system over NVMe/TCP and over iSCSI kept every byte through the daemon's death, grew and was trimmed in use"
done
