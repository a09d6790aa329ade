"""Which code, and which files, decide what the steps of each recipe do. Stage `curate` depends on its recipe's file, so that a changed step makes
the corpora stale that use it, and no others.

A step's code is its module and all modules of ours that this imports, wherever in the file; not those that `tasks.curate` imports itself, which
decide every corpus and are dependencies of the stage. Comments, docstrings and layout don't count: digests are of syntax trees.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tasks import layout
from tasks.atomic import replace_directory, write_json
from tasks.stage import main
from tasks.steps.base import StepConfig
from tasks.study import Study

ROOT = Path(__file__).parents[1]
OURS = ("models", "tasks")
EVERY_CORPUS = "tasks.curate"  # what it imports decides every corpus


def write_step_code(study: Study) -> None:
    """Writes `data/steps/<recipe>.json`: by name of each of its steps the digest of its code, and of the files that it reads besides the corpus."""
    with replace_directory(layout.STEPS) as output:
        for name, recipe in study.recipes.items():
            write_json(output / f"{name}.json", {step.step: "".join([digest(type(step)), *read_digests(step)]) for step in recipe.steps})


def read_digests(step: StepConfig) -> list[str]:
    """Hexadecimal; of the files that there are, in their order."""
    paths = [path for path in step.reads() if path.exists()]
    return [hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in paths]


def digest(step: type[StepConfig], root: Path = ROOT) -> str:
    """Hexadecimal; of the code under `root` that decides what the step does."""
    return _digest(modules(step, root), root)


def digest_of_shared(root: Path = ROOT) -> str:
    """The same of the code that decides every corpus."""
    return _digest(sorted(_shared(root)), root)


def modules(step: type[StepConfig], root: Path = ROOT) -> list[str]:
    """The names of the modules whose code decides what the step does, sorted."""
    shared = _shared(root)
    waiting, found = [step.__module__], set()
    while waiting:
        module = waiting.pop()
        if module not in found | shared:
            found.add(module)
            waiting += _imports(module, root)
    return sorted(found)


def _shared(root: Path) -> set[str]:
    return set(_imports(EVERY_CORPUS, root))


def _digest(names: list[str], root: Path) -> str:
    trees = (f"{module} {_parsed(_text(module, root)).dump}" for module in names)
    return hashlib.blake2b("\n".join(trees).encode(), digest_size=16).hexdigest()


def _imports(module: str, root: Path) -> Iterator[str]:
    """The modules of ours that a module imports."""
    return (name for name in _parsed(_text(module, root)).imports if name.split(".")[0] in OURS and _path(name, root).exists())


def _path(module: str, root: Path) -> Path:
    return root / f"{module.replace('.', '/')}.py"


def _text(module: str, root: Path) -> str:
    return _path(module, root).read_text(encoding="utf-8")


class Parsed(NamedTuple):
    """What counts of a file's text."""

    imports: tuple[str, ...]  # what may be modules: `from tasks import layout` and `from tasks.layout import POOL` both name tasks.layout
    dump: str  # of the syntax tree, without docstrings


@cache
def _parsed(text: str) -> Parsed:
    """Once for each text, not for each step: steps share most of their modules."""
    tree, imports = ast.parse(text), list[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            imports += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return Parsed(tuple(imports), ast.dump(tree))


if __name__ == "__main__":
    main(write_step_code)
