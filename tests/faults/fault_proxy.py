"""A proxy in front of an S3 store, at whose faults one can point: what networks and stores do to a client, by request."""

import http.client
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal[
    "503",  # the store is overloaded
    "silence",  # it takes the request and never answers
    "stall",  # it stops in the midst of a body
    "cut",  # the connection breaks in the midst of a body, the client's (PUT) or the store's (GET)
]


class FaultProxy:
    """Passes requests on. `fault(method, number)` is asked at each object request, counted from 0 per method, for what shall go wrong with it."""

    def __init__(self, store_url: str):
        self.store = store_url.removeprefix("http://")
        self.fault: Callable[[str, int], Fault | None] = lambda method, number: None
        self.num_requests: dict[str, int] = {}
        self.num_faults = 0
        self.closed = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def failing(self, fault: Fault, method: str, numbers: range):
        """For the block, the requests of `method` with these numbers, counted from now, go wrong."""
        self.num_requests, self.num_faults = {}, 0
        self.fault = lambda asked, number: fault if asked == method and number in numbers else None
        try:
            yield
        finally:
            self.fault = lambda method, number: None

    def close(self) -> None:
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()

    def next_fault(self, method: str, path: str) -> Fault | None:
        if len(path.split("?")[0].strip("/").split("/")) < 2:  # the bucket itself
            return None
        number = self.num_requests.get(method, 0)
        self.num_requests[method] = number + 1
        fault = self.fault(method, number)
        self.num_faults += fault is not None
        return fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                fault = proxy.next_fault(self.command, self.path)
                length = int(self.headers.get("Content-Length", 0))
                if fault == "cut" and length:
                    self.rfile.read(length // 2)
                    self.close_connection = True
                    return
                body = self.rfile.read(length)
                if fault == "503":
                    self.answer(503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>")
                elif fault == "silence":
                    self.be_silent()
                else:
                    connection = http.client.HTTPConnection(proxy.store)
                    connection.request(self.command, self.path, body, dict(self.headers))
                    answer = connection.getresponse()
                    self.answer(answer.status, dict(answer.getheaders()), answer.read(), fault)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on

            def answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("date", "server", "connection", "content-length", "transfer-encoding"):
                        self.send_header(name, value)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", length)
                self.end_headers()
                with suppress(ConnectionError):
                    if self.command != "HEAD":
                        self.wfile.write(body[: len(body) // 2] if fault else body)
                if fault == "stall":
                    self.wfile.flush()
                    self.be_silent()
                if fault:
                    self.close_connection = True

            def be_silent(self) -> None:
                proxy.closed.wait()
                self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler
