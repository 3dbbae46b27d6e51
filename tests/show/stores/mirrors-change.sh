#!/usr/bin/env bash
# claim: mirrors are added and removed 1,000 times under load without an error; the last one stays; another repository is refused, and noticed later behind the same name
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/mirrors.sh"
need fio jq
need_loop

changes=${CHANGES:-1000} seed=${CHANGE_SEED:-$(date +%s)}
RANDOM=$((seed % 32768))
for n in 1 2 3; do start_mirror $n; done
start_daemon "[control]" "enabled = false"
pool_of 1
restblk -q create main/a 64M
device=$(restblk -q attach main/a --transport loop)
start_verifying 16 "$device"
working() { is_running fio || fail "after $done_changes changes, seed $seed: fio: $(tail -n 20 "$WORK/fio.log")"; }

declare -A is_in=([1]=1)
done_changes=0
while [ $done_changes -lt "$changes" ]; do
  n=$((RANDOM % 3 + 1))
  if [ -z "${is_in[$n]:-}" ]; then
    restblk -q mirror add main "$(url $n)" > "$WORK/add.txt" 2>&1 || fail "change $done_changes, seed $seed: $(cat "$WORK/add.txt")"
    is_in[$n]=1
  elif [ ${#is_in[@]} -gt 1 ]; then
    restblk -q mirror remove main "$(url $n)" > "$WORK/remove.txt" 2>&1 || fail "change $done_changes, seed $seed: $(cat "$WORK/remove.txt")"
    unset "is_in[$n]"
  else
    continue
  fi
  done_changes=$((done_changes + 1))
  [ $((done_changes % 10)) != 0 ] || working
  [ $((done_changes % 100)) != 0 ] || say "$done_changes changes"
done

say "the last one"
for n in 1 2 3; do
  if [ -z "${is_in[$n]:-}" ]; then restblk -q mirror add main "$(url $n)"; fi
done
restblk -q mirror remove main "$(url 1)"
restblk -q mirror remove main "$(url 2)"
refuses -c 5 -m 'last one' restblk mirror remove main "$(url 3)"
refuses -c 5 -m 'last one' restblk mirror drain main "$(url 3)"

say "another repository"
start_mirror 4
stop m4
start_server 4 foreign
wait_for 20 "the foreign server" curl -s -o "$WORK/answer" "$(url 4)"
refuses -m 'no repository' restblk mirror add main "$(url 4)"
restblk -q pool create other --url "$(url 4)"
restblk -q create other/a 64M
refuses -c 6 -m 'shows the repository' restblk mirror add main "$(url 4)"
restblk -q pool delete other
untouched=$(sha256sum < "$WORK/foreign/a")

say "a clock that is 20 minutes ahead"
port_of[5]=$(free_port) proxy_of[5]=${port_of[5]}
# (not by the program faketime, which would stay between and end alone)
fake=$(find /usr/lib -name libfaketime.so.1 | head -n1)
[ -n "$fake" ] || fail "libfaketime.so.1 is not installed: cargo xtask setup"
start m5 env LD_PRELOAD="$fake" FAKETIME=+20m FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 "$RESTBLK" serve --shared "$WORK/store" --listen "127.0.0.1:${port_of[5]}"
proxy_of[5]=${port_of[5]}
wait_for 20 "the server with the fast clock" curl -s -o "$WORK/answer" "$(url 5)"
refuses -c 6 -m "add the mirror $(url 5): .*clock is (19|20) minutes ahead.*NTP" restblk mirror add main "$(url 5)"
stop m5

say "another repository behind the same name"
restblk -q mirror add main "$(url 1)"
sleep 1
stop m1
start_server 1 foreign
is_foreign() { [ "$(figure_of 1 .state)" = foreign ]; }
noticed=$(elapsed_ms)
wait_for 20 "the notice of another repository" is_foreign
noticed=$(($(elapsed_ms) - noticed))
sleep 3
working
grep -q 'shows another repository now' "$WORK/daemon.log" || fail "the log does not tell of the other repository"
equal "the other repository's volume" "$untouched" "$(sha256sum < "$WORK/foreign/a")"
stop m1
start_server 1
is_up() { [ "$(figure_of 1 .state)" = up ]; }
wait_for 30 "the return of the right one" is_up
sleep 1
touch "$WORK/stop"
wait_for 200 "the end of fio" not_running fio
[ -s "$WORK/fio.runs" ] || fail "fio did not finish a run: $(tail -n 20 "$WORK/fio.log")"
! grep -q . "$WORK/fio.log" || fail "fio: $(tail -n 20 "$WORK/fio.log")"
restblk -q detach main/a
figure "$done_changes changes (seed $seed) under $(cat "$WORK/fio.runs") verified runs of fio, 0 errors; the last one stayed; another repository and a clock 20 minutes ahead were refused; behind the same name it was noticed after $noticed ms"
