#!/usr/bin/env bash
# Installs what the rig needs into the current folder: Python packages into venv/, about 50 MB of Debian packages
# unpacked into root/. Nothing of the machine is changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p debs root
(
  cd debs
  apt-get update -qq || true
  # what is not installed yet of their dependencies, less what only their installation scripts use
  apt-get install -s --no-install-recommends rabbitmq-server mariadb-server qemu-utils 2> /dev/null | awk '/^Inst/ { print $2 }' \
    | grep -Ev '^(perl|libperl|gawk|libsigsegv|logrotate|rsync|libwrap|socat|galera|libdbi|libconfig)' | xargs -r apt-get download -qq
)
for package in debs/*.deb; do dpkg -x "$package" root; done
sed -i "s#ROOTDIR=/usr/lib/erlang#ROOTDIR=$PWD/root/usr/lib/erlang#" root/usr/lib/erlang/bin/erl
rm -rf debs
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
