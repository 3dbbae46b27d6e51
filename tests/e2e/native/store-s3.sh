#!/usr/bin/env bash
# A pool on S3, against moto: proof and conformance, credentials of each kind, signatures and rights, what is refused.
# timeout: 420
. "$RESTBLK_ROOT/tests/lib.sh"
. "$RESTBLK_ROOT/tests/servers/install.sh"
. "$RESTBLK_ROOT/tests/servers/moto.sh"
. "$RESTBLK_ROOT/tests/servers/s3.sh"
. "$RESTBLK_ROOT/tests/log.sh"
need jq curl mkfs.ext4
need_loop

start_moto
make_bucket "$MOTO_URL/vols" AKTEST SKTEST
store=$(s3_store "$MOTO_URL/vols/pool" AKTEST SKTEST '{"multipart_bytes": "5242880"}')

say "proof and conformance"
conformance "$store" --races 20 --model 150
s3_curl AKTEST SKTEST us-east-1 "$MOTO_URL/vols?uploads=" > "$WORK/uploads"
grep -q ListMultipartUploadsResult "$WORK/uploads" || fail "no list of uploads: $(cat "$WORK/uploads")"
equal "unfinished uploads" 0 "$(grep -c '<UploadId>' "$WORK/uploads" || true)"

say "a pool: its proof is kept, direct volumes are refused with the reason"
start_daemon "[control]" "enabled = false"
echo SKTEST > "$WORK/secret"
restblk pool create main --store s3 --url "$MOTO_URL/vols/main" --user AKTEST --password-file "$WORK/secret" --set storage_class=STANDARD_IA
equal "what is proved" '[true,false]' "$(restblk -o json pool show main | jq -c '[.proven.exclusive_create, .proven.write_in_place]')"
refuses -m 'write in place.*--layout log' restblk create main/v 16M
equal "volumes" 0 "$(restblk -o json list main | jq length)"
equal "objects left by the proof" "main/.restblk/pool" \
  "$(s3_curl AKTEST SKTEST us-east-1 "$MOTO_URL/vols?list-type=2&prefix=main/" | grep -Eo '<Key>[^<]*' | cut -c6-)"
stop daemon
start_daemon
wait_for 20 "the pool after a restart" restblk list main
refuses -c 6 -m 'names no bucket' restblk pool create other --store s3 --url "$MOTO_URL/"
refuses -c 6 -m 'no bucket nowhere' restblk pool create other --store s3 --url "$MOTO_URL/nowhere/" --user AKTEST --password-file "$WORK/secret"
refuses -c 6 -m 'reguion.*region' restblk pool create other --store s3 --url "$MOTO_URL/vols/" --set reguion=x

say "a volume of the log layout"
log_life

say "credentials by web identity, instance and container"
token='eyJ.a.b'
echo "$token" > "$WORK/token"
with() { jq -c --argjson more "$1" 'del(.user, .password_file) | .settings = $more' <<< "$store"; }
conformance "$(with "{\"credentials\": \"web-identity\", \"role_arn\": \"arn:aws:iam::123456789012:role/test\", \"web_identity_token_file\": \"$WORK/token\", \"sts_url\": \"$MOTO_URL\"}")" --once
port=$(free_port)
start metadata python3 "$RESTBLK_ROOT/tests/servers/metadata.py" "$port" 40
wait_for 20 "the metadata service" started_and_answers metadata "http://127.0.0.1:$port/"
conformance "$(with "{\"credentials\": \"instance\", \"metadata_url\": \"http://127.0.0.1:$port\"}")" --once
conformance "$(with "{\"credentials\": \"container\", \"metadata_url\": \"http://127.0.0.1:$port/container\"}")" --once
stop metadata
refuses -m 'metadata service.*does not answer' conformance "$(with "{\"credentials\": \"instance\", \"metadata_url\": \"http://127.0.0.1:$port\"}")" --once
AWS_ACCESS_KEY_ID=AKTEST AWS_SECRET_ACCESS_KEY=SKTEST conformance "$(with '{"credentials": "environment"}')" --once
printf '%s\n' '[ours]' 'aws_access_key_id = AKTEST' 'aws_secret_access_key = SKTEST' > "$WORK/shared"
AWS_SHARED_CREDENTIALS_FILE=$WORK/shared conformance "$(with '{"credentials": "profile", "profile": "ours"}')" --once
refuses -m 'no credentials' conformance "$(with '{"credentials": "environment"}')" --once

say "encryption: by the server, and by a key of ours"
conformance "$(s3_store "$MOTO_URL/vols/sse" AKTEST SKTEST '{"encryption": "server"}')" --once
openssl rand -base64 32 > "$WORK/customer"
conformance "$(s3_store "$MOTO_URL/vols/ssec" AKTEST SKTEST "{\"customer_key_file\": \"$WORK/customer\"}")" --once

say "signatures and rights"
moto_user all 's3:*'
all=$(s3_store "$MOTO_URL/vols/guarded" "$MOTO_KEY" "$MOTO_SECRET") key=$MOTO_KEY
moto_user unlisted s3:GetObject s3:PutObject s3:DeleteObject
unlisted=$(s3_store "$MOTO_URL/vols/guarded" "$MOTO_KEY" "$MOTO_SECRET")
moto_user undeleting s3:GetObject s3:PutObject s3:ListBucket
undeleting=$(s3_store "$MOTO_URL/vols/guarded" "$MOTO_KEY" "$MOTO_SECRET")
moto_guard
conformance "$all" --prove
refuses -m 'secret key.*SignatureDoesNotMatch' conformance "$(s3_store "$MOTO_URL/vols/guarded" "$key" wrong)" --once
refuses -m 'does not know the access key' conformance "$(s3_store "$MOTO_URL/vols/guarded" AKNOBODY wrong)" --once
refuses -m 's3:ListBucket' conformance "$unlisted" --once
refuses -m 'delete .*s3:DeleteObject' conformance "$undeleting" --once
