#!/bin/bash
# test: ext4, xfs and btrfs with a tree survive a restart of the daemon; fio verifies the device; a busy device is not detached
# kernels: 7.2
# modules: ext4 xfs btrfs
# timeout: 400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/e2e/guest/daemon.bash"
need mkfs.ext4 mkfs.xfs mkfs.btrfs fio jq

# shellcheck disable=SC2206
trees=(${TREES:-/usr/lib/systemd /usr/lib/python3/dist-packages /etc})
mkdir -p "$WORK/tree" "$WORK/mnt"
for tree in "${trees[@]}"; do cp -a --parents "$tree" "$WORK/tree"; done
files=$(find "$WORK/tree" -type f | wc -l) mebibytes=$(du -sm "$WORK/tree" | cut -f1)
start_host

for transport in $TRANSPORTS; do
  # each other file system once, where nobody asks for all
  kinds=${KINDS:-$([ "$transport" = ublk ] && echo ext4 xfs || echo btrfs)}
  for kind in $kinds; do
    say "$transport, $kind: fill, restart the daemon, compare"
    # the least that mkfs.xfs and mkfs.btrfs take
    case $kind in xfs) size=320M ;; btrfs) size=128M ;; *) size=96M ;; esac
    attach "$transport" "$kind" "$size"
    case $kind in ext4) mkfs.ext4 -q "$DEVICE" ;; xfs) mkfs.xfs -q "$DEVICE" ;; btrfs) mkfs.btrfs -q -m single "$DEVICE" ;; esac
    mount "$DEVICE" "$WORK/mnt"
    cp -a "$WORK/tree" "$WORK/mnt/tree"
    if [ $kind = ext4 ]; then
      # what a user sees who detaches a device in use
      refuses -c 5 -m "it is mounted on $WORK/mnt\$" restblk detach "main/$kind"
      start sandbox unshare -m --propagation private sh -c "mount $NODE /srv && exec sleep 600"
      wait_for 20 "the sandbox's mount" grep -q ' /srv ' "/proc/$(pid_of sandbox)/mountinfo"
      refuses -c 5 -m "mounted on $WORK/mnt, mounted on /srv inside the container or sandbox of sleep \(pid $(pid_of sandbox)\)" \
        restblk detach "main/$kind"
      stop sandbox
    fi
    umount "$WORK/mnt"
    exec 5< "$NODE"
    refuses -c 5 -m "it is open by [a-z0-9.-]+ \(pid $$\)" restblk detach "main/$kind"
    exec 5<&-
    stop daemon 60
    daemon_again
    fsck "$kind"
    mount "$DEVICE" "$WORK/mnt"
    same_tree "$WORK/tree" "$WORK/mnt/tree"
    umount "$WORK/mnt"
    end_of "main/$kind"
  done

  say "$transport: fio, random and sequential"
  attach "$transport" verified 32M
  fio --direct=1 --ioengine=io_uring --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --filename="$DEVICE" \
    --name=random --rw=randwrite --bsrange=4k-16k --size="${FIO_MIB:-4}M" \
    --name=sequential --stonewall --rw=write --bsrange=4k-256k --offset=50% --size="${FIO_MIB:-4}M" \
    --output-format=json --output="$WORK/fio.json" 2> "$WORK/fio.log" || fail "fio: $(tail -n 3 "$WORK/fio.log")"
  read -r written read_back < <(verified "$WORK/fio.json")
  end_of main/verified
  quiet_kernel
  figure "$transport: $files files of $mebibytes MiB on ${kinds// /, } the same after a restart, fsck clean; fio wrote $written MiB and verified $read_back"
done
