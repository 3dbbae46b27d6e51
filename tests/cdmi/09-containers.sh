# shellcheck shell=bash
# 7 and 9: containers by HTTP and by CDMI.
cdmi PUT MyContainer/ '{ "metadata" : { "color" : "yellow" } }'
is "9.3 create a container" 201
same "9.3 content type" "$(header content-type)" application/cdmi-container
for name in objectType objectID objectName parentURI parentID domainURI capabilitiesURI completionStatus metadata childrenrange children; do
    has "9.3 mandatory field $name" "has(\"$name\")"
done
has "9.3 objectType" '.objectType == "application/cdmi-container"'
has "9.3 objectName ends with a slash" '.objectName == "MyContainer/"'
has "9.3 parentURI" ".parentURI == \"$PREFIX\""
has "9.3 capabilitiesURI" ".capabilitiesURI == \"${PREFIX}cdmi_capabilities/container/\""
has "9.3 completionStatus" '.completionStatus == "Complete"'
has "9.3 metadata is kept" '.metadata.color == "yellow"'
has "9.3 no children" '.children == [] and .childrenrange == ""'
id=$(field .objectID)
request PUT MyContainer2 -H 'Content-Type: application/cdmi-container' --data-binary '{}'
is "9.2 CDMI create without the slash" 400
status "9.2 and nothing was made" 404 GET MyContainer2/
cdmi GET MyContainer ""
is "9.2 an existing container without the slash" 301
same "9.2 Location" "$(header location)" "${PREFIX}MyContainer/"
status "7.2 create a container by HTTP" 201 PUT MyContainer/sub/ -H 'Content-Length: 0'
status "9.3 create below a container that is not there" 404 PUT MyContainer/no/sub/ -H 'Content-Length: 0'
status "9.3 JSON that is none" 400 PUT MyContainer/bad/ -H 'Content-Type: application/cdmi-container' --data-binary '{'
for n in 0 1 2 3 4 5 6 7 8 9; do
    request PUT "MyContainer/red$n" -H 'Content-Type: text/plain' --data-binary x
done
cdmi GET MyContainer/ ""
is "9.4 read a container" 200
has "9.4 children, containers with a slash" '.children == ["red0","red1","red2","red3","red4","red5","red6","red7","red8","red9","sub/"]'
has "9.4 childrenrange" '.childrenrange == "0-10"'
has "9.4 the same ID" ".objectID == \"$id\""
cdmi GET 'MyContainer/?parentURI&children' ""
has "9.4 named fields" "keys == [\"children\", \"parentURI\"] and .parentURI == \"$PREFIX\""
cdmi GET 'MyContainer/?childrenrange&children=0-2' ""
has "9.4 the first three children" '.childrenrange == "0-2" and .children == ["red0","red1","red2"]'
cdmi GET 'MyContainer/?childrenrange&children=9-99' ""
has "9.4 a range over the end" '.childrenrange == "9-10" and .children == ["red9","sub/"]'
status "9.4 a range that is none" 400 GET 'MyContainer/?children=2-1'
cdmi GET 'MyContainer/?metadata=col' ""
has "9.4 metadata by prefix" '.metadata == {"color":"yellow"}'
status "9.4 a container that is not there" 404 GET MyContainer/no/
status "9.4 a type that it has not" 406 GET MyContainer/ -H 'Accept: image/png'
cdmi PATCH MyContainer/ '{ "metadata" : { "color" : "red", "size" : "big" } }'
is "9.5 update the metadata" 204
cdmi GET MyContainer/ ""
has "9.5 it is updated" '.metadata.color == "red" and .metadata.size == "big"'
cdmi PATCH 'MyContainer/?metadata=size' '{ "metadata" : { "size" : "small", "color" : "green" } }'
is "9.5 update one item" 204
cdmi GET 'MyContainer/?metadata' ""
has "9.5 only that item" '.metadata.color == "red" and .metadata.size == "small"'
cdmi PUT MyContainer/copy/ "{ \"copy\" : \"${PREFIX}MyContainer/sub/\" }"
is "9.3 copy a container" 201
cdmi PUT MyContainer/moved/ "{ \"move\" : \"${PREFIX}MyContainer/copy/\" }"
is "9.3 move a container" 201
status "9.3 the old name is gone" 404 GET MyContainer/copy/
status "9.6 delete a container" 204 DELETE MyContainer/moved/
status "9.6 delete it again" 404 DELETE MyContainer/moved/
status "9.6 without the slash" 301 DELETE MyContainer/sub
status "7.4 delete a container by HTTP" 204 DELETE MyContainer/sub/
for n in 0 1 2 3 4 5 6 7 8 9; do
    request DELETE "MyContainer/red$n"
done
