import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.benchmarks.version import Outline, difference, differences, read_outlines, version_of, with_outlines

OUTLINE = Outline(harness="lm-eval 0.4.13", settings={"num_fewshot": 0, "doc_to_text": "title"}, items=("a1", "b2", "c3"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"harness": "lm-eval 0.5"}, "harness was lm-eval 0.4.13, is lm-eval 0.5"),
        ({"settings": {"num_fewshot": 5}}, 'doc_to_text was "title", is null; num_fewshot was 0, is 5'),
        ({"items": ("a1", "b2", "d4", "e5")}, "2 of 4 items are new, 1 of 3 are gone"),
        ({"items": ("b2", "a1", "c3")}, "items are in another order"),
        ({"items": ("a1", "a1", "b2", "c3")}, "1 of 4 items are new, 0 of 3 are gone"),
    ],
)
def test_what_changed_is_said_in_words(change, words):
    assert difference(OUTLINE, OUTLINE.model_copy(update=change)) == words


def test_long_settings_are_cut_but_never_taken_for_equal():
    old, new = (OUTLINE.model_copy(update={"settings": {"process_docs": "x" * 100 + end}}) for end in "ab")
    assert difference(old, new) == "process_docs is another"


def test_outlines_travel_in_the_table(tmp_path):
    schema = pa.schema([("value", pa.float64())])
    path = tmp_path / "table.parquet"
    assert read_outlines(path) == {}
    pq.write_table(schema.empty_table(), path)
    assert read_outlines(path) == {}
    outlines = {"title-choice": OUTLINE, "heldout/code": OUTLINE}
    pq.write_table(pa.Table.from_pylist([], schema=with_outlines(schema, outlines)), path)
    assert read_outlines(path) == outlines and pq.read_table(path).schema.equals(schema)


def test_only_what_is_in_both_can_have_changed():
    other = OUTLINE.model_copy(update={"items": ()})
    assert differences({"a": OUTLINE, "b": OUTLINE, "gone": OUTLINE}, {"a": OUTLINE, "b": other, "new": OUTLINE}).keys() == {"b"}


def test_a_version_is_of_all_that_it_is_given():
    assert len({version_of(["x"], "m", "h"), version_of(["y"], "m", "h"), version_of(["x"], "n", "h"), version_of(["x"], "m", "i")}) == 4
