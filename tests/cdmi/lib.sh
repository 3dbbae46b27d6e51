# shellcheck shell=bash
# Functions of the sections. A request leaves $CODE, $WORK/head and $WORK/body.
passed=0
failed=0

ok() {
    passed=$((passed + 1))
    echo "ok   $1"
}

fail() {
    failed=$((failed + 1))
    echo "FAIL $1: $2"
}

# request METHOD PATH [curl options]; PATH is below the root URI.
request() {
    local method=$1 path=$2
    shift 2
    local verb=(-X "$method")
    [ "$method" = HEAD ] && verb=(--head)
    # shellcheck disable=SC2086
    CODE=$(curl -sS ${CURL_OPTS:-} "${verb[@]}" -D "$WORK/head" -o "$WORK/body" -w '%{http_code}' "$@" "$BASE$path" 2>"$WORK/error") || CODE="$CODE ($(cat "$WORK/error"))"
}

# cdmi METHOD PATH JSON [curl options]: a request of CDMI type, by the slash at the path's end.
cdmi() {
    local method=$1 path=$2 json=$3 kind=object
    shift 3
    case ${path%%\?*} in */) kind=container ;; esac
    if [ -n "$json" ]; then
        request "$method" "$path" -H "Content-Type: application/cdmi-$kind" -H "Accept: application/cdmi-$kind" --data-binary "$json" "$@"
    else
        request "$method" "$path" -H "Accept: application/cdmi-$kind" "$@"
    fi
}

# is WHAT CODE: the last request's status.
is() {
    if [ "$CODE" = "$2" ]; then ok "$1 → $2"; else fail "$1" "status $CODE, not $2: $(head -c 300 "$WORK/body" 2>/dev/null)"; fi
}

# status WHAT CODE METHOD PATH [curl options]
status() {
    local what=$1 code=$2
    shift 2
    request "$@"
    is "$what" "$code"
}

# same WHAT GOT WANTED
same() {
    if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "got \"$2\", not \"$3\""; fi
}

# field NAME: a field of the last body, as jq writes it raw.
field() {
    jq -r "$1" "$WORK/body" 2>/dev/null
}

# has WHAT FILTER: a jq filter that must be true of the last body.
has() {
    if jq -e "$2" "$WORK/body" >/dev/null 2>&1; then ok "$1"; else fail "$1" "not so in $(head -c 600 "$WORK/body")"; fi
}

# header NAME: of the last response.
header() {
    tr -d '\r' <"$WORK/head" | awk -F': ' -v name="$1" 'tolower($1) == tolower(name) { sub(/^[^:]*: */, ""); value = $0 } END { print value }'
}

# on_disk WHAT FILE TEXT: the file in the server's directory.
on_disk() {
    [ "$ROOT" = - ] && return
    if printf %s "$3" | cmp -s - "$ROOT/$2"; then ok "$1"; else fail "$1" "$ROOT/$2 differs"; fi
}

# Deletes MyContainer with all that the sections leave.
clean_up() {
    local name
    for name in $(cdmi GET MyContainer/cdmi_snapshots/ "" && field '.children[]?'); do
        request DELETE "MyContainer/cdmi_snapshots/$name"
    done
    empty MyContainer/
}

empty() {
    local child
    cdmi GET "$1?children" ""
    for child in $(field '.children[]?'); do
        case $child in
        */) empty "$1$child" ;;
        *) request DELETE "$1$child" ;;
        esac
    done
    request DELETE "$1"
}
