#!/usr/bin/env bash
# claim: the Cinder driver passes Cinder's compliance tests and its own on a real daemon, in under a minute; flake8, hacking and mypy are clean
# timeout: 1800
. "$RESTBLK_ROOT/tests/lib.sh"
for server in install openstack; do . "$RESTBLK_ROOT/tests/servers/$server.sh"; done
need_loop
install_openstack
cd "$RESTBLK_ROOT/cinder"
export PYTHONDONTWRITEBYTECODE=1

in_openstack_venv python -m flake8 restblk_brick restblk_cinder tests rig > "$WORK/flake8" || fail "flake8: $(cat "$WORK/flake8")"
in_openstack_venv python -m mypy --cache-dir "$WORK/mypy" > "$WORK/mypy.log" || fail "mypy: $(cat "$WORK/mypy.log")"
say "flake8 with hacking: clean; mypy: $(tail -n1 "$WORK/mypy.log")"
from=$(elapsed_ms)
ran=$(drivers_tests | grep -Eo '^Ran [0-9]+ tests')
took=$((($(elapsed_ms) - from) / 1000))
[ $took -lt 60 ] || fail "$ran took $took s"
figure "$(sed 's/Ran //' <<< "$ran") passed in $took s, Cinder's compliance tests among them; flake8, hacking and mypy clean"
