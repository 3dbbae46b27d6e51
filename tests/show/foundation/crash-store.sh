#!/usr/bin/env bash
# claim: kill -9 of the store at 200 random moments under fio with verify and an fsync journal: nothing flushed is lost
# timeout: 2400
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/crash.sh"
need mkfs.ext4 e2fsck fio jq
need_loop

begin_work
for ((round = 0; round < rounds; round++)); do
  under_way
  still_at_work
  crash store
  look_at_store
  nap "${pauses[round]}"
  start_store
  if [ -n "$command" ]; then
    # a command waits for a store that is away for so short a time
    wait "$command" || fail "round $round, seed $seed: $interrupted: $(cat "$WORK/command.txt")"
  fi
  case ${kinds[round]} in
    extend) check_size ;;
    attach) check_small ;;
  esac
  look "$raw"
  [ $((round % 20)) != 19 ] || say "$((round + 1)) deaths: $(cat "$WORK/look.txt")"
done
end_work "$rounds kills of the store"
