"""How many documents stand for how many duplicates, remembered before filters remove some of them."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tasks.documents import REMOVED_SCHEMA
from tasks.steps.base import CorpusStep, StepConfig, StepContext, StepOutcome, set_column
from tasks.steps.duplicates import CLUSTER_SIZE
from tasks.steps.score_columns import read_score

SIZE_DOCUMENTS = pa.field("size_documents", pa.int64())
GROUP_DOCUMENTS = pa.field("group_documents", pa.int64())
By = Literal["lang", "domain"] | None


class ClusterSizeCounts(CorpusStep):
    """Annotates how many documents there are of the document's `cluster_size` (`size_documents`), and how many in all (`group_documents`). To be put
    between the removal of duplicates and the filters: `rehydrate`, behind them, learns from it what share of each size they removed.
    """

    step: Literal["cluster-size-counts"]
    by: By = Field(default="lang", description="what is counted apart; null counts the whole corpus; `rehydrate` must have the same")

    def annotations(self) -> pa.Schema:
        return pa.schema([SIZE_DOCUMENTS, GROUP_DOCUMENTS])

    def map(self, table: pa.Table, context: StepContext) -> pa.Table:
        return (
            pa.table({"group": group_of(table, self.by), "key": size_key(table, self.by, self, context)})
            .group_by(["group", "key"])
            .aggregate([([], "count_all")])
        )

    def reduce(self, digests: list[pa.Table], context: StepContext) -> pa.Table:
        """Row by row: a group and a size, documents of that size, documents of the group."""
        sizes = pa.concat_tables(digests).group_by(["group", "key"]).aggregate([("count_all", "sum")])
        groups = sizes.group_by("group").aggregate([("count_all_sum", "sum")])
        of_group = pc.take(groups["count_all_sum_sum"], pc.index_in(sizes["group"], value_set=groups["group"]))
        return sizes.append_column("of_group", of_group)

    def apply(self, table: pa.Table, state: pa.Table, context: StepContext) -> StepOutcome:
        row = pc.index_in(size_key(table, self.by, self, context), value_set=state["key"])
        table = set_column(table, SIZE_DOCUMENTS, pc.take(state["count_all_sum"], row))
        table = set_column(table, GROUP_DOCUMENTS, pc.take(state["of_group"], row))
        return StepOutcome(table, REMOVED_SCHEMA.empty_table())


def group_of(table: pa.Table, by: By) -> pa.ChunkedArray | pa.Array:
    return pc.fill_null(table[by], "") if by else pa.repeat("", table.num_rows)


def cluster_size(table: pa.Table, step: StepConfig, context: StepContext) -> pa.ChunkedArray:
    """int64; 1 for documents that the removal of duplicates skipped."""
    return pc.cast(pc.fill_null(read_score(table, CLUSTER_SIZE.name, step, context), 1), pa.int64())


def size_key(table: pa.Table, by: By, step: StepConfig, context: StepContext) -> pa.ChunkedArray:
    """One string for group and size."""
    return pc.binary_join_element_wise(pc.cast(cluster_size(table, step, context), pa.string()), group_of(table, by), " ")
