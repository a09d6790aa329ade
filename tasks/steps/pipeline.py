"""How a recipe's steps run over shards.

Runs of batch steps are fused: a worker process takes a shard through all of them without files between. A step that needs the whole corpus is
a barrier: the stage before it ends with `map` on every shard, the stage behind it begins with `apply`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import BatchStep, CorpusStep, StepConfig, StepContext, StepOutcome, set_column
from tasks.steps.funnel import FlowCounter


@dataclass(frozen=True)
class Stage:
    """What happens to a shard between two barriers."""

    first: int  # position of the first of `steps` in the recipe
    steps: tuple[StepConfig, ...]  # the barrier before it, then batch steps
    mapped: CorpusStep | None  # the barrier behind it
    state: Any = None  # of the barrier before it


@dataclass(frozen=True)
class ShardResult:
    path: Path  # what is left of the shard
    flows: FlowCounter
    digest: Any  # of the barrier behind the stage; None when it saw no document


def stages(steps: tuple[StepConfig, ...]) -> list[Stage]:
    """Cuts a recipe at its barriers: [batch, ..., map], [apply, batch, ..., map], ..., [apply, batch, ...]."""
    barriers = [position for position, step in enumerate(steps) if isinstance(step, CorpusStep)]
    cuts = [0, *barriers, len(steps)]
    mapped = [*(steps[position] for position in barriers), None]
    return [Stage(start, steps[start:end], step) for start, end, step in zip(cuts[:-1], cuts[1:], mapped, strict=True)]


def run_steps(
    steps: tuple[StepConfig, ...], paths: list[Path], context: StepContext, run_all: Callable[..., list[ShardResult]]
) -> tuple[list[Path], FlowCounter, list[dict[str, Any]]]:
    """Takes all shards through all steps.

    Args:
        run_all: `run_all(function, stage, paths, contexts)` calls the function for every path, in any place, and gives the results in order.

    Returns:
        the shards that are left, what flowed, and what there is to know of the corpus steps.
    """
    flows, records, digests = FlowCounter(), [], []
    for stage in stages(steps):
        if stage.steps and isinstance(barrier := stage.steps[0], CorpusStep):
            # a step that saw no document at all has no state, and will see none in `apply`
            state = barrier.reduce(digests, step_context(context, stage.first)) if digests else None
            records.append({"step": barrier.step, "position": stage.first, "record": barrier.record(state) if digests else None})
            stage = replace(stage, state=state)
        results = run_all(run_shard, stage, paths, [replace(context, shard=shard) for shard in range(len(paths))])
        paths = [result.path for result in results]
        digests = [result.digest for result in results if result.digest is not None]
        for result in results:
            flows.add(result.flows)
    return paths, flows, records


def run_shard(stage: Stage, path: Path, context: StepContext) -> ShardResult:
    """One shard through one stage. What is kept and removed goes to files in the recipe's directory."""
    table, flows = pq.read_table(path), FlowCounter()
    for position, step in enumerate(stage.steps, stage.first):
        kept, removed = run_step(step, table, stage.state, step_context(context, position))
        assert kept.num_rows + removed.num_rows == table.num_rows, f"{step.step} lost documents of {path}"
        flows.count(position, "in", table)
        flows.count(position, "out", kept)
        flows.count(position, "removed", removed)
        if removed.num_rows:
            removed = set_column(removed, REMOVED_SCHEMA.field("step"), step.step)
            pq.write_table(removed, context.directory / f"removed-{position:03d}-{context.shard:06d}.parquet")
        table = kept
    digest = None
    if stage.mapped and (seen := table.filter(pc.invert(skipped(stage.mapped, table)))).num_rows:
        digest = stage.mapped.map(seen, step_context(context, stage.first + len(stage.steps)))
    if stage.steps:
        path = context.directory / f"kept-{stage.first:03d}-{context.shard:06d}.parquet"
        pq.write_table(table, path)
    return ShardResult(path, flows, digest)


def run_step(step: StepConfig, table: pa.Table, state: Any, context: StepContext) -> StepOutcome:
    """Applies a step to the documents that it does not skip. All stay in their order; all get the columns that the step annotates."""
    row = "row of the shard"
    passing = skipped(step, table)
    numbered = table.append_column(row, pa.array(range(table.num_rows), pa.int64()))
    kept, removed = numbered.filter(pc.invert(passing)), REMOVED_SCHEMA.empty_table()
    if kept.num_rows and isinstance(step, BatchStep):
        kept, removed = step.apply(kept, context)
    elif kept.num_rows and isinstance(step, CorpusStep):
        kept, removed = step.apply(kept, state, context)
    if pc.any(passing).as_py():
        kept = pa.concat_tables([kept, numbered.filter(passing)], promote_options="default").sort_by(row)
    for field in step.annotations():
        if field.name not in kept.column_names:
            kept = set_column(kept, field, None)
    return StepOutcome(kept.drop_columns(row), removed)


def skipped(step: StepConfig, table: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(table["domain"], pa.array(step.skip_domains, pa.string()))


def step_context(context: StepContext, position: int) -> StepContext:
    """The recipe's context, in the step's own directory."""
    directory = context.directory / f"step-{position:03d}"
    directory.mkdir(exist_ok=True)
    return replace(context, directory=directory)
