"""docs/laws.md as a new user follows it: every command is run, in order, and says what the page shows, but for the digits."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/laws.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def without_digits(text: str) -> list[str]:
    """The words of a text: numbers, rules of tables and spaces may differ between machines."""
    return re.findall(r"[A-Za-z_]{2,}", text)


@pytest.mark.slow
def test_every_command_of_the_tutorial_says_what_the_page_shows(tmp_path):
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "COLUMNS": "110", "HOME": str(tmp_path)}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    commands = [text for kind, text in blocks if kind == "sh"]
    assert commands and blocks[0][0] == "python"
    (tmp_path / "make_tables.py").write_text(blocks[0][1], encoding="utf-8")
    said = ""
    for kind, text in blocks[1:]:
        if kind == "sh":
            done = subprocess.run(["bash", "-euc", text], cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{text}\n{done.stderr}"
            said = done.stdout
        elif kind == "text":
            assert without_digits(said) == without_digits(text)
