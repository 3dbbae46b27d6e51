# shellcheck shell=bash
# Not of the specification: the extensions of docs/cdmi.md, where the server advertises them.
request GET cdmi_capabilities/
capabilities=$(cat "$WORK/body")
advertised() {
    printf %s "$capabilities" | jq -e ".capabilities.$1 == \"true\"" >/dev/null
}
if advertised restblk_exclusive_create; then
    status "exclusive create" 201 PUT MyContainer/Ext -H 'If-None-Match: *' --data-binary 0123456789
    status "exclusive create of what is there" 412 PUT MyContainer/Ext -H 'If-None-Match: *' --data-binary x
fi
request PUT MyContainer/Ext --data-binary 0123456789
if advertised restblk_etag; then
    request GET MyContainer/Ext
    tag=$(header etag)
    status "not modified" 304 GET MyContainer/Ext -H "If-None-Match: $tag"
    status "write if it is the one" 204 PATCH MyContainer/Ext -H "If-Match: $tag" -H 'Content-Range: bytes 0-0/*' --data-binary X
    status "write if it were the one" 412 PATCH MyContainer/Ext -H "If-Match: $tag" -H 'Content-Range: bytes 0-0/*' --data-binary Y
fi
if advertised restblk_set_size; then
    status "grow" 204 PATCH 'MyContainer/Ext?restblk_size=65536'
    request HEAD MyContainer/Ext
    same "it has grown" "$(header content-length)" 65536
    status "shrink" 204 PATCH 'MyContainer/Ext?restblk_size=8192'
    status "a size that is none" 400 PATCH 'MyContainer/Ext?restblk_size=many'
fi
if advertised restblk_punch; then
    status "punch" 204 PATCH 'MyContainer/Ext?restblk_punch=2-4'
    request GET MyContainer/Ext -H 'Range: bytes=1-5'
    same "it reads as zero" "$(od -An -c "$WORK/body" | tr -s ' ')" ' 1 \0 \0 \0 5'
fi
if advertised restblk_flush; then
    status "flush" 204 PATCH 'MyContainer/Ext?restblk_flush'
    status "write and flush" 204 PATCH 'MyContainer/Ext?restblk_flush' -H 'Content-Range: bytes 0-0/*' --data-binary Z
    status "flush a container" 204 PATCH 'MyContainer/?restblk_flush'
    status "flush what is not there" 404 PATCH 'MyContainer/no?restblk_flush'
fi
if advertised restblk_instance; then
    request PATCH 'MyContainer/Ext?restblk_flush'
    instance=$(header restblk-instance)
    same "an instance has 32 digits" "$(printf %s "$instance" | tr -d 0-9a-f | wc -c) ${#instance}" "0 32"
    request PATCH MyContainer/Ext -H 'Content-Range: bytes 0-0/*' --data-binary Z
    same "a write is told the instance that a flush is" "$(header restblk-instance)" "$instance"
fi
if advertised restblk_lock; then
    token='X-Restblk-Lock: 6b1d7c52-0f3e-4a57-9d5e-2f1c0a8b9e44' other='X-Restblk-Lock: another-token-of-its-own'
    status "lock" 204 PATCH 'MyContainer/Ext?restblk_lock=acquire&restblk_owner=a%20test' -H "$token"
    status "write to what another has locked" 423 PATCH MyContainer/Ext -H 'Content-Range: bytes 0-0/*' --data-binary L
    same "who has it is told" "$(jq -r .error "$WORK/body" | cut -d' ' -f1-6)" 'MyContainer/Ext is locked by a test'
    status "write with the lock's token" 204 PATCH MyContainer/Ext -H "$token" -H 'Content-Range: bytes 0-0/*' --data-binary L
    status "lock what another has locked" 423 PATCH 'MyContainer/Ext?restblk_lock=acquire' -H "$other"
    status "steal it" 204 PATCH 'MyContainer/Ext?restblk_lock=steal' -H "$other"
    status "write with the token of a stolen lock" 423 PATCH MyContainer/Ext -H "$token" -H 'Content-Range: bytes 0-0/*' --data-binary M
    status "check the stolen lock" 423 PATCH 'MyContainer/Ext?restblk_lock=check' -H "$token"
    status "let it go" 204 PATCH 'MyContainer/Ext?restblk_lock=release' -H "$other"
    status "write once nobody has it locked" 204 PATCH MyContainer/Ext -H 'Content-Range: bytes 0-0/*' --data-binary N
    status "a token that is none" 400 PATCH 'MyContainer/Ext?restblk_lock=acquire' -H 'X-Restblk-Lock: short'
fi
