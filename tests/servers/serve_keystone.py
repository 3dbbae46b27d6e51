"""Serves Keystone: serve_keystone.py PORT CONFIG, from the environment that has it."""
import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

port, config = int(sys.argv[1]), sys.argv[2]
# the application looks for its configuration in both
sys.argv = ["keystone"]
os.environ["OS_KEYSTONE_CONFIG_FILES"] = config

from keystone.wsgi.api import application  # noqa: E402


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", port, application, Server, Quiet).serve_forever()
