#!/bin/bash
# The whole walk of the 2014 driver's README through the control files, by echo and cat alone, and every error of the
# driver's table with its errno.
#
#   walk.sh CONTROL URL [URL2]
#
# CONTROL is the mount point of the control files (/run/restblk/control) of a daemon whose default pool does not exist;
# URL is a repository of volumes that is there and empty, URL2 another mirror of the same. The environment can say:
#   BY_NAME     where devices appear by name (default /dev/restblk/by-name)
#   HOLD        a command that attaches the volume walk2 to another host; RELEASE, one that detaches it there
#   STORE_DOWN  a command after which the store answers nothing, to see EIO; STORE_UP, one that brings it back
# Needs root, mkfs.ext4, blockdev, mount. Leaves nothing behind. Prints one line a step; the last one counts the checks.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
[ $# -ge 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
control=$1 url=$2 url2=${3:-}
by_name=${BY_NAME:-/dev/restblk/by-name}
folder=$(mktemp -d) checks=0 down=''
cd "$control"

fail() { printf 'FAILED: %s\n' "$*" >&2; [ ! -s last_error ] || sed 's/^/last_error: /' last_error >&2; exit 1; }
say() { printf '%s\n' "$*"; }
holds() { checks=$((checks + 1)); }

# What bash says of a failed write, as errno.
errno() {
  case $1 in
    '') echo OK ;;
    *': Invalid argument') echo EINVAL ;;
    *': No such device or address') echo ENXIO ;;
    *': No such device') echo ENODEV ;;
    *': No such file or directory') echo ENOENT ;;
    *': File exists') echo EEXIST ;;
    *': Device or resource busy') echo EBUSY ;;
    *': Input/output error') echo EIO ;;
    *': Permission denied') echo EACCES ;;
    *) echo "${1##*: }" ;;
  esac
}
# gives ERRNO FILE TEXT: `echo TEXT > FILE` ends so.
gives() {
  local said found
  said=$( { echo "$3" > "$2"; } 2>&1) || true
  found=$(errno "$said")
  [ "$found" = "$1" ] || fail "echo '$3' > $2: wanted $1, found $found ($said)"
  [ "$1" = OK ] || say "  $1: echo '${3:0:60}' > $2"
  holds
}
# shows FILE TEXT: `cat FILE` gives it.
shows() {
  local found
  found=$(cat "$1")
  [ "$found" = "$2" ] || fail "cat $1: wanted '$2', found '$found'"
  holds
}

# shellcheck disable=SC2329 # called at the end
clean_up() {
  local status=$?
  set +e
  if [ -n "$down" ]; then eval "$STORE_UP"; fi
  exec 8<&-
  mountpoint -q "$folder" && umount "$folder"
  for device in walkdev $long31; do echo "$device" > detach; done 2> /dev/null
  for volume in walk1 walk2; do echo "$volume" > destroy; done 2> /dev/null
  for mirror in ${url2:+"$url2"} "$url"; do echo "$mirror" > remove_urls; done 2> /dev/null
  cd /
  rmdir "$folder"
  exit $status
}
long31=$(printf 'd%.0s' {1..31})
trap clean_up EXIT

say "the files tell how to use them"
for file in add_urls remove_urls create extend destroy attach detach; do
  grep -q "^Usage: echo .* > $file\$" "$file" || fail "$file does not tell its usage"
  [ "$(stat -c %a "$file")" = 600 ] || fail "$file has the mode $(stat -c %a "$file")"
  holds
done
for file in urls volumes; do [ "$(stat -c %a "$file")" = 400 ] || fail "$file has the mode $(stat -c %a "$file")"; holds; done

say "without a server"
shows urls ''
shows volumes ''
gives ENXIO create 'walk1 64M'
gives ENODEV attach 'walk1 walkdev'
gives ENOENT destroy walk1
gives ENODEV extend 'walk1 64M'
gives ENOENT remove_urls "$url"

say "add_urls"
for bad in nonsense ftp://host/path http://host http://host:99999/path '' ','; do gives EINVAL add_urls "$bad"; done
# nobody listens there
gives EINVAL add_urls http://127.0.0.1:1/path/
shows urls ''
gives EINVAL add_urls "nonsense,$url"
shows urls "$url"
gives OK add_urls "$url"
shows urls "$url"
if [ -n "$url2" ]; then
  gives OK add_urls "$url,$url2"
  shows urls "$url,$url2"
fi
for bad in nonsense '' ','; do gives EINVAL remove_urls "$bad"; done
gives ENOENT remove_urls http://nowhere.invalid/path

