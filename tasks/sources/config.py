"""The kinds of source that `params.yaml` may name."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt

from models.frozen import Frozen, Name, nearest
from tasks.sources.parsers import PARSERS

DOMAIN_COLUMN = (
    "column that holds each document's domain, made a name (lower case, '-' for all that is no letter or digit); `domain` where it is null"
)


def _known_parser(name: str) -> str:
    if name not in PARSERS:
        raise ValueError(f"no parser is called '{name}'{nearest(name, PARSERS)}; there are {', '.join(sorted(PARSERS))}")
    return name


class SourceConfig(Frozen):
    """What all kinds share."""

    domain: Name = Field(description="the domain of all documents of this source, unless `domain_column` is given")
    license: str | None = Field(default=None, description="SPDX expression, when the source has one licence")
    lang: str | None = Field(default=None, description="ISO 639-1 code, when the source has one language")
    max_bytes: PositiveInt | None = Field(default=None, description="UTF-8 bytes of text to take at most, as a sample over the whole source")
    text_column: str = "text"
    max_document_bytes: PositiveInt = Field(default=10_000_000, description="a longer document is refused: it is a file that was cut wrongly")
    drop_overlong: bool = Field(default=False, description="drop and count longer documents instead of refusing the source")


class ArchiveSource(SourceConfig):
    """Files inside a pinned archive of the Python package index. The package is never installed, only read."""

    kind: Literal["archive"]
    package: str
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    members: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="glob patterns of the files to read")
    exclude: tuple[str, ...] = Field((), description="glob patterns of files to leave out")
    parser: Annotated[str, AfterValidator(_known_parser)] = Field(description="how a file becomes documents: a name from tasks/sources/parsers.py")


class HuggingFaceSource(SourceConfig):
    """A Hugging Face dataset by name or local path, streamed."""

    kind: Literal["huggingface"]
    path: str
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    domain_column: str | None = Field(default=None, description=DOMAIN_COLUMN)


class S3FilesSource(SourceConfig):
    """Parquet or JSONL (plain, gz, zst) under an S3 prefix."""

    kind: Literal["s3-files"]
    url: Annotated[str, Field(pattern=r"^s3://")]
    domain_column: str | None = Field(default=None, description=DOMAIN_COLUMN)


class CommonCrawlSource(SourceConfig):
    """WET or WARC files under an S3 prefix, read with boto3, resumable."""

    kind: Literal["common-crawl"]
    url: Annotated[str, Field(pattern=r"^s3://")]
    drop_overlong: bool = Field(default=True, description="as in all sources; nobody can mend the web")


Source = Annotated[ArchiveSource | HuggingFaceSource | S3FilesSource | CommonCrawlSource, Field(discriminator="kind")]


class LocalSource(SourceConfig):
    """Parquet or JSONL (plain, gz, zst) in a local file or folder. A kind of its own because DVC watches the path."""

    path: str
    domain_column: str | None = Field(default=None, description=DOMAIN_COLUMN)
