"""Benchmarks that the study writes itself, as lm-eval tasks: the platform's own, or those of the user's files."""

from pathlib import Path

from models.frozen import StudyError
from tasks import layout
from tasks.atomic import replace_directory
from tasks.benchmarks.config import OWN
from tasks.benchmarks.item_files import item_files
from tasks.benchmarks.items import heldout_documents
from tasks.benchmarks.own import write_benchmarks
from tasks.benchmarks.task_folder import TaskFolder
from tasks.stage import main
from tasks.study import Study
from tasks.study_tokenizer import StudyTokenizer


def write_items(study: Study, name: str = OWN) -> list[Path]:
    """Writes `data/items/<name>`: a YAML file per task, and one of their group where a folder of files gave several.

    Raises:
        StudyError: when there are no items, or some that can't be asked.
    """
    end_of_text = StudyTokenizer().end_of_text
    if name == OWN:
        return write_benchmarks(study.evaluation, study.seed, heldout_documents(), end_of_text)
    if name not in study.evaluation.item_files:
        raise StudyError(f"evaluation.item_files has no '{name}': it has {', '.join(study.evaluation.item_files) or 'none'}.")
    files = item_files(name, Path(study.evaluation.item_files[name]))
    home = layout.ITEMS / name
    with replace_directory(home) as partial:
        folder = TaskFolder(partial, home, end_of_text)
        for file in files:
            settings = {"description": end_of_text + file.prefix, "target_delimiter": file.delimiter}
            folder.write(file.name, "item-file", file.items, **settings)
        if len(files) > 1:
            folder.write_group(name, [file.name for file in files])
    return [home / f"{name}.yaml"]


def task_files(study: Study) -> list[Path]:
    """The YAML files of all benchmarks that the study writes itself.

    Raises:
        StudyError: when the stages before have not written them.
    """
    own = layout.ITEMS / OWN
    entries = [layout.ITEMS / name / f"{name}.yaml" for name in study.evaluation.item_files]
    for path in (own, *entries):
        if not path.exists():
            raise StudyError(f"There is no {path}: run the stages that write items (`dvc repro`), or `dvc checkout`.")
    return sorted(own.glob("*.yaml")) + entries


if __name__ == "__main__":
    main(write_items)
