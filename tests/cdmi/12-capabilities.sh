# shellcheck shell=bash
# 12: capabilities objects.
request GET cdmi_capabilities/ -H 'Accept: application/cdmi-capability'
is "12.2 read the system's capabilities" 200
same "12.2 content type" "$(header content-type)" application/cdmi-capability
has "12.2 objectType" '.objectType == "application/cdmi-capability"'
has "12.2 objectID is base 16 with its own length" '.objectID | test("^00[0-9A-F]{6}00[0-9A-F]+$")'
has "12.2 objectName" '.objectName == "cdmi_capabilities/"'
has "12.2 parentURI is the root" ".parentURI == \"$PREFIX\""
has "12.2 capabilities are strings" '.capabilities | to_entries | all(.value | type == "string" or type == "array")'
has "12.2 children are listed" '.children | index("container/") != null and index("dataobject/") != null'
has "12.2 childrenrange" '.childrenrange == "0-\((.children | length) - 1)"'
for name in cdmi_dataobjects cdmi_object_access_by_ID cdmi_snapshots cdmi_object_copy_from_local cdmi_object_move_from_local; do
    has "12.1.1 $name" ".capabilities.$name == \"true\""
done
for name in cdmi_queues cdmi_query cdmi_notification cdmi_logging cdmi_domains cdmi_serialization_json cdmi_references cdmi_multipart_mime; do
    has "12.1.1 $name is not claimed" ".capabilities.$name == null"
done
request GET 'cdmi_capabilities/?capabilities&objectName'
is "12.2 read named fields" 200
has "12.2 only those fields" 'keys == ["capabilities", "objectName"]'
request GET 'cdmi_capabilities/?children=0-0&childrenrange'
has "12.2 a range of children" '.children == ["container/"] and .childrenrange == "0-0"'
request GET cdmi_capabilities/container/
is "12.2 read the containers' capabilities" 200
for name in cdmi_list_children cdmi_list_children_range cdmi_read_metadata cdmi_modify_metadata cdmi_create_container cdmi_delete_container cdmi_create_dataobject cdmi_create_value_range cdmi_copy_dataobject cdmi_move_dataobject cdmi_snapshot; do
    has "12.1.5 $name" ".capabilities.$name == \"true\""
done
request GET cdmi_capabilities/dataobject/
is "12.2 read the data objects' capabilities" 200
for name in cdmi_read_value cdmi_read_value_range cdmi_modify_value cdmi_modify_value_range cdmi_read_metadata cdmi_modify_metadata cdmi_delete_dataobject cdmi_size cdmi_ctime cdmi_mtime; do
    has "12.1.4 $name" ".capabilities.$name == \"true\""
done
has "12.2 parentURI" ".parentURI == \"${PREFIX}cdmi_capabilities/\""
status "12.2 capabilities that are not there" 404 GET cdmi_capabilities/queue/
status "12 capabilities cannot be written" 405 PUT cdmi_capabilities/ -H 'Content-Length: 0'
request GET cdmi_domains/
is "10 the one domain can be read" 200
