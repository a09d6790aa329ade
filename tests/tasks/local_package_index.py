"""A package index on the loopback interface, for pip: the simple API, wheels and sdists made on the spot, connections cut on request."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tasks.source_study import zipped

# An sdist's build that needs nothing and leaves a trace. pip asks it for metadata after a download.
BUILD = """
import os, pathlib
pathlib.Path(os.environ["TRACE_OF_BUILD"]).touch()
def prepare_metadata_for_build_wheel(directory, settings=None):
    folder = pathlib.Path(directory, "book-1.0.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\\nName: book\\nVersion: 1.0\\n")
    return folder.name
def build_wheel(*arguments): raise NotImplementedError
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n'


class LocalPackageIndex:
    """Serves `files` (name -> bytes) of the packages that their names begin with."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.cut_downloads = 0  # so many next downloads end after half of the file
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/simple"

    def add_wheel(self, package: str, version: str, members: dict[str, bytes]) -> str:
        """The wheel's sha256."""
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
        wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        folder = f"{package}-{version}.dist-info"
        return self._add(
            f"{package}-{version}-py3-none-any.whl",
            zipped(members | {f"{folder}/METADATA": metadata, f"{folder}/WHEEL": wheel, f"{folder}/RECORD": b""}),
        )

    def add_sdist(self, members: dict[str, bytes]) -> str:
        """The sha256 of book-1.0.tar.gz."""
        packed = io.BytesIO()
        info = {"PKG-INFO": b"Metadata-Version: 2.1\nName: book\nVersion: 1.0\n", "build.py": BUILD.encode(), "pyproject.toml": PYPROJECT.encode()}
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in (info | members).items():
                entry = tarfile.TarInfo(f"book-1.0/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return self._add("book-1.0.tar.gz", packed.getvalue())

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _add(self, name: str, content: bytes) -> str:
        self.files[name] = content
        return hashlib.sha256(content).hexdigest()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, kind, name, *_ = self.path.split("/")
                if kind == "files":
                    index.downloads.append(name)
                    cut, index.cut_downloads = index.cut_downloads > 0, max(index.cut_downloads - 1, 0)
                    self._answer(200, index.files[name], cut)
                else:
                    found = {file: content for file, content in index.files.items() if file.startswith(f"{name}-")}
                    links = (f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>' for file, content in found.items())
                    self._answer(200 if found else 404, "".join(links).encode())

            def _answer(self, status: int, body: bytes, cut: bool = False) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler
