"""A server of chat completions on this machine that answers, stalls, fails and lies, as each text asks for; it counts what it was asked."""

import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer(ThreadingHTTPServer):
    """A word in capitals in the text says what becomes of the request; a digit behind it, how often before an answer comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: Counter[str] = Counter()  # user messages' texts
        self.bodies: list[dict[str, Any]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.times: list[float] = []
        self.answer = lambda text: f"Here is a paraphrase:\n\n{text.replace('old', 'aged')}"
        self.down = False
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"].partition("\n\n")[2]
        with self.server.lock:
            self.server.seen[text] += 1
            self.server.bodies.append(body)
            self.server.headers_seen.append(dict(self.headers))
            self.server.times.append(time.monotonic())
            times = self.server.seen[text]
        behaviour, often = (re.findall(r"\b([A-Z]{4,})(\d?)\b", text) or [("", "")])[0]
        if self.server.down:
            return self._send(503, "down")
        if often and times > int(often):
            behaviour = ""
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        choice = {"message": {"role": "assistant", "content": self.server.answer(text)}, "finish_reason": "stop"}
        if behaviour == "STALLS":
            time.sleep(1.0)
        if behaviour == "LIMITS":
            return self._send(429, "slow down", {"Retry-After": "0"})
        if behaviour == "FAILS":
            return self._send(500, "oh")
        if behaviour == "REFUSES":
            return self._send(400, '{"error": "content policy"}')
        if behaviour == "FORBIDS":
            return self._send(401, '{"error": "bad key"}')
        if behaviour == "GARBLES":
            return self._send(200, "<html>")
        if behaviour == "EMPTIES":
            return self._send(200, '{"choices": []}')
        if behaviour == "CUTS":
            choice["finish_reason"] = "length"
        if behaviour == "HIDES":
            usage = {}
        if behaviour == "LIES":
            choice["message"]["content"] = "Completely unrelated sentences about astronomy, galaxies and telescopes orbiting somewhere distant."
        if behaviour == "INVENTS":
            choice["message"]["content"] = text + " It was in 1234."
        return self._send(200, json.dumps({"choices": [choice], "usage": usage}))

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text.encode())), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())
        except BrokenPipeError:  # who asked has gone
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Not to standard error."""
