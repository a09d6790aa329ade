from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from models.frozen import StudyError
from tasks.steps.pinned import PinnedFile, pinned_sha256
from tasks.swarm_mixtures_file import mixtures_from

ROWS = ["index,train_the_pile_code,train_the_pile_legal", *(f"{n},{n / 10},{1 - n / 10}" for n in (3, 1, 2, 4, 0))]


def pinned(path: Path) -> PinnedFile:
    return PinnedFile(path=str(path), sha256=pinned_sha256(path, path.stat().st_mtime_ns))


def written(tmp_path: Path, rows: list[str]) -> Path:
    path = tmp_path / "mixtures.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_regmix_form_is_matched_by_name_in_the_order_of_its_index(suffix, tmp_path):
    path = written(tmp_path, ROWS)
    if suffix == "parquet":
        pq.write_table(csv.read_csv(path), path := tmp_path / "mixtures.parquet")
    mixtures = mixtures_from(pinned(path), ["code", "legal", "other"], "swarms.s.mixtures_file")
    assert mixtures[0] == {"legal": 1.0} and mixtures[3] == pytest.approx({"code": 0.3, "legal": 0.7}) and len(mixtures) == 5


@pytest.mark.parametrize(
    ("rows", "domains", "words"),
    [
        (ROWS, ["code", "law"], "has weights of train_the_pile_legal, of which the recipe has no tokens; there are code, law"),
        (ROWS[:4], ["code", "legal"], "has 3 mixtures, and a law of mixtures needs 5 at least"),
        (["index,a_code_legal,x", *(f"{n},1,0" for n in range(5))], ["code", "legal"], "column 'a_code_legal' .* could be of code and of legal"),
        ([*ROWS, "9,0.5,0.6"], ["code", "legal"], "don't sum to one within 1%: index 9"),
    ],
)
def test_tables_that_do_not_fit_are_refused_in_a_sentence(rows, domains, words, tmp_path):
    with pytest.raises(StudyError, match=words):
        mixtures_from(pinned(written(tmp_path, rows)), domains, "swarms.s.mixtures_file")


def test_another_table_than_the_pinned_one_is_refused(tmp_path):
    file = pinned(written(tmp_path, ROWS))
    with pytest.raises(StudyError, match=r"swarms\.s\.mixtures_file: .* is not pinned, .* write `sha256: "):
        mixtures_from(file.model_copy(update={"sha256": None}), ["code", "legal"], "swarms.s.mixtures_file")
