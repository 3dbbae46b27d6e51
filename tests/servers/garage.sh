# shellcheck shell=bash
# Garage: a distributed S3 store, as a crate (built here: long). start_garage BUCKET… sets GARAGE_URL, GARAGE_KEY and GARAGE_SECRET; its
# region is `garage`.

# With LMDB alone: the bundled SQLite is a second C library to build.
install_garage() { installed garage-2.5.0 by_cargo garage 2.5.0 --no-default-features --features bundled-libs,lmdb; }

start_garage() {
  install_garage
  local rpc s3 admin bucket garage
  rpc=$(free_port) s3=$(free_port) admin=$(free_port)
  mkdir -p "$WORK/garage"
  cat > "$WORK/garage.toml" << TOML
metadata_dir = "$WORK/garage/meta"
data_dir = "$WORK/garage/data"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(openssl rand -hex 32)"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$s3"
root_domain = ".s3.garage"
[admin]
api_bind_addr = "127.0.0.1:$admin"
TOML
  garage=("$SERVERS/garage-2.5.0/bin/garage" -c "$WORK/garage.toml")
  start garage "${garage[@]}" server
  # shellcheck disable=SC2034
  GARAGE_URL=http://127.0.0.1:$s3
  wait_for 30 "the answer of Garage" started_and_answers garage "$GARAGE_URL/"
  "${garage[@]}" layout assign -z here -c 1G "$("${garage[@]}" node id -q | cut -d@ -f1)"
  "${garage[@]}" layout apply --version 1
  "${garage[@]}" key create test > "$WORK/garage.key"
  # shellcheck disable=SC2034
  GARAGE_KEY=$(sed -n 's/^Key ID: *//p' "$WORK/garage.key") GARAGE_SECRET=$(sed -n 's/^Secret key: *//p' "$WORK/garage.key")
  for bucket; do
    "${garage[@]}" bucket create "$bucket"
    "${garage[@]}" bucket allow --read --write --owner "$bucket" --key test
  done
}
