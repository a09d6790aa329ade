"""Programs of edits on one text: a language of four calls, read as data and never run as code."""

import ast
from typing import NamedTuple

MAX_CALLS = 500
MAX_CALL_CHARACTERS = 2000


class Edited(NamedTuple):
    text: str | None  # None: the program drops the document
    num_edits: int


class InvalidProgramError(ValueError):
    """The program is not one of the language, or not one for this text."""


def numbered(text: str) -> str:
    """The text as a writer of programs should see it: each line behind its number."""
    return "\n".join(f"[{number:03d}] {line}" for number, line in enumerate(text.split("\n")))


def execute(program: str, text: str) -> Edited:
    """One call a line: `remove_lines(first, last)` (numbers of the text's lines from 0, both included), `normalize(source, target)` (replaces a
    string in the lines that stay, wherever it is), `drop_doc()`, and `keep_doc()` or `keep_chunk()`, which do nothing. Line numbers are those of
    the text as it came. The language is ProX's (arXiv 2409.17115, table 1).

    Raises:
        InvalidProgramError: when a line is no such call, or names lines or a string that the text does not have. Nothing is done by halves.
    """
    calls = [_parse(line) for line in program.strip().splitlines() if line.strip()]
    if not calls or len(calls) > MAX_CALLS:
        raise InvalidProgramError(f"{len(calls)} calls")
    if any(name == "drop_doc" for name, _ in calls):
        return Edited(None, 1)
    lines = text.split("\n")
    removed = set()
    for name, arguments in calls:
        if name == "remove_lines":
            first, last = arguments
            if not 0 <= first <= last < len(lines):
                raise InvalidProgramError(f"lines {first} to {last} of {len(lines)}")
            removed |= set(range(first, last + 1))
    kept = "\n".join(line for number, line in enumerate(lines) if number not in removed)
    for name, arguments in calls:
        if name == "normalize":
            source, target = arguments
            if source not in text:
                raise InvalidProgramError(f"the text has no {source[:40]!r}")
            kept = kept.replace(source, target)
    return Edited(kept, sum(name in ("remove_lines", "normalize") for name, _ in calls))


_SIGNATURES: dict[str, dict[str, type]] = {
    "remove_lines": {"line_start": int, "line_end": int},
    "normalize": {"source_str": str, "target_str": str},
    "drop_doc": {},
    "keep_doc": {},
    "keep_chunk": {},
}


def _parse(line: str) -> tuple[str, list]:
    if len(line) > MAX_CALL_CHARACTERS:
        raise InvalidProgramError("a call too long")
    try:
        call = ast.parse(line.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InvalidProgramError(f"{line[:60]!r} is no call") from None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _SIGNATURES):
        raise InvalidProgramError(f"{line[:60]!r} is no call of {', '.join(_SIGNATURES)}")
    signature = _SIGNATURES[call.func.id]
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    given = dict(zip(signature, call.args, strict=False)) | named
    values = [value.value if isinstance(value := given.get(name), ast.Constant) else None for name in signature]
    if len(call.args) + len(named) != len(signature) or [type(value) for value in values] != list(signature.values()):
        raise InvalidProgramError(f"{line[:60]!r} has other arguments than {', '.join(signature) or 'none'}")
    if call.func.id == "normalize" and not values[0]:
        raise InvalidProgramError("an empty string to replace")
    return call.func.id, values
