"""What one recipe makes of the pool, or of another recipe's corpus: the documents kept and removed, the funnel, and what the steps learned.

The output is sorted by id and cut into shards anew: its bytes depend on the documents alone, not on the input's shards or the workers.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from models.frozen import Frozen, StudyError
from tasks import layout
from tasks.atomic import replace_directory, write_json
from tasks.documents import REMOVED_SCHEMA, shard_paths, write_shards
from tasks.runners import shard_runner
from tasks.stage import main
from tasks.steps.base import StepConfig, StepContext
from tasks.steps.funnel import FunnelRow
from tasks.steps.keys import step_keys
from tasks.steps.merge import merged_by_id
from tasks.steps.pipeline import Untouched, run_steps
from tasks.study import Study, lineage

CURATION = layout.LOCAL / "curate"  # <recipe>/<place>-<step>-<key>/: what is done of a recipe; removed when all of it is


class CorpusRecord(Frozen):
    recipe: str
    funnel: tuple[FunnelRow, ...]


def curate(study: Study, name: str) -> CorpusRecord:
    """Writes `data/corpora/<name>`: kept/, removed/, funnel.json, and steps.json with what there is to know of the corpus steps.

    Raises:
        StudyError: when the base has no documents, when a step can't do what was asked, or when the recipe leaves nothing,
            or nothing of a domain that a mixture draws from. The last good output stays in place.
    """
    if name not in study.recipes:
        raise StudyError(f"There is no recipe '{name}': the study has {', '.join(study.recipes)}.")
    recipe = study.recipes[name]
    inputs = shard_paths(layout.kept(recipe.base))
    if not inputs:
        raise StudyError(f"There are no documents in {layout.kept(recipe.base)}: run the stage that writes it (`dvc repro`), or `dvc checkout`.")
    steps = recipe.steps or (Untouched(),)
    with working_directories(study.seed, name, inputs, steps) as directories, shard_runner(study.hardware, len(inputs)) as run_all:
        ran = run_steps(steps, inputs, StepContext(study.seed, name, directories[0]), directories, run_all)
        funnel = ran.flows.rows([step.step for step in steps])
        refuse_ruin(study, name, funnel)
        with replace_directory(layout.CORPORA / name) as output:
            write_shards(output / "kept", merged_by_id(ran.kept), kept_schema(inputs[0], recipe.steps))
            # what the first step removed, then what the second did
            write_shards(output / "removed", chain.from_iterable(map(merged_by_id, ran.removed)), REMOVED_SCHEMA)
            write_json(output / "funnel.json", [row.model_dump() for row in funnel])
            write_json(output / "steps.json", ran.records)
    return CorpusRecord(recipe=name, funnel=tuple(funnel))


def kept_schema(shard: Path, steps: tuple[StepConfig, ...]) -> pa.Schema:
    """The columns of the base, then those that the steps annotate, in the order of the steps."""
    fields = {field.name: field for field in pq.read_schema(shard).remove_metadata()}
    for step in steps:
        fields.update({field.name: field for field in step.annotations()})
    return pa.schema(list(fields.values()))


@contextmanager
def working_directories(seed: int, recipe: str, inputs: list[Path], steps: tuple[StepConfig, ...]) -> Iterator[list[Path]]:
    """The steps' own directories, with what is done of them. What other settings, code or input left there is removed; all is, when all is done."""
    home = CURATION / recipe
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(CURATION / f"{recipe}.lock"):
        directories = [
            home / f"{place:03d}-{step.step}-{key}" for place, (step, key) in enumerate(zip(steps, step_keys(seed, inputs, steps), strict=True))
        ]
        for path in set(home.iterdir()) - set(directories):
            shutil.rmtree(path)
        yield directories
        shutil.rmtree(home)


def refuse_ruin(study: Study, name: str, funnel: list[FunnelRow]) -> None:
    """Raises a StudyError when nothing is left, or nothing of a domain that a mixture on this corpus (or on one made of it) draws from."""
    last = {row.domain: row for row in funnel}
    moved = {row.domain for row in funnel if row.documents_in > row.documents_out + sum(amount.documents for amount in row.removed.values())}
    empty = [domain for domain, row in last.items() if not row.documents_out and domain not in moved]
    if len(empty) == len(last):
        raise StudyError(f"Recipe '{name}' removes every document: {what_removed(funnel, empty)}; loosen these steps.")
    for mixture_name, mixture in study.mixtures.items():
        for domain in empty:
            used = mixture.weights.get(domain, 0) > 0 if isinstance(mixture.weights, dict) else domain not in study.recipes[name].may_empty
            if used and name in lineage(study.recipes, mixture.recipe):
                raise StudyError(
                    f"Recipe '{name}' leaves nothing of domain '{domain}', which mixture '{mixture_name}' uses: {what_removed(funnel, [domain])}; "
                    f"loosen these steps, name the domain in their skip_domains, or, if it shall go, in recipes.{name}.may_empty and in no weights."
                )


def what_removed(funnel: list[FunnelRow], domains: list[str]) -> str:
    """For these domains: which step removed how many documents, and the reasons."""
    parts = []
    for row in funnel:
        if row.domain in domains and row.removed:
            reasons = ", ".join(f"{reason} {amount.documents:,}" for reason, amount in row.removed.items())
            parts.append(f"{row.step} removed {row.documents_in - row.documents_out:,} of {row.documents_in:,} documents of {row.domain} ({reasons})")
    return "; ".join(parts) or "the base has none"


if __name__ == "__main__":
    main(curate)
