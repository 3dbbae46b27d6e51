# shellcheck shell=bash
# An apt of our own, beside the host's: own lists, own sources, own status; the host's apt is not disturbed.
#
# The mirror, the keys and the proxies are those of the host: no host name of a package archive is written in this tree.
# RESTBLK_VM_MIRROR overrides the mirror, for a host that is not Debian.

# The URI of the Debian mirror from which this host installs (not its security archive).
debian_mirror() {
  if [ -n "${RESTBLK_VM_MIRROR:-}" ]; then
    echo "$RESTBLK_VM_MIRROR"
    return
  fi
  local uri
  # shellcheck disable=SC2016
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n1)
  [ -n "$uri" ] || uri=$(sed -nE -e 's/^URIs: *([^ ]+).*/\1/p' -e 's/^deb (\[[^]]*\] *)?([^ ]+) .*/\2/p' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -E '/debian/?$' | head -n1)
  [ -n "$uri" ] || die "no Debian mirror found in this host's apt sources: run apt-get update, or set RESTBLK_VM_MIRROR to a mirror's URI"
  echo "$uri"
}

# One line of sources.list for suite $1.
debian_source() {
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg by=
  [ -e "$keys" ] && by="[signed-by=$keys] "
  echo "deb $by$(debian_mirror) $1 main"
}

# The host's settings for fetching (proxies, validity, time-outs), as a piece of apt.conf.
host_acquire() { apt-config dump | grep '^Acquire::' | grep -v -e IndexTargets -e Changelogs; }

# Makes an apt for suite $1 in folder $2, and points APT_CONFIG at it.
private_apt() {
  local dir=$2
  mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial
  : > "$dir/status"
  debian_source "$1" > "$dir/sources.list"
  host_acquire > "$dir/apt.conf"
  # /dev/null: neither the host's sources nor its pins nor its hooks
  cat >> "$dir/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Sandbox::User "root";
Dir::State "$dir/state";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
// the lists of a development suite may be older than they say
Acquire::Check-Valid-Until "false";
CONF
  export APT_CONFIG=$dir/apt.conf
}
