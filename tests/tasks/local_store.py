"""A real S3 API on the loopback interface (moto's server), and a proxy before one that hangs up in the midst of bodies."""

import http.client
import logging
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.server import ThreadedMotoServer

from tasks import storage


class LocalStore:
    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.url = f"http://{host}:{port}"

    def environment(self) -> dict[str, str]:
        """Of a process that uses this store."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def empty(self) -> None:
        """Takes away all buckets."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).close()

    def put(self, url: str, content: bytes) -> None:
        bucket, key = storage.split_url(url)
        storage._client().put_object(Bucket=bucket, Key=key, Body=content)


class HangingUpProxy:
    """Passes requests on to a store; of a body of more than `body_bytes` it sends so many, and hangs up."""

    def __init__(self, store_url: str, body_bytes: int):
        self.store, self.body_bytes, self.num_cuts = store_url.removeprefix("http://"), body_bytes, 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                connection = http.client.HTTPConnection(proxy.store)
                connection.request("GET", self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("date", "server", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                proxy.num_cuts += len(body) > proxy.body_bytes
                self.wfile.write(body[: proxy.body_bytes])
                self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler
