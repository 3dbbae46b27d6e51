# shellcheck shell=bash
# 8: data objects by CDMI content types.
cdmi PUT MyContainer/MyDataObject.txt '{ "mimetype" : "text/plain", "metadata" : { "color" : "red" }, "value" : "This is the Value of this Data Object" }'
is "8.3 create a data object" 201
same "8.3 content type" "$(header content-type)" application/cdmi-object
for name in objectType objectID objectName parentURI parentID domainURI capabilitiesURI completionStatus mimetype metadata; do
    has "8.3 mandatory field $name" "has(\"$name\")"
done
has "8.3 no value in the answer" 'has("value") | not'
has "8.3 cdmi_size is a string" '.metadata.cdmi_size == "37"'
id=$(field .objectID)
cdmi GET MyContainer/MyDataObject.txt ""
is "8.4 read a data object" 200
for name in objectType objectID objectName parentURI parentID domainURI capabilitiesURI completionStatus mimetype metadata valuerange valuetransferencoding value; do
    has "8.4 mandatory field $name" "has(\"$name\")"
done
has "8.4 objectType" '.objectType == "application/cdmi-object"'
has "8.4 objectName" '.objectName == "MyDataObject.txt"'
has "8.4 parentURI" ".parentURI == \"${PREFIX}MyContainer/\""
has "8.4 capabilitiesURI" ".capabilitiesURI == \"${PREFIX}cdmi_capabilities/dataobject/\""
has "8.4 mimetype" '.mimetype == "text/plain"'
has "8.4 metadata" '.metadata.color == "red"'
has "8.4 encoding" '.valuetransferencoding == "utf-8"'
has "8.4 range" '.valuerange == "0-36"'
has "8.4 value" '.value == "This is the Value of this Data Object"'
cdmi GET 'MyContainer/MyDataObject.txt?value&mimetype' ""
has "8.4 named fields" '.mimetype == "text/plain" and .value == "This is the Value of this Data Object" and (has("objectID") | not)'
cdmi GET 'MyContainer/MyDataObject.txt?valuerange&value=0-10' ""
has "8.4 the first 11 bytes" '.valuerange == "0-10" and .value == "This is the"'
status "8.4 a range past the end" 416 GET 'MyContainer/MyDataObject.txt?value=37-40'
cdmi PUT MyContainer/Binary.txt '{ "mimetype" : "application/octet-stream", "valuetransferencoding" : "base64", "value" : "AAEC/w==" }'
is "8.3 create with base64" 201
request GET MyContainer/Binary.txt
same "8.3 the bytes" "$(od -An -tx1 "$WORK/body" | tr -d ' ')" 000102ff
cdmi GET MyContainer/Binary.txt ""
has "8.4 read as base64" '.valuetransferencoding == "base64" and .value == "AAEC/w==" and .valuerange == "0-3"'
cdmi PUT MyContainer/Bad.txt '{ "valuetransferencoding" : "base64", "value" : "not base64" }'
is "8.3 base64 that is none" 400
cdmi PUT MyContainer/Bad.txt '{ "value" : 5 }'
is "8.3 a value that is no string" 400
cdmi PUT MyContainer/Bad.txt '{ "deserialize" : "/x" }'
is "8.3 what is not supported" 400
status "8.3 and nothing was made" 404 GET MyContainer/Bad.txt
cdmi PUT MyContainer/Empty.txt '{ }'
is "8.3 create without a value" 201
cdmi GET MyContainer/Empty.txt ""
has "8.4 an empty value" '.value == "" and .valuerange == ""'
cdmi PUT MyContainer/Copy.txt "{ \"copy\" : \"${PREFIX}MyContainer/MyDataObject.txt\" }"
is "8.3 copy a data object" 201
has "8.3 with an ID of its own" ".objectID != \"$id\""
has "8.3 and the metadata" '.metadata.color == "red" and .mimetype == "text/plain"'
cdmi PUT MyContainer/Moved.txt "{ \"move\" : \"${PREFIX}MyContainer/Copy.txt\" }"
is "8.3 move a data object" 201
status "8.3 the old name is gone" 404 GET MyContainer/Copy.txt
request GET MyContainer/Moved.txt
same "8.3 the value has moved" "$(cat "$WORK/body")" 'This is the Value of this Data Object'
cdmi PATCH 'MyContainer/MyDataObject.txt?value=21-24' "{ \"value\" : \"$(printf that | base64)\" }"
is "8.5 update 4 bytes" 204
cdmi GET MyContainer/MyDataObject.txt ""
has "8.5 they are in their place" '.value == "This is the Value of that Data Object"'
has "8.5 the same ID" ".objectID == \"$id\""
cdmi PATCH 'MyContainer/MyDataObject.txt?value=0-9' "{ \"value\" : \"$(printf short | base64)\" }"
is "8.5 a range of another length" 400
cdmi PATCH MyContainer/MyDataObject.txt '{ "mimetype" : "text/html", "value" : "new" }'
is "8.5 update the value" 204
cdmi GET MyContainer/MyDataObject.txt ""
has "8.5 it is updated" '.value == "new" and .mimetype == "text/html" and .metadata.color == "red"'
cdmi PATCH MyContainer/no.txt '{ "value" : "x" }'
is "8.5 an object that is not there" 404
cdmi DELETE MyContainer/Moved.txt ""
is "8.6 delete a data object" 204
cdmi DELETE MyContainer/Moved.txt ""
is "8.6 delete it again" 404
