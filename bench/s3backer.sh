# shellcheck shell=bash
# s3backer (Debian's package) for bench/object-peers.sh: its file on a mount, an object for each 128 KiB, on the bucket `s3backer`.
# Its cache of written blocks is in memory, and a flush does not wait for the store: what it answered is lost with its process.

s3backer_file=$WORK/s3backer/volume

# start_s3backer URL_OF_THE_STORE MIB
start_s3backer() {
  mkdir -p "$WORK/s3backer"
  # 4096 blocks: half a GiB, as ZeroFS has
  start s3backer s3backer -f --quiet "--baseURL=$1/" --accessId=KEY --accessKey=SECRET --blockSize=128k "--size=$2m" --blockCacheSize=4096 \
    --filename=volume s3backer "$WORK/s3backer"
  wait_for 60 "s3backer's file" s3backer_is_there
}
s3backer_is_there() { is_running s3backer || fail "s3backer has ended; see s3backer.log"; [ -f "$s3backer_file" ]; }
# it writes what it has at the end
end_s3backer() {
  umount "$WORK/s3backer"
  wait_for 120 "the end of s3backer" not_running s3backer
  unset "started[s3backer]"
}
# cold_s3backer URL MIB
cold_s3backer() {
  end_s3backer
  start_s3backer "$@"
}
