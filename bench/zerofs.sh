# shellcheck shell=bash
# ZeroFS (`# tools: zerofs`) for bench/object-peers.sh: a device of its NBD server, on the bucket `zerofs`, with a disk cache of its own.
# By default it is what its documentation shows; half a GiB of block cache, so that its memory is bounded as restblk's is.

zerofs_cache=$WORK/zerofs-cache
zerofs_uri="nbd+unix:///volume?socket=$WORK/zerofs-nbd.sock"

# start_zerofs URL_OF_THE_STORE
start_zerofs() {
  cat > "$WORK/zerofs.toml" << END
[cache]
dir = "$zerofs_cache"
disk_size_gb = 4.0
memory_size_gb = 0.5
[storage]
url = "s3://zerofs/volume"
encryption_password = "of a bench"
[servers.ninep]
unix_socket = "$WORK/zerofs-9p.sock"
[servers.nbd]
unix_socket = "$WORK/zerofs-nbd.sock"
[aws]
endpoint = "$1"
allow_http = "true"
access_key_id = "KEY"
secret_access_key = "SECRET"
default_region = "us-east-1"
END
  rm -f "$WORK/zerofs-9p.sock" "$WORK/zerofs-nbd.sock"
  start zerofs zerofs run -c "$WORK/zerofs.toml"
  wait_for 60 "ZeroFS's answer" zerofs_listens
}
zerofs_listens() { is_running zerofs || fail "ZeroFS has ended; see zerofs.log"; [ -S "$WORK/zerofs-nbd.sock" ] && [ -S "$WORK/zerofs-9p.sock" ]; }
# new_zerofs URL MIB: a new device; its name is that of a file, which the 9P server makes
new_zerofs() {
  rm -rf "$zerofs_cache"
  start_zerofs "$1"
  python3 "$RESTBLK_ROOT/bench/zerofs_volume.py" "$WORK/zerofs-9p.sock" $(($2 << 20))
}
# cold_zerofs URL: started anew, with nothing on the host's disk
cold_zerofs() {
  stop zerofs 120
  rm -rf "$zerofs_cache"
  start_zerofs "$1"
}
