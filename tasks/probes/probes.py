"""All probes that a study asks for: what is found out once per mixture, then one model after another."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.frozen import Frozen
from tasks import layout
from tasks.benchmarks.harness import Harness
from tasks.benchmarks.items import Document
from tasks.benchmarks.loading import answered_text, first_items
from tasks.evaluation_table import HELDOUT
from tasks.probes.age import Age
from tasks.probes.base import Answer, Probe, Subject
from tasks.probes.config import ProbesConfig
from tasks.probes.contamination import ContaminatedScores
from tasks.probes.contamination_scan import Contamination, Item, find_contamination
from tasks.probes.extraction import Extraction
from tasks.probes.heldout_text import HeldoutBeginnings
from tasks.probes.membership import Membership
from tasks.probes.toxicity import Toxicity
from tasks.probes.training_text import TrainingText
from tasks.run_directory import RunResult

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast
