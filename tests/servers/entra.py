"""A stand-in for Entra ID and for the metadata service of Azure's machines: hands out tokens that look like theirs.

entra.py PORT. POST /TENANT/oauth2/v2.0/token takes the client "app" with the secret "right" or the assertion "platform-token";
GET /metadata/identity/oauth2/token takes anybody who sends `Metadata: true`. A token lasts an hour; one for the client "short" two seconds.
Nothing is signed: Azurite, for which it is meant, looks at the claims alone.
"""
import base64, http.server, json, sys, time, urllib.parse


def token(seconds):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/", "nbf": now - 60, "iat": now - 60, "exp": now + seconds}
    return ".".join([part({"typ": "JWT", "alg": "RS256"}), part(claims), "c2lnbmF0dXJl"])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def grant(self, client, texts):
        seconds = 2 if client == "short" else 3600
        self.answer(200, {"token_type": "Bearer", "expires_in": str(seconds) if texts else seconds, "access_token": token(seconds)})

    def do_GET(self):
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if path != "/metadata/identity/oauth2/token":
            return self.answer(404, {"error": "not_found"})
        if self.headers.get("Metadata") != "true" or asked.get("resource") != "https://storage.azure.com/":
            return self.answer(400, {"error": "bad_request", "error_description": "Required metadata header not specified"})
        self.grant(asked.get("client_id", ""), True)

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        right = form.get("client_secret") == "right" or (
            form.get("client_assertion") == "platform-token"
            and form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        )
        if self.path != "/tenant/oauth2/v2.0/token" or form.get("scope") != "https://storage.azure.com/.default":
            return self.answer(400, {"error": "invalid_request", "error_description": "unknown tenant or scope"})
        if form.get("grant_type") != "client_credentials" or not right:
            return self.answer(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
        self.grant(form.get("client_id", ""), False)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
