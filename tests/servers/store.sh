# shellcheck shell=bash
# What scripts do with a store of any kind: prove it, run the conformance suite on it, and read what was proved.

# conformance STORE [OPTIONS]: proves the store of this StoreConfig in JSON and runs the suite on it.
conformance() { "$RESTBLK_PROGRAMS/examples/conformance" - "${@:2}" <<< "$1"; }
# prove STORE: only the proof, kept in $WORK/proof.
prove() {
  conformance "$1" --prove > "$WORK/proof.log" 2>&1 || fail "the store cannot be proved: $(tail -n 3 "$WORK/proof.log")"
  sed -n 's/^proof: //p' "$WORK/proof.log" > "$WORK/proof"
}
# proof_says FILTER: what jq finds in the last proof.
proof_says() { jq -rc "$1" "$WORK/proof"; }
# web_store KIND URL [SETTINGS in JSON]: prints a StoreConfig in JSON without credentials.
web_store() {
  jq -nc --arg kind "$1" --arg url "$2" --argjson settings "${3:-{\}}" \
    '{ kind: $kind, urls: [$url], settings: $settings, request_timeout_ms: 20000, fail_after_ms: 60000 }'
}