say "create"
for bad in walk1 'walk1 64M more' 'walk1 0' 'walk1 -1' 'walk1 64X' 'walk1 1.5G' 'walk1 17179869184G' 'a/b 64M' ''; do
  gives EINVAL create "$bad"
done
gives OK create 'walk1 64M'
gives EIO create 'walk1 64M'
gives OK create 'walk2 1048576'
shows volumes $'walk1\nwalk2'

say "attach"
for bad in walk1 'walk1 a b' "walk1 ${long31}d" 'walk1 a/b' ''; do gives EINVAL attach "$bad"; done
gives ENODEV attach 'nothing walkdev'
gives OK attach 'walk1 walkdev'
gives EEXIST attach 'walk1 walkdev'
gives EEXIST attach 'walk1 another'
gives EINVAL attach 'walk2 walkdev'
gives OK attach "walk2 $long31"
gives OK detach "$long31"
device=$by_name/walkdev
[ -b "$device" ] || fail "there is no block device $device"
[ "$(blockdev --getsize64 "$device")" = $((64 << 20)) ] || fail "$device has not 64 MiB"
shows devices/walkdev/srb_name walk1
shows devices/walkdev/srb_size $((64 << 20))
shows devices/walkdev/srb_urls "$(cat urls)"
gives OK devices/walkdev/srb_debug 7
shows devices/walkdev/srb_debug 7
for bad in 8 -1 x; do gives EINVAL devices/walkdev/srb_debug "$bad"; done
for file in urls volumes last_error devices/walkdev/srb_name devices/walkdev/srb_size devices/walkdev/srb_urls; do gives EACCES $file x; done

say "a file system on it, mounted, written"
mkfs.ext4 -q -E nodiscard "$device"
mount "$device" "$folder"
head -c 20000000 /dev/urandom > "$folder/file"
sync
sum=$(sha256sum < "$folder/file")

say "extend, while it is mounted"
for bad in walk1 'walk1 64M' 'walk1 1M' 'walk1 x'; do gives EINVAL extend "$bad"; done
gives ENODEV extend 'nothing 64M'
gives OK extend 'walk1 96M'
shows devices/walkdev/srb_size $((96 << 20))
[ "$(blockdev --getsize64 "$device")" = $((96 << 20)) ] || fail "$device has not grown"
[ "$(sha256sum < "$folder/file")" = "$sum" ] || fail "the file has changed"
holds

say "what is in use stays"
gives EBUSY detach walkdev
gives EBUSY destroy walk1
if [ -n "$url2" ]; then gives OK remove_urls "$url2"; fi
gives EBUSY remove_urls "$url"
umount "$folder"
exec 8< "$device"
gives EBUSY detach walkdev
exec 8<&-

say "detach, and find everything again"
gives OK detach walkdev
if [ -e "$device" ] || [ -L "$device" ]; then fail "$device is still there"; fi
[ ! -e devices/walkdev ] || fail "devices/walkdev is still there"
for bad in walkdev nothing '' 'a b'; do gives EINVAL detach "$bad"; done
gives OK attach 'walk1 walkdev'
mount "$device" "$folder"
[ "$(sha256sum < "$folder/file")" = "$sum" ] || fail "the file has changed"
umount "$folder"
gives OK detach walkdev
holds

if [ -n "${HOLD:-}" ]; then
  say "with a volume that another host holds"
  eval "$HOLD"
  gives EEXIST attach 'walk2 walkdev'
  gives EBUSY extend 'walk2 64M'
  gives EBUSY destroy walk2
  eval "${RELEASE:?HOLD needs it}"
fi

if [ -n "${STORE_DOWN:-}" ]; then
  say "with a store that does not answer"
  gives OK attach 'walk2 walkdev'
  # past the page cache and not flushed: a detach has something to flush
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none
  down=yes
  eval "$STORE_DOWN"
  gives EIO create 'walk3 64M'
  gives EIO attach 'walk1 another'
  gives EIO destroy walk1
  gives EIO extend 'walk1 128M'
  gives EIO detach walkdev
  eval "${STORE_UP:?STORE_DOWN needs it}"
  down=''
  gives OK detach walkdev
fi

say "destroy"
gives ENOENT destroy nothing
gives EINVAL destroy 'a b'
gives EINVAL destroy ''
gives OK destroy walk1
gives ENOENT destroy walk1
gives OK destroy walk2
shows volumes ''

say "remove_urls: the last one takes the pool with it"
gives OK remove_urls "$url"
gives ENOENT remove_urls "$url"
shows urls ''
gives ENXIO create 'walk1 64M'
gives EACCES urls "$url"
grep -q "^create walk1 64M: ENXIO: " last_error || fail "last_error does not tell of it"
say "$checks checks"
