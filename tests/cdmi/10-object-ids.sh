# shellcheck shell=bash
# 5.3: object IDs, and access by ID.
cdmi PUT MyContainer/ById.txt '{ "value" : "by ID" }'
id=$(field .objectID)
has "5.3 base 16, at most 40 bytes" '.objectID | test("^[0-9A-F]+$") and (length <= 80) and (length % 2 == 0)'
same "5.3 the length byte" "$((16#${id:10:2} * 2))" "${#id}"
same "5.3 the reserved bytes" "${id:0:2}${id:8:2}" 0000
request GET "cdmi_objectid/$id"
is "5.3 read by ID" 200
same "5.3 the value" "$(cat "$WORK/body")" 'by ID'
cdmi GET "cdmi_objectid/$id" ""
has "5.3 the fields" ".objectID == \"$id\" and .objectName == \"ById.txt\" and .parentURI == \"${PREFIX}MyContainer/\""
request PATCH "cdmi_objectid/$id" -H 'Content-Range: bytes 0-1/*' --data-binary BY
is "5.3 update by ID" 204
request GET MyContainer/ById.txt
same "5.3 it is the same object" "$(cat "$WORK/body")" 'BY ID'
cdmi GET MyContainer/ ""
container=$(field .objectID)
cdmi GET "cdmi_objectid/$container/" ""
has "5.3 a container by ID" '.objectName == "MyContainer/"'
request GET "cdmi_objectid/$container/ById.txt"
same "5.3 and its child" "$(cat "$WORK/body")" 'BY ID'
status "5.3 an ID that nothing has" 404 GET cdmi_objectid/00007E7F0010BD1CB8FF1823CF05BEE4
status "5.3 an ID with a wrong checksum" 400 GET cdmi_objectid/00007E7F0010BD1DB8FF1823CF05BEE4
status "5.3 delete by ID" 204 DELETE "cdmi_objectid/$id"
status "5.3 it is gone" 404 GET MyContainer/ById.txt
