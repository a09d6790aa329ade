"""Documents by where they came from."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from models.frozen import Frozen, StudyError
from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide

# scheme, user and port are left out; what stands before a path, a question or a fragment
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]]*\]|[^:/?#]*)|^([^:/?#\s]+\.[^:/?#\s]+)(?=[:/?#]|$)", re.IGNORECASE)


class HostFile(Frozen):
    """A list of hosts, one a line; what follows '#' is a comment. Public lists (such as the UT1 blacklists that RefinedWeb and FineWeb use) have many
    thousands."""

    path: str = Field(description="of the file, from the project's folder")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of its bytes, so that a changed list is a changed step")


class UrlBlockList(BatchStep):
    """Drops documents whose URL is on a block list: by host, by words in the URL, as RefinedWeb (arXiv 2306.01116, appendix G.1) and FineWeb do.

    A host blocks its subdomains too. Words are what stands between characters that are no letters or digits, in lower case: one of `words` or
    `soft_limit` different ones of `soft_words` drop the document. Documents without a URL stay.
    """

    step: Literal["url-block-list"]
    hosts: tuple[str, ...] = Field(default=(), description="such as `example.com`")
    host_files: tuple[HostFile, ...] = ()
    words: tuple[str, ...] = Field(default=(), description="one of them drops the document")
    soft_words: tuple[str, ...] = Field(default=(), description="several of them drop the document")
    soft_limit: int = Field(default=2, ge=1, description="different soft words that drop a document")

    def reads(self) -> list[Path]:
        return [Path(file.path) for file in self.host_files]

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        hosts = frozenset(host.lower() for host in self.hosts).union(*(read_hosts(file.path, file.sha256) for file in self.host_files))
        words, soft_words = frozenset(map(str.lower, self.words)), frozenset(map(str.lower, self.soft_words))
        judged = [self._judge(url, hosts, words, soft_words) if url else (None, None, None) for url in table["url"].to_pylist()]
        reason, value, threshold = zip(*judged, strict=True) if judged else ((), (), ())
        return decide(table, list(reason), list(value), list(threshold))

    def _judge(self, url: str, hosts: frozenset[str], words: frozenset[str], soft_words: frozenset[str]) -> tuple[Any, Any, Any]:
        if any(parent in hosts for parent in parents(host_of(url))):
            return "host on the list", None, None
        in_url = frozenset(re.split(r"[^a-z0-9]+", url.lower())) if words or soft_words else frozenset()
        if words & in_url:
            return "word on the list", len(words & in_url), 1
        if len(soft_words & in_url) >= self.soft_limit:
            return "soft words on the list", len(soft_words & in_url), self.soft_limit
        return None, None, None


def host_of(url: str) -> str:
    """In lower case, without a dot at the end; empty where there is none."""
    found = _HOST.match(url.strip())
    return (found[1] or found[2] or "").lower().rstrip(".") if found else ""


def parents(host: str) -> list[str]:
    """The host and what it is a subdomain of: `a.b.c`, `b.c`, `c`."""
    labels = host.split(".")[-8:]  # no list has deeper ones; a URL may be anything
    return [host, *(".".join(labels[start:]) for start in range(len(labels)))]


@cache
def read_hosts(path: str, sha256: str) -> frozenset[str]:
    """Once per process.

    Raises:
        StudyError: when the file is missing or not the one whose digest the recipe names.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StudyError(f"url-block-list: the list {path} can't be read ({error.strerror}): put it there, or take it out of host_files.") from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise StudyError(
            f"url-block-list: {path} has SHA-256 {found}, not {sha256} as host_files says: put the new one there if it was meant to change."
        )
    lines = (line.partition("#")[0].strip().lower().rstrip(".") for line in content.decode("utf-8", errors="replace").splitlines())
    return frozenset(line for line in lines if line)
