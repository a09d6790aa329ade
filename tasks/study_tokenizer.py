"""The study's tokenizer, as the stage `tokenizer` left it: without transformers, which take seconds to import."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from tasks import layout
from tasks.atomic import read_json


@dataclass(frozen=True)
class StudyTokenizer:
    directory: Path = layout.TOKENIZER

    @cached_property
    def backend(self) -> Tokenizer:
        """A document that spells a special token does not become one."""
        tokenizer = Tokenizer.from_file(str(self.directory / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def end_of_text(self) -> str:
        """What ends a document."""
        token = read_json(self.directory / "tokenizer_config.json")["eos_token"]
        return token["content"] if isinstance(token, dict) else token

    @cached_property
    def end_of_text_id(self) -> int:
        return self.backend.get_vocab()[self.end_of_text]

    @cached_property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size(with_added_tokens=True)
