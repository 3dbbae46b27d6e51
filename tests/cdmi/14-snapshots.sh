# shellcheck shell=bash
# 14 and 9.5: snapshots of containers.
request PUT MyContainer/Snap.txt --data-binary 'before'
cdmi PATCH MyContainer/ '{ "snapshot" : "Snapshot_001" }'
is "14 take a snapshot" 201
request PATCH MyContainer/Snap.txt -H 'Content-Range: bytes 0-5/6' --data-binary 'after!'
request GET MyContainer/cdmi_snapshots/Snapshot_001/Snap.txt
is "14 read from it" 200
same "14 it is as it was" "$(cat "$WORK/body")" before
cdmi GET MyContainer/ ""
has "14 the container lists it" ".snapshots == [\"${PREFIX}MyContainer/cdmi_snapshots/Snapshot_001/\"]"
has "14 not among the children" '.children | index("cdmi_snapshots/") == null'
cdmi GET MyContainer/cdmi_snapshots/ ""
has "14 the container of snapshots" '.children == ["Snapshot_001/"]'
cdmi GET MyContainer/cdmi_snapshots/Snapshot_001/ ""
has "14 the snapshot is a container" '.objectType == "application/cdmi-container" and (.children | index("Snap.txt") != null)'
status "14 it is read-only" 403 PUT MyContainer/cdmi_snapshots/Snapshot_001/Snap.txt --data-binary x
cdmi PUT MyContainer/Snap.txt "{ \"copy\" : \"${PREFIX}MyContainer/cdmi_snapshots/Snapshot_001/Snap.txt\" }"
is "14 restore by copy" 204
request GET MyContainer/Snap.txt
same "14 it is restored" "$(cat "$WORK/body")" before
request PUT MyContainer/Snap.txt --data-binary 'third'
cdmi PATCH MyContainer/ '{ "snapshot" : "Snapshot_001" }'
is "14 the same name again" 201
request GET MyContainer/cdmi_snapshots/Snapshot_001/Snap.txt
same "14 replaces" "$(cat "$WORK/body")" third
cdmi PATCH MyContainer/ '{ "snapshot" : "a/b" }'
is "14 a name with a slash" 400
status "9.6 a container with a snapshot is not deleted" 409 DELETE MyContainer/
status "14 delete a snapshot" 204 DELETE MyContainer/cdmi_snapshots/Snapshot_001/
status "14 it is gone" 404 GET MyContainer/cdmi_snapshots/Snapshot_001/Snap.txt
