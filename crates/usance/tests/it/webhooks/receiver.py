"""A receiver as a user writes it: the official library verifies, and what is verified goes into a file.

Arguments: port, file with the secret, file that takes one id a line. Answers 204, or 401 to what cannot be verified.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

port, secret_file, ids_file = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open(secret_file) as secret:
            webhook = Webhook(secret.read())
        try:
            event = webhook.verify(body, dict(self.headers.items()))
            status = 204 if event["id"] == self.headers["webhook-id"] else 400
        except Exception as error:
            print(error, file=sys.stderr, flush=True)
            status = 401
        if status == 204:
            with open(ids_file, "a") as ids:
                ids.write(event["id"] + "\n")
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", int(port)), Handler)
print("listening on", server.server_port, flush=True)
server.serve_forever()
