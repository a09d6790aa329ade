"""A corpus as token shards: one memory-mapped file per domain, documents one after another, each ended by the end-of-text token."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from models.frozen import Frozen
from tasks import layout
from tasks.atomic import read_json, replace_directory, write_json
from tasks.documents import COPIES, read_shards
from tasks.stage import main
from tasks.study import Study
from tasks.study_tokenizer import StudyTokenizer

MANIFEST = "manifest.json"


class DomainTokens(Frozen):
    """What `<domain>.bin` holds, each document as often as its `copies` say; `<domain>.offsets.npy` has where each starts, and the end: uint64
    [documents + 1]."""

    documents: int
    tokens: int  # end-of-text tokens included
    bytes: int  # of UTF-8 text
    md5: str  # of the file


class TokensManifest(Frozen):
    vocab_size: int
    dtype: str
    end_of_text_id: int
    domains: dict[str, DomainTokens]

    @property
    def md5_by_domain(self) -> dict[str, str]:
        return {name: domain.md5 for name, domain in self.domains.items()}


class TokenizedCorpus:
    """Token ids by domain, memory-mapped, with their manifest."""

    def __init__(self, directory: Path):
        self.manifest = load_manifest(directory)
        self.tokens_by_domain: dict[str, np.ndarray] = {
            name: np.memmap(directory / f"{name}.bin", dtype=self.manifest.dtype, mode="r") for name in self.manifest.domains
        }


def load_tokens(directory: Path) -> TokenizedCorpus:
    return TokenizedCorpus(directory)


def load_manifest(directory: Path) -> TokensManifest:
    return TokensManifest.model_validate(read_json(directory / MANIFEST))


def tokenize_corpus(study: Study, recipe: str) -> TokensManifest:
    """Writes `data/tokens/<recipe>`. Memory is a shard of documents and a tenth of it in tokens; tokenizing uses all cores."""
    tokenizer = StudyTokenizer()
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
    with replace_directory(layout.TOKENS / recipe) as directory, ExitStack() as files:
        writers: dict[str, DomainWriter] = {}
        for table in read_shards(layout.kept(recipe)):
            texts, domains = table["text"].to_pylist(), table["domain"].to_pylist()
            copies = table[COPIES.name].fill_null(1).to_pylist() if COPIES.name in table.column_names else [1] * len(texts)
            for start in range(0, len(texts), BATCH_DOCUMENTS):
                batch = texts[start : start + BATCH_DOCUMENTS]
                encoded = tokenizer.backend.encode_batch_fast(batch, add_special_tokens=False)
                for text, domain, num_copies, encoding in zip(batch, domains[start:], copies[start:], encoded, strict=False):
                    if domain not in writers:
                        writers[domain] = DomainWriter(files.enter_context((directory / f"{domain}.bin").open("wb")), dtype)
                    for _ in range(num_copies):
                        writers[domain].add(text, [*encoding.ids, tokenizer.end_of_text_id])
        for domain, writer in writers.items():
            np.save(directory / f"{domain}.offsets.npy", np.array(writer.offsets, dtype=np.uint64))
        manifest = TokensManifest(
            vocab_size=tokenizer.vocab_size,
            dtype=dtype.name,
            end_of_text_id=tokenizer.end_of_text_id,
            domains={domain: writers[domain].record() for domain in sorted(writers)},
        )
        write_json(directory / MANIFEST, manifest.model_dump())
    return manifest


BATCH_DOCUMENTS = 4096


class DomainWriter:
    """Appends documents to one domain's file, counting and hashing what it writes."""

    def __init__(self, file: BinaryIO, dtype: np.dtype):
        self.file, self.dtype = file, dtype
        self.offsets, self.bytes, self.md5 = [0], 0, hashlib.md5()

    def add(self, text: str, token_ids: list[int]) -> None:
        written = np.array(token_ids, dtype=self.dtype).tobytes()
        self.file.write(written)
        self.md5.update(written)
        self.bytes += len(text.encode())
        self.offsets.append(self.offsets[-1] + len(token_ids))

    def record(self) -> DomainTokens:
        return DomainTokens(documents=len(self.offsets) - 1, tokens=self.offsets[-1], bytes=self.bytes, md5=self.md5.hexdigest())


if __name__ == "__main__":
    main(tokenize_corpus)
