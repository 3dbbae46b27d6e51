# shellcheck shell=bash
# nginx, from Debian. start_nginx NAME [LINES…] sets NGINX_URL and keeps its files in $WORK/NAME/data; LINES are of its `server`, those in
# NGINX_HTTP of its `http`. NGINX_DAV are the lines for WebDAV as far as nginx itself has it, NGINX_WORKERS how many it has.

NGINX_DAV='location / { dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; }'

install_nginx() { apt_packages nginx-light; }
nginx_version() { nginx -v 2>&1 | sed 's/.*\///'; }

start_nginx() {
  install_nginx
  local name=$1 folder=$WORK/$1 port
  shift
  port=$(free_port)
  mkdir -p "$folder/data" "$folder/temporary"
  {
    [ "$(id -u)" != 0 ] || echo "user www-data;"
    printf '%s\n' "daemon off;" "pid $folder/pid;" "error_log $folder/error.log;" "worker_processes ${NGINX_WORKERS:-1};" "events {}" \
      "http {" "access_log off;" "client_max_body_size 0;" "keepalive_requests 100000000;" "root $folder/data;"
    for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $folder/temporary/$kind;"; done
    printf '%s\n' "${NGINX_HTTP:-}" "server {" "listen 127.0.0.1:$port;" "$@" "}" "}"
  } > "$folder/conf"
  [ "$(id -u)" != 0 ] || chown -R www-data:www-data "$folder"
  start "$name" nginx -c "$folder/conf" -e "$folder/error.log"
  # shellcheck disable=SC2034
  NGINX_URL=http://127.0.0.1:$port
  wait_for 20 "nginx's answer" started_and_answers "$name" "http://127.0.0.1:$port/"
}
