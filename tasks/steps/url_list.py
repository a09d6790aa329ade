"""Documents by where they came from."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from tasks.steps.base import BatchStep, StepContext, StepOutcome, decide
from tasks.steps.hosts import host_of, parents, read_lines
from tasks.steps.pinned import PinnedFile


class UrlBlockList(BatchStep):
    """Drops documents whose URL is on a block list: by host, by words in the URL, as RefinedWeb (arXiv 2306.01116, appendix G.1) and FineWeb do.

    A host blocks its subdomains too. Words are what stands between characters that are no letters or digits, in lower case: one of `words` or
    `soft_limit` different ones of `soft_words` drop the document. Documents without a URL stay.
    """

    step: Literal["url-block-list"]
    hosts: tuple[str, ...] = Field(default=(), description="such as `example.com`")
    host_files: tuple[PinnedFile, ...] = Field(
        default=(), description="lists of hosts, one a line; what follows '#' is a comment. RefinedWeb and FineWeb use the UT1 blacklists"
    )
    words: tuple[str, ...] = Field(default=(), description="one of them drops the document")
    soft_words: tuple[str, ...] = Field(default=(), description="several of them drop the document")
    soft_limit: int = Field(default=2, ge=1, description="different soft words that drop a document")

    def reads(self) -> list[Path]:
        return [Path(file.path) for file in self.host_files]

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        hosts = frozenset(host.lower() for host in self.hosts).union(
            *(read_hosts(file.at(f"recipe '{context.recipe}', url-block-list.host_files"), str(file.sha256)) for file in self.host_files)
        )
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


@lru_cache
def read_hosts(path: Path, sha256: str) -> frozenset[str]:
    """Once per process and content."""
    return frozenset(line.lower().rstrip(".") for _, line in read_lines(path))
