# shellcheck shell=bash
# Other people's servers, installed once a machine: `. "$RESTBLK_ROOT/tests/servers/install.sh"`, after tests/lib.sh.
#
# One file a server beside this one, NAME.sh, with two functions: `install_NAME`, which does nothing where it was done
# before, and `start_NAME`, which installs, starts it through `start` and says where it answers (in the variables that
# its head names). Each installation has a folder of its own, named with its version, under ~/.cache/restblk/servers; the
# file `done` in it says that it is whole. Two scripts that install the same thing wait for each other.

SERVERS=${XDG_CACHE_HOME:-$HOME/.cache}/restblk/servers

# installed NAME-VERSION COMMAND…: runs the command, in the new folder $SERVERS/NAME-VERSION, unless it was done before.
installed() {
  local folder=$SERVERS/$1 from
  shift
  [ -e "$folder/done" ] && return
  mkdir -p "$SERVERS"
  (
    flock 9
    if [ ! -e "$folder/done" ]; then
      say "installing $(basename "$folder") (once)"
      from=$(elapsed_ms)
      rm -rf "$folder"
      mkdir -p "$folder"
      (cd "$folder" && "$@") > "$folder.log" 2>&1 < /dev/null || fail "$(basename "$folder") is not installed; see $folder.log: $(tail -n 3 "$folder.log")"
      touch "$folder/done"
      say "installed $(basename "$folder") in $((($(elapsed_ms) - from) / 1000)) s"
    fi
  ) 9> "$folder.lock"
}

# in_venv PACKAGE==VERSION…: a Python environment in this folder; run its modules by bin/python -m.
in_venv() {
  python3 -m venv . && bin/python -m pip install --quiet --disable-pip-version-check "$@"
}
# by_cargo CRATE VERSION [OPTIONS…]: its programs in bin/. Locked, so that it is built as its authors tested it; but built fast rather than
# fast when it runs: nothing here is measured.
by_cargo() {
  # cargo runs us with the tree's own settings
  env -u RUSTFLAGS CARGO_TARGET_DIR="$PWD/build" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false nice cargo install --quiet --locked --root . --version "$2" "${@:3}" "$1" && rm -rf build
}
# by_npm PACKAGE@VERSION…: its programs in node_modules/.bin/.
by_npm() {
  type -P npm > /dev/null || apt_packages npm
  npm install --silent --no-audit --no-fund --prefix . "$@"
}
# apt_packages PACKAGE…: Debian's, those that are missing.
apt_packages() {
  local package missing=()
  for package; do dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  need_root
  say "installing ${missing[*]}"
  (DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
    apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}") > "$WORK/apt.log" 2>&1 \
    || fail "these Debian packages cannot be installed: ${missing[*]}: $(tail -n 3 "$WORK/apt.log")"
}
