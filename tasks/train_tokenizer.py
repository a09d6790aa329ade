"""The study's one tokenizer: byte-level BPE trained on the pool, or any Hugging Face one by name or path."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.atomic import replace_directory
from tasks.documents import read_shards, text_bytes
from tasks.stage import main
from tasks.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END_OF_TEXT = "<|endoftext|>"


class TokenizerRecord(Frozen):
    vocab_size: int


def train_tokenizer(study: Study) -> TokenizerRecord:
    """Writes `data/tokenizer` as transformers loads it.

    Raises:
        StudyError: when a named tokenizer can't be loaded, or has no end-of-text token to part documents with.
    """
    config = study.tokenizer
    tokenizer = load_pretrained(config.path) if config.path else train_bpe(sample(study.seed, config.max_training_bytes), config.vocab_size)
    with replace_directory(layout.TOKENIZER) as directory:
        tokenizer.save_pretrained(directory)
    return TokenizerRecord(vocab_size=len(tokenizer))


def train_bpe(texts: Iterator[str], vocab_size: int) -> "PreTrainedTokenizerBase":
    """Byte-level BPE (Radford et al., 2019) with one special token that ends documents. Same texts, same tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # all bytes, so that no text is unknown
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT)


def sample(seed: int, max_bytes: int) -> Iterator[str]:
    """About `max_bytes` of the pool's text: the documents whose hash is below the share that fits."""
    pool = layout.kept(layout.POOL)
    share = max_bytes / max(1, sum(text_bytes(table) for table in read_shards(pool, ["text"])))
    for table in read_shards(pool, ["id", "text"]):
        for identity, text in zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True):
            digest = hashlib.blake2b(f"{seed}/{identity}".encode(), digest_size=8).digest()
            if int.from_bytes(digest) < share * 2**64:
                yield text


def load_pretrained(path: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"tokenizer.path '{path}' can't be loaded ({str(error).splitlines()[0]}): name a Hugging Face tokenizer, or a local folder of one."
        ) from None
    if not tokenizer.is_fast:
        raise StudyError(f"tokenizer.path '{path}' has no fast form (tokenizer.json): choose a tokenizer that has one, or convert it.")
    if tokenizer.eos_token_id is None:
        raise StudyError(f"tokenizer.path '{path}' has no end-of-text token (eos_token), which parts documents: choose another tokenizer.")
    return tokenizer


if __name__ == "__main__":
    main(train_tokenizer)
