"""Domains by where documents came from."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from models.frozen import Name, StudyError
from tasks.steps.base import StepContext, StepOutcome
from tasks.steps.domain_map import DomainMap
from tasks.steps.hosts import host_of, parents, read_lines
from tasks.steps.pinned import PinnedFile


class DomainUrls(DomainMap):
    """Sets `domain` by the host of the document's URL: `stackoverflow.com` is that host and its subdomains, `gov.uk` or `edu` all that end so. Of
    several that fit the longest counts.
    """

    step: Literal["domain-urls"]
    hosts: dict[str, Name] = Field(default={}, description="domain by host, or end of a host; before what files say")
    map_files: tuple[PinnedFile, ...] = Field(
        default=(), description="a host and its domain a line, parted by white space or a comma; what follows '#' is a comment; the last file first"
    )

    @model_validator(mode="after")
    def _is_a_map(self) -> Self:
        if not (self.hosts or self.map_files):
            raise ValueError("domain-urls has no map: give `hosts` or `map_files`")
        return self

    def reads(self) -> list[Path]:
        return [Path(file.path) for file in self.map_files]

    def apply(self, table: pa.Table, context: StepContext) -> StepOutcome:
        maps = [read_map(file.at(f"recipe '{context.recipe}', domain-urls.map_files"), str(file.sha256)) for file in self.map_files]
        domains = {host: domain for of_file in maps for host, domain in of_file.items()} | {_host(host): name for host, name in self.hosts.items()}
        hosts_D = (parents(host_of(url or "")) for url in table["url"].to_pylist())
        found = [next((domains[host] for host in hosts if host in domains), None) for hosts in hosts_D]
        return self.with_domains(table, pa.array(found, pa.string()))


def _host(written: str) -> str:
    return written.strip().lower().strip(".")


@lru_cache
def read_map(path: Path, sha256: str) -> dict[str, str]:
    """Domain by host; once per process and content.

    Raises:
        StudyError: names the first line that is none of a map.
    """
    domains = {}
    for number, line in read_lines(path):
        host, *name = re.split(r"[\s,]+", line)
        try:
            (domains[_host(host)],) = TypeAdapter(tuple[Name]).validate_python(name)
        except ValidationError:
            raise StudyError(
                f"domain-urls: line {number} of {path}, '{line[:80]}', is not a host and the name of a domain (small letters, digits, '-', '_')."
            ) from None
    return domains
