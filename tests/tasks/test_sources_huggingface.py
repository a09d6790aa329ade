import json
import subprocess
import sys

import pytest

from models.frozen import StudyError
from tasks.sources import huggingface
from tasks.sources.config import HuggingFaceSource


@pytest.fixture
def dataset(tmp_path):
    """A dataset folder of two files, as somebody would publish it."""
    for shard in range(2):
        rows = [{"text": f"{shard}.{row}", "topic": "News", "id": row} for row in range(3)]
        (tmp_path / f"train-{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def read(path, **fields):
    return list(huggingface.read(HuggingFaceSource.model_validate({"kind": "huggingface", "domain": "d", "path": str(path)} | fields)))


def test_a_dataset_folder_is_streamed_shard_by_shard(dataset):
    documents = read(dataset, domain_column="topic")
    assert [(file, document.text) for file, document in documents] == [
        (f"train-0000{shard}", f"{shard}.{row}") for shard in range(2) for row in range(3)
    ]
    assert {document.domain for _, document in documents} == {"news"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"split": "test"}, r"dataset '.*', split 'test' can't be read: Bad split: test. Available splits: \['train'\]\."),
        ({"name": "fr"}, r"dataset '.*' \(fr\), split 'train' can't be read: BuilderConfig 'fr' not found"),
        ({"text_column": "body"}, "split 'train' has no column 'body', only id, text, topic: set text_column"),
        ({"text_column": "id"}, r"split 'train', shard 0, row 0: column 'id' holds 0 \(int\), not text"),
    ],
)
def test_what_the_dataset_lacks_is_named(dataset, fields, sentence):
    with pytest.raises(StudyError, match=sentence):
        read(dataset, **fields)


def test_a_broken_file_of_a_dataset_is_one_sentence(dataset):
    (dataset / "train-1.jsonl").write_text('{"text": "a"')
    with pytest.raises(StudyError, match=r"split 'train', shard 1, row 0 can't be read: JSON parse error"):
        read(dataset)
    with pytest.raises(StudyError, match=r"dataset '.*nowhere', split 'train' can't be"):
        read(dataset / "nowhere")


@pytest.mark.slow
def test_offline_is_one_sentence():
    """In a process of its own: the setting is read when `datasets` is imported."""
    code = """
from tests.tasks.test_sources_huggingface import *
with pytest.raises(StudyError, match="dataset 'allenai/c4' .en., split 'train' can't be reached .*Offline.*: check the network, HF_HUB_OFFLINE"):
    read("allenai/c4", name="en")
"""
    finished = subprocess.run([sys.executable, "-c", code], env={"HF_HUB_OFFLINE": "1", "PATH": ""}, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
