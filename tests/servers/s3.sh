# shellcheck shell=bash
# What scripts do on any S3 server: make buckets by signed requests, and write the configuration of a store.
. "$RESTBLK_ROOT/tests/servers/store.sh"

# s3_curl KEY SECRET REGION [OPTIONS of curl…] URL: a signed request with an empty body.
s3_curl() {
  # curl signs what this header says
  curl -sS --fail-with-body --max-time 60 --user "$1:$2" --aws-sigv4 "aws:amz:$3:s3" \
    -H 'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' "${@:4}"
}
# make_bucket URL KEY SECRET [REGION]: URL names the bucket by its path.
make_bucket() { s3_curl "$2" "$3" "${4:-us-east-1}" -X PUT "$1" > /dev/null; }
# s3_store URL KEY SECRET [SETTINGS in JSON]: prints a StoreConfig in JSON; the secret lies in a file of $WORK.
s3_store() {
  local file
  file=$WORK/$2.secret
  printf '%s\n' "$3" > "$file"
  chmod 600 "$file"
  jq -nc --arg url "$1" --arg user "$2" --arg file "$file" --argjson settings "${4:-{\}}" \
    '{ kind: "s3", urls: [$url], user: $user, password_file: $file, settings: $settings, fail_after_ms: 20000 }'
}
# proved STORE ABILITY: whether the proof found it; the proof is printed, and kept in $WORK/proof.
proved() { conformance "$1" --prove | sed -n 's/^proof: //p' > "$WORK/proof" && jq -e ".capabilities.$2" "$WORK/proof" > /dev/null; }
