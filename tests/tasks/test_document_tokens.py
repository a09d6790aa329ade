import pyarrow as pa
import pytest

from models.frozen import StudyError
from tasks import layout
from tasks.document_tokens import read_with_tokens
from tasks.documents import COPIES, DOCUMENT_SCHEMA, write_shards
from tasks.study import Study
from tasks.study_tokenizer import StudyTokenizer
from tasks.tokenize_corpus import tokenize_corpus
from tasks.train_tokenizer import train_bpe
from tests.tasks.steps.some_documents import documents

TEXTS = [f"{'the river ' * (i % 7)}and {i}" for i in range(30)] + ["<|endoftext|>", ""]
COPIES_D = [i % 4 if i % 5 else None for i in range(len(TEXTS))]


@pytest.fixture
def corpus(study_folder, default_study: Study) -> tuple[Study, list[int]]:
    """A tokenized corpus in several shards, of which documents come none, one or several times; and the tokens of each."""
    tokenizer = train_bpe(iter(TEXTS * 5), 300)
    tokenizer.save_pretrained(layout.TOKENIZER)
    table = documents(TEXTS, domain=["web", "notes", "web"] * 10 + ["notes", "web"]).append_column(COPIES, pa.array(COPIES_D, COPIES.type))
    write_shards(layout.kept("clean"), [table], pa.schema([*DOCUMENT_SCHEMA, COPIES]), shard_bytes=200)
    tokenize_corpus(default_study, "clean")
    return default_study, [len(StudyTokenizer().backend.encode(text).ids) + 1 for text in TEXTS]


def test_tokens_of_a_document_are_those_of_one_copy(corpus):
    _, tokens = corpus
    shards = list(read_with_tokens("clean", ["id"]))
    assert len(shards) > 2
    read = [row for shard in shards for row in shard["tokens"].to_pylist()]
    assert read == [0 if copies == 0 else count for count, copies in zip(tokens, COPIES_D, strict=True)]


def test_an_untokenized_corpus_has_no_counts(corpus):
    write_shards(layout.kept(layout.POOL), [documents(["a", "b"])], DOCUMENT_SCHEMA)
    (shard,) = read_with_tokens(layout.POOL, ["id"])
    assert shard["tokens"].to_pylist() == [None, None]


@pytest.mark.parametrize("others", [TEXTS[:-2], [*TEXTS, "one more"]])
def test_tokens_of_other_documents_are_refused(corpus, others: list[str]):
    for path in layout.kept("clean").iterdir():
        path.unlink()
    write_shards(layout.kept("clean"), [documents(others, domain="web")], DOCUMENT_SCHEMA)
    with pytest.raises(StudyError, match=r"are not those of the documents beside them: run the stage `tokenize`"):
        list(read_with_tokens("clean", ["id"]))
