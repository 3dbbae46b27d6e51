# shellcheck shell=bash
# Apache with mod_dav, from Debian. start_apache [LINES…] sets APACHE_URL and keeps its files in $WORK/apache/data; LINES are of its
# configuration.

install_apache() { apt_packages apache2-bin; }
apache_version() { apache2 -v | sed -n 's/.*Apache\/\([^ ]*\).*/\1/p'; }

start_apache() {
  install_apache
  local folder=$WORK/apache modules=/usr/lib/apache2/modules port
  port=$(free_port)
  mkdir -p "$folder/data" "$folder/run"
  cat > "$folder/conf" << CONF
ServerRoot $folder
ServerName localhost
Listen 127.0.0.1:$port
PidFile $folder/run/pid
DefaultRuntimeDir $folder/run
ErrorLog $folder/error.log
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule dav_module $modules/mod_dav.so
LoadModule dav_fs_module $modules/mod_dav_fs.so
DavLockDB $folder/run/locks
DocumentRoot $folder/data
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
LimitRequestBody 0
FileETag MTime Size INode
<Directory $folder/data>
Dav On
Require all granted
</Directory>
CONF
  printf '%s\n' "$@" >> "$folder/conf"
  # as root it wants another user for its workers
  if [ "$(id -u)" = 0 ]; then
    printf 'User www-data\nGroup www-data\n' >> "$folder/conf"
    chown -R www-data:www-data "$folder"
  fi
  start apache apache2 -f "$folder/conf" -DFOREGROUND
  # shellcheck disable=SC2034
  APACHE_URL=http://127.0.0.1:$port
  wait_for 20 "Apache's answer" started_and_answers apache "http://127.0.0.1:$port/"
}
