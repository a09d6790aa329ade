import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tasks.benchmarks.hub import hub_answers


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def answering():
    """A server that answers everything with an error: it is there."""

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(401)

        def log_message(self, format, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_that_answers_can_be_asked(answering, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", answering)
    assert hub_answers() and capsys.readouterr().out == ""


def test_a_hub_that_is_not_there_is_soon_known_and_said(monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        started = time.monotonic()
        assert not hub_answers()
    assert time.monotonic() - started < 3
    assert "does not answer (ConnectError): the data of lm-eval's tasks are read from the Hugging Face cache" in capsys.readouterr().out


def test_who_is_offline_by_choice_is_not_asked(answering, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", answering)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub_answers()
