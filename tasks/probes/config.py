"""What `params.yaml` may say about probes: each is off until it is named (`membership: {}` asks it as it stands), and says what it costs."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from models.frozen import Frozen


class ContaminationConfig(Frozen):
    """Word n-grams that an item shares with the training corpus (arXiv 2005.14165, appendix C)."""

    ngram_words: PositiveInt = Field(default=13, description="words of an n-gram: lower case, without punctuation")
    min_item_words: PositiveInt = Field(
        default=8, description="an item shorter than an n-gram is looked for whole, if it has so many words; a shorter one counts neither way"
    )
    min_share: float = Field(
        default=0, ge=0, le=1, description="of an item's n-grams, from which it is contaminated; 0: any (as GPT-3); PaLM has 0.7 (arXiv 2204.02311)"
    )


class MembershipConfig(Frozen):
    """Min-K% and Min-K%++ of beginnings of documents (arXiv 2310.16789; arXiv 2404.02936, equation 3)."""

    documents_per_domain: int = Field(default=100, ge=2, description="that a run has read, that it has not, and that are held out; of each at most")
    excerpt_tokens: PositiveInt = Field(
        default=64, description="of each document's beginning, alike for all (shorter documents are left out); a context at most"
    )
    lowest_share: float = Field(default=0.2, gt=0, le=1, description="of an excerpt's tokens, the unlikeliest, whose mean is its score")


class ExtractionConfig(Frozen):
    """Whether a model goes on word by word (arXiv 2202.07646, definition 3.1)."""

    documents_per_domain: PositiveInt = Field(default=100, description="that a run has read, and so many held-out ones, at most")
    prompt_tokens: PositiveInt = Field(default=32, description="of each document's beginning")
    continuation_tokens: PositiveInt = Field(default=32, description="behind them, to be told exactly")


class ToxicityConfig(Frozen):
    """What a classifier of yours says of sampled continuations of held-out beginnings."""

    classifier: str = Field(description="path of a fastText model (.bin or .ftz)")
    label: str = Field(description="of the classifier, which is counted; with or without __label__")
    sha256: str | None = Field(default=None, description="of the classifier's file, which DVC does not watch: with it, another file is refused")
    generations: PositiveInt = Field(default=100, description="one per held-out document, at most")
    prompt_tokens: PositiveInt = Field(default=16, description="of each document's beginning; not judged")
    continuation_tokens: PositiveInt = Field(default=48, description="at most; an end-of-text ends it")
    temperature: PositiveFloat = Field(default=1.0, description="of sampling, from the whole vocabulary")
    threshold: float = Field(default=0.5, ge=0, le=1, description="the label's probability from which a continuation counts as toxic")


class AgeConfig(Frozen):
    """Bits per byte of held-out documents by their date."""

    by: Literal["year", "month"] = "year"


class ProbesConfig(Frozen):
    """Costs are per model (each run's final one and its snapshots) unless they say otherwise."""

    contamination: ContaminationConfig | None = Field(
        default=None,
        description="scores on items with and without n-grams of the corpus. Costs one pass over the corpus' text per mixture (about 10 MB per second"
        " and core); nothing per model",
    )
    membership: MembershipConfig | None = Field(
        default=None,
        description="whether text that a run has read can be told from held-out text. Costs 3 x documents_per_domain x excerpt_tokens forward tokens"
        " per domain, and a replay of the order of the run's sequences (without their tokens)",
    )
    extraction: ExtractionConfig | None = Field(
        default=None,
        description="whether text that a run has read is told word by word. Costs 2 x documents_per_domain x continuation_tokens generated tokens per"
        " domain, and a replay of the order of the run's sequences (shared with membership)",
    )
    toxicity: ToxicityConfig | None = Field(
        default=None, description="of sampled text, by a local classifier. Costs generations x continuation_tokens generated tokens"
    )
    age: AgeConfig | None = Field(default=None, description="loss by the date of held-out documents. Costs nothing: their losses are known")

    @property
    def asked(self) -> bool:
        return any(getattr(self, name) is not None for name in type(self).model_fields)
