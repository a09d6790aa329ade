"""Can text that a run has read be told from held-out text of the same domain? By Min-K% and Min-K%++ of its tokens' probabilities.

Training text is told from held-out text without any memory of it where a recipe rewrites or selects documents, and because no held-out document has
near-duplicates in training. So the same is asked of text of the corpus that the run has not read: what memory adds is the difference.

Shape suffixes: E excerpts, L tokens of an excerpt and the end-of-text token before it, T its tokens, B excerpts of a batch, R rows of logits.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from tasks.benchmarks.version import Outline, digest
from tasks.probes.auc import area_under_curve
from tasks.probes.base import OURS, Answer, Subject
from tasks.probes.config import MembershipConfig
from tasks.probes.heldout_text import HeldoutBeginnings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MIN_K_PLUS_PLUS = "min_k_plus_plus_auc"
MIN_K = "min_k_auc"
ROUNDING = 1e-12  # of sums of probabilities in float64
NUMBERS_AT_ONCE = 1 << 17  # of float64, several times: they stay in a core's cache
UNREAD = "unread_"  # prefix of the same for text of the corpus that the run has not read; None where it has read it all


class Membership:
    def __init__(self, config: MembershipConfig, heldout: HeldoutBeginnings, seed: int, batch_sequences: int):
        self.config, self.heldout, self.seed, self.batch_sequences = config, heldout, seed, batch_sequences

    def ask(self, subject: Subject) -> Iterator[Answer]:
        training = subject.training
        assert training is not None
        num_tokens = min(self.config.excerpt_tokens, subject.context, training.sequence_length)
        sample = (num_tokens, self.config.documents_per_domain, self.seed)
        for domain in training.domains:
            heldout_EL = self.heldout.excerpts(domain, *sample)
            settings = self.config.model_dump() | {"excerpt_tokens": num_tokens, "seed": self.seed}
            outline = Outline(harness=OURS, settings=settings, items=tuple(map(digest, heldout_EL.tolist())))  # what a run has read is its own
            others = self._scores(subject.model, heldout_EL)
            for prefix, read in (("", True), (UNREAD, False)):
                for metric, scores in self._scores(subject.model, training.excerpts(domain, *sample, read=read)).items():
                    yield Answer(f"membership/{domain}", prefix + metric, area_under_curve(scores, others[metric]), outline)

    def _scores(self, model: "PreTrainedModel", excerpts_EL: np.ndarray) -> dict[str, np.ndarray]:
        """[E] by metric."""
        nats_ET, normalised_ET = token_scores(model, excerpts_EL, self.batch_sequences)
        return {MIN_K_PLUS_PLUS: min_k(normalised_ET, self.config.lowest_share), MIN_K: min_k(nats_ET, self.config.lowest_share)}


def min_k(scores_ET: np.ndarray, lowest_share: float) -> np.ndarray:
    """[E]: the mean of each excerpt's lowest scores."""
    lowest = max(1, int(scores_ET.shape[1] * lowest_share))
    return np.sort(scores_ET, axis=1)[:, :lowest].mean(axis=1)


@torch.inference_mode()
def token_scores(model: "PreTrainedModel", excerpts_EL: np.ndarray, batch_sequences: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 [E, T] twice: log p(x_t | x_<t) in nats; and (log p(x_t | x_<t) - mu) / sigma, where mu and sigma are mean and standard deviation of
    log p(z | x_<t) over tokens z drawn from p (arXiv 2404.02936, equation 3)."""
    head = cast(torch.nn.Module, model.get_output_embeddings())
    rows = max(1, NUMBERS_AT_ONCE // model.config.vocab_size)
    nats, normalised = [torch.empty(0, dtype=torch.float64)], [torch.empty(0, dtype=torch.float64)]
    for start in range(0, len(excerpts_EL), batch_sequences):
        excerpts_BL = torch.from_numpy(excerpts_EL[start : start + batch_sequences]).to(model.device)
        hidden_BTD = model.base_model(input_ids=excerpts_BL[:, :-1], use_cache=False).last_hidden_state
        for hidden_RD, target_R in zip(hidden_BTD.flatten(0, 1).split(rows), excerpts_BL[:, 1:].flatten().split(rows), strict=True):
            nats_R, normalised_R = normalise(head(hidden_RD).double(), target_R)
            nats.append(nats_R.cpu())
            normalised.append(normalised_R.cpu())
    shape = (len(excerpts_EL), excerpts_EL.shape[1] - 1)
    return torch.cat(nats).numpy().reshape(shape), torch.cat(normalised).numpy().reshape(shape)


def normalise(logits_RV: torch.Tensor, target_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[R] twice: the targets' log-probabilities, and these less their mean over their standard deviation."""
    nats_RV = logits_RV.log_softmax(-1)
    probability_RV = nats_RV.exp()
    mean_R = (probability_RV * nats_RV).sum(-1)
    deviation_R = (probability_RV * (nats_RV - mean_R.unsqueeze(-1)) ** 2).sum(-1).sqrt()
    nats_R = nats_RV.gather(-1, target_R.unsqueeze(-1)).squeeze(-1)
    certain_R = deviation_R < ROUNDING  # one token has all the probability, or all have the same
    return nats_R, torch.where(certain_R, nats_R - mean_R, (nats_R - mean_R) / deviation_R.where(~certain_R, 1.0))
