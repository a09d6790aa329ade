"""Clusters of which the bad ones are dropped and the near ones merged."""

from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from models.frozen import StudyError
from models.text_clusters import merged
from tasks.steps.base import StepContext
from tasks.steps.clusters import ClusterStep, Groups
from tasks.steps.score_columns import read_score


class ClimbClusters(ClusterStep):
    """Annotates `cluster`, and takes it for the `domain`, as `clusters` does, but in CLIMB's three moves (arXiv 2504.13161, section 3.1): many
    clusters by k-means; those whose documents score low on average are dropped, with all their documents; the centroids of the others are merged by
    their distance, so that a few domains are left to weigh.

    A cluster's mean is that of the scored documents among those that were learned from; a cluster without any stays. Recorded value: the mean.
    """

    step: Literal["climb-clusters"]
    clusters: int = Field(default=200, ge=2, le=1000, description="at first; CLIMB makes 1000")
    score: str = Field(default="quality_score", description="the column that an earlier step annotated; higher is better")
    min_mean_score: float = Field(description="clusters with less go, in units of the score")
    merged_clusters: PositiveInt | None = Field(default=None, description="how many are left; give this or `max_distance`")
    max_distance: float | None = Field(
        default=None, gt=0, le=2, description="Euclidean, of centroids of vectors of length 1: nearer ones are merged (average linkage)"
    )

    @model_validator(mode="after")
    def _is_told_when_to_end(self) -> Self:
        if (self.merged_clusters is None) == (self.max_distance is None):
            raise ValueError("climb-clusters merges until merged_clusters are left or none is within max_distance: give one of them")
        return self

    def columns(self, table: pa.Table, context: StepContext) -> dict[str, pa.ChunkedArray]:
        return {"score": read_score(table, self.score, self, context)}

    def grouped(self, centroids_KE: np.ndarray, cluster_N: np.ndarray, documents: pa.Table) -> Groups:
        """Raises:
        StudyError: when all clusters would be dropped.
        """
        score_N = documents["score"].to_numpy()
        scored_N, num_clusters = ~np.isnan(score_N), len(centroids_KE)
        count_K = np.bincount(cluster_N[scored_N], minlength=num_clusters)
        sum_K = np.bincount(cluster_N[scored_N], score_N[scored_N], num_clusters)
        mean_K = np.divide(sum_K, count_K, out=np.full(num_clusters, np.nan), where=count_K > 0)
        (good,) = np.nonzero(~(mean_K < self.min_mean_score))
        if not len(good):
            raise StudyError(
                f"climb-clusters drops all {num_clusters} clusters: their means of '{self.score}' are at most {np.nanmax(mean_K):.4g}; lower its "
                f"min_mean_score {self.min_mean_score:g}."
            )
        size_K = np.bincount(cluster_N, minlength=num_clusters)
        group_K = np.full(num_clusters, -1)
        group_K[good] = merged(centroids_KE[good], size_K[good], self.merged_clusters, self.max_distance)
        dropped_K = group_K < 0
        record = {
            "clusters_dropped": int(dropped_K.sum()),
            "documents_learned_from_dropped": int(size_K[dropped_K].sum()),
            "clusters_merged": np.bincount(group_K[good]).tolist(),
        }
        return Groups(group_K, mean_K, record)

    def judged(self, groups: Groups, cluster_N: np.ndarray) -> tuple[Any, Any, Any]:
        low_N = groups.group_K[cluster_N] < 0
        return pa.array(np.where(low_N, "cluster of low score", np.array(None, object)), pa.string()), groups.value_K[cluster_N], self.min_mean_score
