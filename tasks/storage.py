"""S3, and whatever speaks its API: the only place with boto3. And DVC's remote on it.

    python -m tasks.storage s3://bucket/prefix [--create-bucket]

Settings are the environment's: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL for stores
other than Amazon's.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import urllib3.exceptions
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as UnreachableError

from models.frozen import StudyError
from tasks.atomic import replace_file
from tasks.stage import TemporaryError, errors_in_words

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 60
REQUEST_ATTEMPTS = 5  # of one request, by botocore, with its own back-off
RESUMES = 8  # of a read that brings not one byte, before it is given up
FIRST_PAUSE_SECONDS = 0.1  # before the first of them; twice as long before each next
READ_BYTES = 1 << 16  # what a break can lose
BUFFER_BYTES = 1 << 20
BROKEN_READ = (IncompleteReadError, ResponseStreamingError, HTTPClientError, urllib3.exceptions.HTTPError, OSError)
DVC_REMOTE = "study"


class StoredObject(NamedTuple):
    """An object as it was listed. Reading it later reads this version or fails."""

    bucket: str
    key: str
    num_bytes: int
    etag: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def name_under(self, url: str) -> str:
        """The key relative to the folder that `url` points into."""
        _, prefix = split_url(url)
        return self.key[prefix.rfind("/") + 1 :]


def split_url(url: str) -> tuple[str, str]:
    """`s3://bucket/some/key` -> ("bucket", "some/key")."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        raise StudyError(f"'{url}' is no S3 url: write s3://bucket/prefix.")
    return bucket, key


def list_objects(url: str) -> list[StoredObject]:
    """All objects whose key begins with the url's, by key; folder markers left out."""
    bucket, prefix = split_url(url)
    with _in_words(url):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [StoredObject(bucket, item["Key"], item["Size"], item["ETag"]) for page in pages for item in page.get("Contents", ())]
    return [item for item in found if not item.key.endswith("/")]


def find_object(url: str) -> StoredObject:
    bucket, key = split_url(url)
    with _in_words(url):
        head = _client().head_object(Bucket=bucket, Key=key)
    return StoredObject(bucket, key, head["ContentLength"], head["ETag"])


def open_object(item: StoredObject) -> BinaryIO:
    """The object's bytes as a buffered, seekable stream, which goes on where it was when a connection breaks."""
    return cast(BinaryIO, io.BufferedReader(_ResumingReader(item), BUFFER_BYTES))


def download(url: str, path: Path) -> None:
    """Copies an object to `path`, whole or not at all."""
    with replace_file(path) as partial, open_object(find_object(url)) as stream, partial.open("wb") as file:
        shutil.copyfileobj(stream, file, BUFFER_BYTES)


class _ResumingReader(io.RawIOBase):
    """One open-ended GET at a time from `position`; If-Match on the ETag keeps the parts of a resumed read of one version.

    Raises:
        StudyError: while reading, when the store refuses, the object was replaced meanwhile, or RESUMES resumptions brought no byte.
    """

    def __init__(self, item: StoredObject):
        self.item, self.position = item, 0
        self.body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.item.num_bytes}[whence]
        if target != self.position:
            self._hang_up()
            self.position = target
        return target

    def readinto(self, buffer: Any) -> int:
        if self.position >= self.item.num_bytes:
            return 0
        with _in_words(self.item.url):
            data = self._read_despite_breaks(min(len(buffer), READ_BYTES))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def _read_despite_breaks(self, num_bytes: int) -> bytes:
        breaks = 0
        while True:
            try:
                if data := self._connected().read(num_bytes):
                    return data
                raise IncompleteReadError(actual_bytes=self.position, expected_bytes=self.item.num_bytes)
            except BROKEN_READ as error:
                self._hang_up()
                if breaks == RESUMES:
                    raise TemporaryError(
                        f"{self.item.url} breaks off at byte {self.position:,} of {self.item.num_bytes:,}, and did so {RESUMES + 1} times:"
                        " check the network and run the same command again."
                    ) from error
                time.sleep(min(FIRST_PAUSE_SECONDS * 2**breaks, 10))
                breaks += 1

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _connected(self) -> Any:
        if self.body is None:
            item = self.item
            self.body = _client().get_object(Bucket=item.bucket, Key=item.key, Range=f"bytes={self.position}-", IfMatch=item.etag)["Body"]
        return self.body

    def _hang_up(self) -> None:
        if self.body is not None:
            self.body.close()
            self.body = None


