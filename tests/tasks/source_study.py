"""A study of the sources that a test needs, archives that need no package index, and crawls."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import yaml
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from tasks import layout
from tasks.study import Study, load_study

PARAMS = Path(__file__).parents[2] / "params.yaml"


def write_study(folder: Path, sources: dict[str, Any] | None = None, local_sources: dict[str, Any] | None = None) -> Study:
    """Writes `params.yaml` with these sources, and beside them the least that a study needs."""
    values = yaml.safe_load(PARAMS.read_text())
    values |= {"sources": sources or {}, "local_sources": local_sources or {}}
    values |= {"recipes": {"raw": {"from": "pool", "steps": []}}, "mixtures": {"raw-natural": {"recipe": "raw", "weights": "natural"}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_study(folder / "params.yaml")


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive; the same members give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def cached_archive(folder: Path, files: dict[str, bytes], **fields: Any) -> dict[str, Any]:
    """Puts an archive where a fetched one would be; the archive source of params.yaml that names it."""
    content = zipped(files)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / layout.ARCHIVES / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {
        "kind": "archive",
        "domain": "d",
        "package": "tiny-texts",
        "version": "1.0",
        "sha256": sha256,
        "members": ["*"],
        "parser": "text",
    } | fields


def web_archive(*records: tuple[str, str, bytes, dict[str, Any]]) -> bytes:
    """A gzipped WARC of (type, url, payload, http headers and status) records."""
    packed = io.BytesIO()
    writer = WARCWriter(packed, gzip=True)
    for kind, url, payload, http in records:
        headers = StatusAndHeaders(http["status"], [("Content-Type", http["type"])], protocol="HTTP/1.1") if http else None
        record = writer.create_warc_record(
            url, kind, io.BytesIO(payload), http_headers=headers, warc_headers_dict={"WARC-Date": "2024-05-01T00:00:00Z"}
        )
        writer.write_record(record)
    return packed.getvalue()
