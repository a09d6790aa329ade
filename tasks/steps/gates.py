"""A step that removes implausibly much stops its recipe. What it saw is said with examples; the last good corpus stays in place."""

import heapq
from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.frozen import StudyError
from tasks.steps.base import StepConfig
from tasks.steps.funnel import Flow, FlowCounter

# Of fewer documents any share may go: a handful proves nothing, and what a mixture needs of them `tasks/curate.py` sees to.
FEW_DOCUMENTS = 20
_REASONS_SHOWN = 4
_EXAMPLES_SHOWN = 2  # per reason
_BEGINNING_CHARACTERS = 60


def refuse_large_removal(recipe: str, position: int, step: StepConfig, flows: FlowCounter, removed: Iterable[Path]) -> None:
    """To be called when a step has seen all documents.

    Args:
        removed: the files of what it removed, in any order.

    Raises:
        StudyError: when it removed more than its `max_removed` of everything, or more than its `max_removed_of_source` of a source.
    """
    for gate, source in [("max_removed", None), *(("max_removed_of_source", source) for source in flows.sources(position))]:
        flow, allowed = flows.flow(position, source=source), getattr(step, gate)
        if flow.documents_in >= FEW_DOCUMENTS and flow.lost_share > allowed:
            whose = f"source '{source}'" if source else "the corpus"
            raise StudyError(
                f"Recipe '{recipe}', step {position + 1}: {step.step} takes away {_amount(flow)} of {whose}, more than its {gate} {allowed:g} "
                f"allows{_examples(flow, removed, source)}. Loosen the step, name domains in its skip_domains, or, if so much shall go, "
                f"raise its {gate}."
            )


def _amount(flow: Flow) -> str:
    documents = flow.documents_in - flow.documents_out
    return f"{documents:,} of {flow.documents_in:,} documents and {1 - flow.bytes_out / max(1, flow.bytes_in):.0%} of the bytes"


def _examples(flow: Flow, removed: Iterable[Path], source: str | None) -> str:
    """The reasons, most frequent first, each with the beginnings of the documents with the smallest ids."""
    reasons = sorted(flow.removed, key=lambda reason: (-flow.removed[reason].documents, reason))[:_REASONS_SHOWN]
    documents: dict[str, list[tuple[str, str]]] = {reason: [] for reason in reasons}
    for path in removed:
        table = pq.read_table(path, columns=["id", "source", "reason", "text"])
        table = table if source is None else table.filter(pc.equal(table["source"], source))
        beginnings = pc.utf8_slice_codeunits(table["text"], 0, _BEGINNING_CHARACTERS).to_pylist()
        for id, reason, beginning in zip(table["id"].to_pylist(), table["reason"].to_pylist(), beginnings, strict=True):
            if reason in documents:
                documents[reason].append((id, beginning))
        documents = {reason: heapq.nsmallest(_EXAMPLES_SHOWN, shown) for reason, shown in documents.items()}
    said = [
        f"{reason} {flow.removed[reason].documents:,}, such as {' and '.join(f'{id} {beginning!r}' for id, beginning in documents[reason])}"
        for reason in reasons
    ]
    return f" ({'; '.join(said)})" if said else " (it rewrites them)"
