"""A node that lies: passes requests on to a real one and changes some of its answers."""

import json
import threading
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Lies = dict[str, Callable[[Any], Any]]
"""By method: from the true result, None where the node refuses, to the one that is told."""


@contextmanager
def lying(url: str, lies: Lies) -> Generator[str]:
    """Serve beside the node at `url`; yields the liar's URL. `lies` may change meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"Content-Type": "application/json"}
            if self.headers["Authorization"]:
                headers["Authorization"] = self.headers["Authorization"]
            with urllib.request.urlopen(urllib.request.Request(url, request, headers)) as response:
                answer = json.load(response)
            lie = lies.get(json.loads(request)["method"])
            if lie is not None:
                answer["result"] = lie(answer.get("result"))
                answer.pop("error", None)
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # who asked has gone
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
