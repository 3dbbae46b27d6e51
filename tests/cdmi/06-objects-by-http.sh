# shellcheck shell=bash
# 6: data objects by plain HTTP.
value='This is the Value of this Data Object'
request PUT MyContainer/MyDataObject.txt -H 'Content-Type: text/plain;charset=utf-8' --data-binary "$value"
is "6.2 create a data object" 201
on_disk "6.2 the file is the value" MyContainer/MyDataObject.txt "$value"
request GET MyContainer/MyDataObject.txt
is "6.3 read the value" 200
same "6.3 the value" "$(cat "$WORK/body")" "$value"
same "6.3 content type" "$(header content-type)" 'text/plain;charset=utf-8'
same "6.3 content length" "$(header content-length)" 37
request HEAD MyContainer/MyDataObject.txt
is "6.3 HEAD" 200
same "6.3 HEAD has the length" "$(header content-length)" 37
request GET MyContainer/MyDataObject.txt -H 'Range: bytes=0-10'
is "6.3 read the first 11 bytes" 206
same "6.3 they are" "$(cat "$WORK/body")" 'This is the'
same "6.3 Content-Range" "$(header content-range)" 'bytes 0-10/37'
request GET MyContainer/MyDataObject.txt -H 'Range: bytes=-6'
same "6.3 the last 6 bytes" "$(cat "$WORK/body")" Object
status "6.3 a range past the end" 416 GET MyContainer/MyDataObject.txt -H 'Range: bytes=37-'
same "6.3 and the size" "$(header content-range)" 'bytes */37'
request PATCH MyContainer/MyDataObject.txt -H 'Content-Range: bytes 21-24/37' --data-binary 'that'
is "6.4 update 4 bytes" 204
on_disk "6.4 they are in their place" MyContainer/MyDataObject.txt 'This is the Value of that Data Object'
request GET MyContainer/MyDataObject.txt
same "6.4 and read back" "$(cat "$WORK/body")" 'This is the Value of that Data Object'
request PATCH MyContainer/MyDataObject.txt -H 'Content-Range: bytes 40-42/*' --data-binary 'end'
is "6.4 update beyond the end" 204
request GET MyContainer/MyDataObject.txt -H 'Range: bytes=36-42'
same "6.4 the gap is zero" "$(od -An -c "$WORK/body" | tr -s ' ')" ' t \0 \0 \0 e n d'
status "6.4 without a range" 400 PATCH MyContainer/MyDataObject.txt --data-binary x
status "6.4 a range of another length" 400 PATCH MyContainer/MyDataObject.txt -H 'Content-Range: bytes 0-9/*' --data-binary x
status "6.4 an object that is not there" 404 PATCH MyContainer/no.txt -H 'Content-Range: bytes 0-0/*' --data-binary x
request PUT MyContainer/MyDataObject.txt -H 'Content-Type: text/plain' --data-binary 'replaced'
is "6.2 replace a data object" 204
request GET MyContainer/MyDataObject.txt
same "6.2 it is replaced" "$(cat "$WORK/body")" replaced
status "6.2 below a container that is not there" 404 PUT MyContainer/no/a.txt --data-binary x
status "6.3 an object that is not there" 404 GET MyContainer/no.txt
status "6 a method that it has not" 405 POST MyContainer/MyDataObject.txt --data-binary x
status "6.5 delete a data object" 204 DELETE MyContainer/MyDataObject.txt
status "6.5 delete it again" 404 DELETE MyContainer/MyDataObject.txt
