#!/usr/bin/env bash
# A server that was stopped carries out nothing, when it goes on, of what was given up meanwhile, however its connection was closed.
# timeout: 60
. "$RESTBLK_ROOT/tests/lib.sh"
need curl python3

start_store
object=$STORE_URL/cdmi/2.0.0/o
curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary 0123456789 "$object"
# late ENDING: a change and a put of other objects are sent while the server stands still, and their connections closed
late() {
  kill -STOP "$(pid_of store)"
  python3 - "$store_port" "$1" << 'END'
import socket, struct, sys, time
def give_up(head, body):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall((head + f"\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n" + body).encode())
    time.sleep(0.2)
    if sys.argv[2] == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
for _ in range(8):
    give_up("PATCH /cdmi/2.0.0/o HTTP/1.1\r\nContent-Range: bytes 0-3/*", "LATE")
    give_up("PUT /cdmi/2.0.0/new HTTP/1.1\r\nContent-Type: application/octet-stream", "LATE")
    give_up("PUT /cdmi/2.0.0/o HTTP/1.1\r\nContent-Type: application/octet-stream", "LATE")
    give_up("DELETE /cdmi/2.0.0/o HTTP/1.1", "")
    give_up("PATCH /cdmi/2.0.0/o?restblk_size=3 HTTP/1.1", "")
END
  kill -CONT "$(pid_of store)"
  # what it had in its queues has been seen to by then
  sleep 2
  equal "the object, after connections were closed by a $1" 0123456789 "$(curl -sf "$object")"
  equal "an object that was put late" 404 "$(curl -s -o /dev/null -w '%{http_code}' "$STORE_URL/cdmi/2.0.0/new")"
}
late reset
late close
