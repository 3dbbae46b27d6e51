# shellcheck shell=bash
# OpenStack Keystone, from PyPI, over SQLite. start_keystone [LINES…] sets KEYSTONE_URL (ends with /v3) and KEYSTONE_PROJECT_ID; the user admin has the
# password `hunter two` and the role admin in the project admin. LINES are of its configuration. keystone_before_swift makes start_swift ask it for tokens' rights;
# keystone_application_credential prints the id of a new credential with the secret `swift secret`.

install_keystone() {
  apt_packages python3-venv python3-keystonemiddleware curl jq
  installed keystone-30.0.0 in_venv keystone==30.0.0
}

start_keystone() {
  install_keystone
  local folder=$WORK/keystone bin=$SERVERS/keystone-30.0.0/bin port
  port=$(free_port)
  mkdir -p "$folder"
  {
    printf '%s\n' "[database]" "connection = sqlite:///$folder/db" "[fernet_tokens]" "key_repository = $folder/fernet" \
      "[credential]" "key_repository = $folder/credential" "[identity]" "password_hash_rounds = 4"
    printf '%s\n' "$@"
  } > "$folder/conf"
  KEYSTONE_URL=http://127.0.0.1:$port/v3
  local manage=("$bin/keystone-manage" --config-file "$folder/conf") who
  who=(--keystone-user "$(id -un)" --keystone-group "$(id -gn)")
  {
    "${manage[@]}" db_sync && "${manage[@]}" fernet_setup "${who[@]}" && "${manage[@]}" credential_setup "${who[@]}" \
      && "${manage[@]}" bootstrap --bootstrap-password 'hunter two' --bootstrap-region-id RegionOne --bootstrap-public-url "$KEYSTONE_URL" --bootstrap-internal-url "$KEYSTONE_URL"
  } > "$folder/manage.log" 2>&1 || fail "Keystone cannot be set up: $(tail -n 3 "$folder/manage.log")"
  start keystone "$bin/python" "$RESTBLK_ROOT/tests/servers/serve_keystone.py" "$port" "$folder/conf"
  wait_for 60 "Keystone's answer" started_and_answers keystone "$KEYSTONE_URL"
  keystone_login
}

# Who the administrator is: KEYSTONE_TOKEN, KEYSTONE_USER_ID, KEYSTONE_PROJECT_ID.
keystone_login() {
  local body='{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"admin","domain":{"name":"Default"},"password":"hunter two"}}},"scope":{"project":{"name":"admin","domain":{"name":"Default"}}}}}'
  curl -sS --fail-with-body --max-time 60 -D "$WORK/keystone/head" -o "$WORK/keystone/token.json" -H 'Content-Type: application/json' -d "$body" "$KEYSTONE_URL/auth/tokens"
  KEYSTONE_TOKEN=$(sed -n 's/^x-subject-token: \([^\r]*\).*/\1/Ip' "$WORK/keystone/head")
  KEYSTONE_USER_ID=$(jq -r .token.user.id "$WORK/keystone/token.json")
  # shellcheck disable=SC2034
  KEYSTONE_PROJECT_ID=$(jq -r .token.project.id "$WORK/keystone/token.json")
}
keystone_application_credential() {
  # a token that was got earlier may have ended
  keystone_login
  curl -sS --fail-with-body --max-time 60 -H "X-Auth-Token: $KEYSTONE_TOKEN" -H 'Content-Type: application/json' \
    -d '{"application_credential":{"name":"restblk","secret":"swift secret"}}' "$KEYSTONE_URL/users/$KEYSTONE_USER_ID/application_credentials" | jq -r .application_credential.id
}

# shellcheck disable=SC2034
keystone_before_swift() {
  SWIFT_PIPELINE="authtoken keystoneauth"
  SWIFT_AUTH="keystoneauth use = egg:swift#keystoneauth"$'\n'"operator_roles = admin"
  SWIFT_FILTERS="[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = $KEYSTONE_URL
auth_url = $KEYSTONE_URL
auth_type = password
username = admin
password = hunter two
project_name = admin
user_domain_id = default
project_domain_id = default
delay_auth_decision = true
cache = swift.cache"
}
