"""Hosts of URLs, and lists of them."""

import re
from collections.abc import Iterator
from pathlib import Path

# scheme, user and port are left out; what stands before a path, a question or a fragment
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]]*\]|[^:/?#]*)|^([^:/?#\s]+\.[^:/?#\s]+)(?=[:/?#]|$)", re.IGNORECASE)


def host_of(url: str) -> str:
    """In lower case, without a dot at the end; empty where there is none."""
    found = _HOST.match(url.strip())
    return (found[1] or found[2] or "").lower().rstrip(".") if found else ""


def parents(host: str) -> list[str]:
    """The host and what it is a subdomain of: `a.b.c`, `b.c`, `c`."""
    labels = host.split(".")[-8:]  # no list has deeper ones; a URL may be anything
    return [host, *(".".join(labels[start:]) for start in range(len(labels)))]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list with their numbers, without comments ('#') and white space around; empty ones left out."""
    content = path.read_bytes().decode("utf-8", errors="replace")
    lines = ((number, line.partition("#")[0].strip()) for number, line in enumerate(content.splitlines(), start=1))
    return ((number, line) for number, line in lines if line)
