"""A file server on 127.0.0.1 with the bad habits of real ones; also a proxy that knows no address."""
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """files: {name: bytes}. The first folder of an address says how it is served:

    /ok/NAME (knows Range), /norange/NAME, /cut/NAME (closes after half of what is asked for, knows Range),
    /cutonce/NAME (as cut, the first time only), /slow/NAME (in a second), /page/NAME (a web page), anything else 404.
    `asked` lists (path, Range header) of every request.
    """
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = {}, []
        self.url = "http://127.0.0.1:%d" % self.server_address[1]

    def asked_for(self, word):
        return [entry for entry in self.asked if word in entry[0]]

    def handle_error(self, request, client_address):
        pass                                                    # clients that hang up are part of the tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        pass

    def do_CONNECT(self):                                       # noqa: N802  (http.server's name)
        self.server.asked.append((self.path, None))
        self.send_error(403)

    def do_GET(self):                                           # noqa: N802
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        _, _, rest = self.path.partition("/")
        how, _, name = rest.partition("/")
        data = self.server.files.get(name.split("?")[0])
        if how == "page":
            return self.answer(200, b"<html>please log in</html>", [("Content-Type", "text/html; charset=utf-8")])
        if data is None or how not in ("ok", "norange", "cut", "cutonce", "slow"):
            return self.send_error(404)
        if asked is None or how == "norange":
            return self.answer(200, data, [], how)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1))
        if start >= len(data):
            return self.answer(416, b"", [("Content-Range", "bytes */%d" % len(data))])
        self.answer(206, data[start:], [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))], how)

    def answer(self, status, body, headers, how=""):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if how == "cut" or (how == "cutonce" and len(self.server.asked_for("cutonce")) == 1):
            body = body[:len(body) // 2]
        if how != "slow":
            self.wfile.write(body)
            return
        step = max(len(body) // 20, 1)
        for i in range(0, len(body), step):
            self.wfile.write(body[i:i + step])
            time.sleep(0.05)


@contextmanager
def file_server():
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