def ensure_bucket(url: str, create: bool = True) -> None:
    """Sees to it that the url's bucket is there and ours to use.

    Raises:
        StudyError: it is missing and `create` is false, or it belongs to somebody else.
    """
    bucket, _ = split_url(url)
    try:
        with _in_words(url):
            _client().head_bucket(Bucket=bucket)
    except MissingInStore as missing:
        if not create:
            raise StudyError(f"There is no bucket '{bucket}': create it, or let --create-bucket do so.") from missing
        region = _client().meta.region_name
        elsewhere = {} if region in (None, "us-east-1", "aws-global") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with _in_words(url):
            _client().create_bucket(Bucket=bucket, **cast(Any, elsewhere))


def configure_dvc_remote(url: str, create_bucket: bool = False) -> None:
    """Makes the url DVC's default remote, in `.dvc/config.local`: where data is kept is a matter of the machine, not of the study.

    Raises:
        StudyError: no such bucket, no access to it, or this folder is no DVC repository.
    """
    ensure_bucket(url, create_bucket)
    _dvc("remote", "add", "--local", "--force", "--default", DVC_REMOTE, url)
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        _dvc("remote", "modify", "--local", DVC_REMOTE, "endpointurl", endpoint)


def _dvc(*arguments: str) -> None:
    finished = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise StudyError(f"`dvc {' '.join(arguments)}` failed: {' '.join(finished.stderr.split())}")


class MissingInStore(StudyError):
    """The store answered 404."""


@cache
def _client() -> Any:
    retries: Any = {"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS}
    config = Config(connect_timeout=CONNECT_TIMEOUT_SECONDS, read_timeout=READ_TIMEOUT_SECONDS, retries=retries)
    return Session().client("s3", config=config)


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Turns what boto3 raises about `url` into one sentence."""
    try:
        yield
    except ClientError as error:
        raise _refusal(url, error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise StudyError(
            f"{url} can't be read without credentials ({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        ) from error
    except (UnreachableError, HTTPClientError) as error:
        raise TemporaryError(f"{url} can't be reached ({error}): check the network and AWS_ENDPOINT_URL.") from error
    except BotoCoreError as error:
        raise StudyError(f"{url} can't be used: {error}") from error


def _refusal(url: str, error: ClientError) -> StudyError:
    response = cast(Any, error.response)
    status, code = response.get("ResponseMetadata", {}).get("HTTPStatusCode"), response.get("Error", {}).get("Code", "")
    if status == 404:
        return MissingInStore(f"There is no {url} ({code}): check the bucket and the key, and AWS_ENDPOINT_URL.")
    if status in (401, 403) or code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
        return StudyError(
            f"The store refuses access to {url} ({status} {code}): check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE) and their rights to it."
        )
    if status == 412:
        return StudyError(f"{url} was replaced while it was read: run the same command again.")
    kind = TemporaryError if status and status >= 500 else StudyError
    said = " ".join(dict.fromkeys([str(status), code]))
    return kind(f"The store can't serve {url} ({said}: {response.get('Error', {}).get('Message', '')}).")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.storage", description="Makes an S3 url DVC's default remote of this study.")
    parser.add_argument("url", help="s3://bucket/prefix")
    parser.add_argument("--create-bucket", action="store_true", help="create the bucket when there is none")
    arguments = parser.parse_args()
    with errors_in_words():
        configure_dvc_remote(arguments.url, arguments.create_bucket)


if __name__ == "__main__":
    main()
