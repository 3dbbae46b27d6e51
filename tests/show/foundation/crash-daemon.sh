#!/usr/bin/env bash
# claim: kill -9 of the daemon at 200 random moments under fio with verify and an fsync journal: nothing flushed is lost
# timeout: 2400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/crash.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

begin_work
early=0
for ((round = 0; round < rounds; round++)); do
  # the recovery is waited for, but where the next death is to come in it
  if [ "${kinds[round]}" = early ]; then
    early=$((early + 1))
  else
    wait_for 60 "the recovery of main/raw (round $round, seed $seed)" is_active raw
    wait_for 60 "the recovery of main/fs (round $round, seed $seed)" is_active fs
  fi
  under_way
  still_at_work
  crash daemon
  # what was flushed is on the store, while nobody could bring it there
  look "$WORK/store/raw"
  [ -z "$command" ] || wait "$command" || true
  nap "${pauses[round]}"
  start_daemon
  case ${kinds[round]} in
    extend) wait_for 60 "the pool" restblk show main/raw; check_size ;;
    attach) wait_for 60 "the pool" restblk show main/raw; check_small ;;
  esac
  if [ "${kinds[round + 1]:-}" != early ]; then look "$raw"; fi
  [ $((round % 20)) != 19 ] || say "$((round + 1)) deaths: $(cat "$WORK/look.txt")"
done
end_work "$rounds kills of the daemon ($early in a recovery)"
