# shellcheck shell=bash
# 16: metadata.
cdmi PUT MyContainer/Meta.txt '{ "metadata" : { "colour" : "blue", "colormap" : "x", "nested" : { "a" : [ "b" ] } }, "value" : "0123456789" }'
is "16 create with metadata" 201
cdmi GET 'MyContainer/Meta.txt?metadata' ""
is "16 read the metadata" 200
has "16 only the metadata" 'keys == ["metadata"]'
has "16.3 the user's items as they were" '.metadata.colour == "blue" and .metadata.nested == {"a":["b"]}'
has "16.2 cdmi_size, a string" '.metadata.cdmi_size == "10"'
has "16.2 cdmi_ctime, ISO 8601 with microseconds" '.metadata.cdmi_ctime | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$")'
has "16.2 cdmi_mtime" '.metadata.cdmi_mtime | test("Z$")'
cdmi GET 'MyContainer/Meta.txt?metadata=colo' ""
has "16 by prefix" '.metadata == {"colour":"blue","colormap":"x"}'
cdmi PATCH 'MyContainer/Meta.txt?metadata=colour' '{ "metadata" : { "colour" : "green" } }'
is "16 update one item" 204
cdmi GET 'MyContainer/Meta.txt?metadata' ""
has "16 only that one" '.metadata.colour == "green" and .metadata.colormap == "x"'
cdmi PATCH 'MyContainer/Meta.txt?metadata=colour' '{ "metadata" : { } }'
is "16 remove one item" 204
cdmi PATCH MyContainer/Meta.txt '{ "metadata" : { "cdmi_size" : "99", "only" : "this" } }'
is "16 replace all items" 204
cdmi GET 'MyContainer/Meta.txt?metadata' ""
has "16 they are replaced" '.metadata.only == "this" and (.metadata | has("colormap") | not)'
has "16.2 what the system keeps cannot be given" '.metadata.cdmi_size == "10"'
request GET MyContainer/Meta.txt
same "16 the value is untouched" "$(cat "$WORK/body")" 0123456789
cdmi PATCH MyContainer/Meta.txt "{ \"metadata\" : { \"big\" : \"$(head -c 4000 /dev/zero | tr '\0' x)\" } }"
is "16 more than can be kept" 413
cdmi PATCH MyContainer/Meta.txt '{ "metadata" : [ ] }'
is "16 metadata that is no object" 400
