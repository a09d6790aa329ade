import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frozen import StudyError
from tasks.steps.edit_program import InvalidProgramError, execute, numbered
from tasks.steps.edit_programs import EditPrograms
from tasks.steps.original import with_new_texts
from tasks.steps.pinned import PinnedFile, pinned_sha256
from tests.tasks.steps.some_documents import apply, documents

TEXT = "Home | About\nThe mill  stands.\nIt is old.\nShare this!"


def test_lines_are_numbered_as_the_text_came_and_strings_replaced_in_what_stays():
    program = "remove_lines(0, 0)\nnormalize('  ', ' ')\nremove_lines(line_start=3, line_end=3)"
    assert execute(program, TEXT) == ("The mill stands.\nIt is old.", 3)
    assert numbered(TEXT).startswith("[000] Home | About\n[001] The mill")
    assert execute("keep_doc()", TEXT) == (TEXT, 0)
    assert execute("remove_lines(0, 1)\ndrop_doc()", TEXT).text is None


@pytest.mark.parametrize(
    "program",
    [
        "",
        "remove_lines(2, 1)",
        "remove_lines(0, 4)",
        "remove_lines(-1, 0)",
        "remove_lines(0)",
        "remove_lines(0, 1, 2)",
        "remove_lines(0, line_start=0)",
        "remove_lines(True, 1)",
        "remove_lines(0.0, 1)",
        "normalize('', 'x')",
        "normalize('nowhere', 'x')",
        "normalize(b'Home', 'x')",
        "normalize('Home', 'x' * 9)",
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "(lambda: 0)()",
        "remove_lines(0, 0); drop_doc()",
        "drop_doc",
        "Sure! Here is the program:\nkeep_doc()",
        "remove_lines(" + "(" * 900 + ")" * 900 + ")",
        "keep_doc()\n" * 501,
    ],
)
def test_anything_else_is_no_program(program):
    with pytest.raises(InvalidProgramError):
        execute(program, TEXT)


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"(remove_lines\(\d, ?\d\)|normalize\('.', '.'\)|keep_doc\(\))(\n|\Z)"), st.text(max_size=60))
def test_any_program_edits_or_is_refused(program, text):
    try:
        edited = execute(program, text).text
    except InvalidProgramError:
        return
    assert edited is None or isinstance(edited, str)


@pytest.mark.parametrize("invalid", ["keep", "drop"])
def test_each_document_is_edited_by_its_own_program(tmp_path, invalid):
    path = tmp_path / "programs.jsonl"
    programs = ["remove_lines(0, 0)", "drop_doc()", "rm -rf", "remove_lines(0, 3)", "keep_doc()"]
    path.write_text("".join(json.dumps({"id": f"s#{i:05d}", "program": program}) + "\n" for i, program in enumerate(programs)))
    step = EditPrograms(step="edit-programs", programs=PinnedFile(path=str(path), sha256=pinned_sha256(path, 0)), invalid=invalid)
    kept, removed = apply(step, documents([TEXT] * 6))
    gone = {"s#00001": "drop_doc", "s#00003": "nothing left"} | ({"s#00002": "invalid program"} if invalid == "drop" else {})
    assert dict(zip(removed["id"].to_pylist(), removed["reason"].to_pylist(), strict=True)) == gone
    first, *others = kept.to_pylist()
    assert (first["text"], first["original_text"], first["rewrite_outcome"]) == (TEXT.partition("\n")[2], TEXT, "edited")
    assert {(row["text"], row["original_text"]) for row in others} == {(TEXT, None)}
    outcomes = [row["rewrite_outcome"] or "" for row in others]
    assert any(outcome.startswith("invalid program: 'rm -rf' is no call") for outcome in outcomes) == (invalid == "keep")


def test_a_table_that_can_not_serve_is_refused(tmp_path):
    path = tmp_path / "programs.jsonl"
    for rows, sentence in (([{"id": "a"}], "has no column 'program'; it has id"), ([{"id": "a", "program": ""}] * 2, "more than one program")):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        step = EditPrograms(step="edit-programs", programs=PinnedFile(path=str(path), sha256=pinned_sha256(path, len(rows))))
        with pytest.raises(StudyError, match=sentence):
            apply(step, documents([TEXT]))


def test_the_original_is_what_was_before_the_first_that_rewrote():
    table = documents(["one", "two", "three"], original_text=pa.array(["ONE", None, None]), rewrite_outcome=pa.array(["old", None, None]))
    found = with_new_texts(table, ["uno", "two", "tre"], np.array([None, "kept", "new"], object))
    assert found.select(["text", "original_text", "rewrite_outcome"]).to_pylist() == [
        {"text": "uno", "original_text": "ONE", "rewrite_outcome": "old"},
        {"text": "two", "original_text": None, "rewrite_outcome": "kept"},
        {"text": "tre", "original_text": "three", "rewrite_outcome": "new"},
    ]
