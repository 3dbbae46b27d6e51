#!/usr/bin/env bash
# claim: every object of a log volume, removed, cut off, flipped or exchanged, is told by restblk check; heads and maps are rebuilt from the segments, byte for byte
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/check.sh"
need fio jq nbdcopy python3
need_loop

check_ground
say "each object, one after the other, in one of four ways"
told=0 rebuilt=0 lost=0 harmless=0
while IFS= read -r object; do
  for harm in removed cut flipped exchanged; do
    check_harm "$object" "$harm" || continue
    status=0
    restblk -o json check main/a --deep > "$WORK/check.json" 2> "$WORK/check.log" || status=$?
    case $status in
      0) harmless=$((harmless + 1)) ;;
      10)
        jq -e --arg object "$object" '[.findings[] | select(.damage)] | length > 0 and any(.object == $object)' "$WORK/check.json" > /dev/null ||
          fail "$object $harm: the check does not name it: $(jq -c .findings "$WORK/check.json")"
        told=$((told + 1))
        status=0
        restblk -o json check main/a --deep --repair > "$WORK/repair.json" 2> "$WORK/check.log" || status=$?
        case $status in
          14)
            check_same || fail "$object $harm: after the repair the volume is another"
            rebuilt=$((rebuilt + 1)) ;;
          10)
            [[ $object != */map/* && $object != */head/* && $object != */epoch/* ]] || fail "$object $harm is not repaired: $(jq -c '[.findings, .steps]' "$WORK/repair.json")"
            lost=$((lost + 1)) ;;
          *) fail "$object $harm: the repair ended with $status: $(cat "$WORK/check.log")" ;;
        esac ;;
      *) fail "$object $harm: the check ended with $status: $(cat "$WORK/check.log")" ;;
    esac
    check_restore
  done
done < <(check_objects)
[ $rebuilt -gt 0 ] && [ $lost -gt 0 ] || fail "$told told, $rebuilt rebuilt, $lost lost: that shows nothing"

say "all heads and all maps"
find "$WORK/store/.restblk/vol" -path '*/head/*' -type f -delete
find "$WORK/store/.restblk/vol" -path '*/map/*' -type f -delete
refuses -c 10 restblk check main/a
status=0
restblk -q check main/a --deep --repair --remove-garbage > "$WORK/repair.txt" 2>&1 || status=$?
equal "the status of the repair" 14 "$status"
check_same || fail "after the loss of all heads and maps the volume is another: $(cat "$WORK/repair.txt")"
from=$(elapsed_ms)
restblk -o json check main/a --deep > "$WORK/check.json"
took=$(($(elapsed_ms) - from)) bytes=$(jq .bytes "$WORK/check.json")
figure "$told harms told by the object's name, $rebuilt of them rebuilt to the byte, $lost lost what was in the object and said so, $harmless harmless; without heads and maps rebuilt to the byte; a deep check read $((bytes >> 20)) MiB in $took ms"
