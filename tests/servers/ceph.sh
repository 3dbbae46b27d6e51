# shellcheck shell=bash
# Ceph's radosgw with one monitor and one OSD in memory, from Debian sid, in a tree of its own. start_ceph sets CEPH_URL; the keys are AKTEST and
# SKTESTSKTEST, and buckets are made by signed requests. ceph_admin runs radosgw-admin.

install_ceph() {
  need mmdebstrap
  need_root
  installed ceph-sid ceph_tree
}
ceph_tree() (
  die() { echo "$*" >&2; exit 1; }
  # shellcheck source=/dev/null
  . "$RESTBLK_ROOT/vm/build/apt.sh"
  host_acquire > acquire.conf
  mmdebstrap --quiet --mode=root --variant=minbase --architectures=amd64 --include=ceph-mon,ceph-osd,radosgw,ceph-common \
    --aptopt="$PWD/acquire.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt=force-unsafe-io sid "$PWD/tree" - <<< "$(debian_source sid)"
  rm -rf tree/var/cache/apt tree/var/lib/apt/lists
  mkdir tree/work
)

# COMMAND of "${in_ceph[@]}" COMMAND…: in Ceph's tree, with $WORK/ceph as /work. The mounts are in a namespace of its own.
# shellcheck disable=SC2016
in_ceph=(unshare --mount --propagation private bash -c '
  tree=$1 work=$2
  shift 2
  mount --bind "$work" "$tree/work" && mount -t proc proc "$tree/proc" && mount --rbind /dev "$tree/dev" && exec chroot "$tree" "$@"'
  in_ceph "$SERVERS/ceph-sid/tree" "$WORK/ceph")
ceph_admin() { "${in_ceph[@]}" radosgw-admin -c /work/ceph.conf -n client.rgw "$@"; }
ceph_version() { "${in_ceph[@]}" radosgw --version | awk '{ print $3 }'; }

# start_ceph [LINES…]: LINES are for the section of the gateway in ceph.conf.
start_ceph() {
  install_ceph
  local mon rgw id osd
  mon=$(free_port) rgw=$(free_port) id=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
  rm -rf "$WORK/ceph"
  mkdir -p "$WORK/ceph"/{mon,osd,run,log}
  cat > "$WORK/ceph/ceph.conf" << CONF
[global]
fsid = $id
mon host = v1:127.0.0.1:$mon
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
mon pg warn min per osd = 0
mon max pg per osd = 2000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 6442450944
memstore page set = true
osd memory target = 1500000000
ms bind ipv6 = false
ms bind msgr2 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
log file = /work/log/\$name.log
run dir = /work/run
admin socket = /work/run/\$name.asok
[mon.a]
mon data = /work/mon
mon initial members = a
[osd.0]
osd data = /work/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$rgw tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw dynamic resharding = false
rgw relaxed s3 bucket names = true
$(printf '%s\n' "$@")
CONF
  "${in_ceph[@]}" monmaptool --create --clobber --addv a "v1:127.0.0.1:$mon" --fsid "$id" /work/monmap > /dev/null
  "${in_ceph[@]}" ceph-mon -i a -c /work/ceph.conf --mkfs --monmap /work/monmap
  start ceph-mon "${in_ceph[@]}" ceph-mon -f -i a -c /work/ceph.conf
  wait_for 120 "the start of Ceph's monitor" "${in_ceph[@]}" timeout 20 ceph -c /work/ceph.conf osd new "$osd"
  "${in_ceph[@]}" ceph-osd -i 0 -c /work/ceph.conf --mkfs --osd-uuid "$osd" > "$WORK/ceph-mkfs.log" 2>&1
  start ceph-osd "${in_ceph[@]}" ceph-osd -f -i 0 -c /work/ceph.conf
  wait_for 120 "the start of Ceph's OSD" ceph_osd_is_up
  start radosgw "${in_ceph[@]}" radosgw -f -n client.rgw -c /work/ceph.conf
  # shellcheck disable=SC2034
  CEPH_URL=http://127.0.0.1:$rgw
  wait_for 120 "radosgw's answer" started_and_answers radosgw "$CEPH_URL/"
  ceph_admin user create --uid=t --display-name=t --access-key=AKTEST --secret-key=SKTESTSKTEST > "$WORK/ceph-user.log" 2>&1
}
ceph_osd_is_up() { "${in_ceph[@]}" timeout 20 ceph -c /work/ceph.conf osd stat | grep -q '1 up'; }
