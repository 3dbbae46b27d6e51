# shellcheck shell=bash
# lighttpd with mod_webdav, from Debian. start_lighttpd [LINES…] sets LIGHTTPD_URL and keeps its files in $WORK/lighttpd/data; LINES are
# of its configuration (PARTIAL_PUT: the one that has it write ranges in place).

PARTIAL_PUT='webdav.opts = ("deprecated-unsafe-partial-put" => "enable")'

install_lighttpd() { apt_packages lighttpd lighttpd-mod-webdav; }
lighttpd_version() { lighttpd -v | sed -n 's/^lighttpd\/\([^ ]*\).*/\1/p'; }

start_lighttpd() {
  install_lighttpd
  local folder=$WORK/lighttpd
  mkdir -p "$folder/data" "$folder/uploads"
  lighttpd_port=${lighttpd_port:-$(free_port)}
  cat > "$folder/conf" << CONF
server.document-root = "$folder/data"
server.bind = "127.0.0.1"
server.port = $lighttpd_port
server.errorlog = "$folder/error.log"
server.upload-dirs = ("$folder/uploads")
server.modules = ("mod_auth", "mod_authn_file", "mod_webdav")
server.max-keep-alive-requests = 100000000
webdav.activate = "enable"
webdav.sqlite-db-name = "$folder/locks.db"
mimetype.assign = ("" => "application/octet-stream")
CONF
  printf '%s\n' "$@" >> "$folder/conf"
  start lighttpd lighttpd -D -f "$folder/conf"
  # shellcheck disable=SC2034
  LIGHTTPD_URL=http://127.0.0.1:$lighttpd_port
  wait_for 20 "the answer of lighttpd" started_and_answers lighttpd "http://127.0.0.1:$lighttpd_port/"
}
