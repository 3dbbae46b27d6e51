#!/usr/bin/env python3
"""The metadata service of an instance (version 2 alone: a token first) and the credentials service of a container, as Amazon's
machines have them. moto's lacks the field `Code`, which Amazon's has.

metadata.py PORT LIFE_S: hands out AKTEST/SKTEST with the session token `session-N`, N counting, for LIFE_S seconds each."""
import datetime, http.server, json, sys

served = 0


class Service(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        ok = self.path == "/latest/api/token" and self.headers.get("x-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200, "v2-token") if ok else self.answer(404, "")

    def do_GET(self):
        global served
        folder = "/latest/meta-data/iam/security-credentials/"
        if self.path == "/" :
            return self.answer(200, "")
        if self.path.startswith(folder) and self.headers.get("x-aws-ec2-metadata-token") != "v2-token":
            return self.answer(401, "")
        if self.path == folder:
            return self.answer(200, "role")
        if self.path not in (folder + "role", "/container"):
            return self.answer(404, "")
        served += 1
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=int(sys.argv[2]))
        self.answer(200, json.dumps({
            "Code": "Success", "AccessKeyId": "AKTEST", "SecretAccessKey": "SKTEST", "Token": f"session-{served}",
            "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }))


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
