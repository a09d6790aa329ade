"""What a study would train, before it does: the runs of its ladder with their cost and, once the tokens are counted, the epochs by domain."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from models import training_plan
from models.frozen import Frozen, StudyError
from models.ladder import LadderRun, num_params, num_params_non_embedding
from tasks import layout
from tasks.study import Study

PLAIN_WIDTH = 160  # characters of a line that no terminal limits


class RungPlan(Frozen):
    """All runs of one size and budget: every mixture with every seed."""

    size: str
    num_params: int
    num_params_non_embedding: int
    tokens: int  # per run, in whole batches
    steps: int  # per run
    batch_tokens: int
    peak_learning_rate: float
    runs: int
    train_flops: int  # of all these runs


class EpochsPlan(Frozen):
    """How often a mixture's longest run reads a domain, and how often the target would."""

    mixture: str
    domain: str
    weight: float
    unique_tokens: int
    epochs: float
    target_epochs: float


class StudyPlan(Frozen):
    """All runs of a study. Before `tokens_are_counted`, `vocab_size` is what params.yaml asks for; epochs are of the recipes that are tokenized."""

    vocab_size: int
    tokens_are_counted: bool
    rungs: tuple[RungPlan, ...]
    epochs: tuple[EpochsPlan, ...]
    runs_finished: int  # of those whose tokens are counted

    @property
    def runs(self) -> int:
        return sum(rung.runs for rung in self.rungs)

    @property
    def tokens(self) -> int:
        return sum(rung.runs * rung.tokens for rung in self.rungs)

    @property
    def train_flops(self) -> int:
        return sum(rung.train_flops for rung in self.rungs)


def plan_study(study: Study) -> StudyPlan:
    """Plans a study, from its parameters and from `data/tokens` as far as that is there.

    Raises:
        StudyError: when a run can't be trained as asked.
    """
    from tasks.tokenize_corpus import MANIFEST, load_manifest

    tokenized = [mixture.recipe for mixture in study.mixtures.values() if (layout.TOKENS / mixture.recipe / MANIFEST).exists()]
    vocab_size = load_manifest(layout.TOKENS / tokenized[0]).vocab_size if tokenized else study.tokenizer.vocab_size
    seeds, runs = len(study.ladder.seeds), study.ladder.runs()
    rungs = [_plan_rung(study, run, vocab_size, runs=seeds * len(study.mixtures)) for run in runs if run.seed == runs[0].seed]
    epochs: list[EpochsPlan] = []
    finished = 0
    for name, mixture in study.mixtures.items():
        if mixture.recipe in tokenized:
            its_epochs, its_finished = _plan_mixture(study, name)
            epochs += its_epochs
            finished += its_finished
    return StudyPlan(vocab_size=vocab_size, tokens_are_counted=bool(tokenized), rungs=tuple(rungs), epochs=tuple(epochs), runs_finished=finished)


def _plan_rung(study: Study, run: LadderRun, vocab_size: int, runs: int) -> RungPlan:
    try:
        plan = training_plan.plan(run.shape, vocab_size, run.budget_tokens(vocab_size), study.training)
    except ValueError as error:
        raise StudyError(f"Runs {run.size}-{run.tokens_per_parameter:g}x can't be trained: {error}.") from None
    return RungPlan(
        size=run.size,
        num_params=num_params(run.shape, vocab_size),
        num_params_non_embedding=num_params_non_embedding(run.shape),
        tokens=plan.tokens_seen,
        steps=plan.steps,
        batch_tokens=plan.batch_tokens,
        peak_learning_rate=plan.peak_learning_rate,
        runs=runs,
        train_flops=runs * plan.train_flops,
    )


def _plan_mixture(study: Study, name: str) -> tuple[list[EpochsPlan], int]:
    """Epochs by domain of a mixture whose recipe is tokenized, and how many of its runs are finished."""
    from tasks.pretrain import planned_runs
    from tasks.tokenize_corpus import load_tokens

    corpus = load_tokens(layout.TOKENS / study.mixtures[name].recipe)
    runs = planned_runs(study, name, corpus)
    longest = max(runs, key=lambda run: run.plan.tokens_seen)
    epochs = []
    for domain, weight in longest.spec.weights_by_domain.items():
        unique = corpus.manifest.domains[domain].tokens
        epochs.append(
            EpochsPlan(
                mixture=name,
                domain=domain,
                weight=weight,
                unique_tokens=unique,
                epochs=weight * longest.plan.tokens_seen / unique,
                target_epochs=weight * study.target.tokens / unique,
            )
        )
    return epochs, sum(run.directory.is_finished for run in runs)


def print_plan(plan: StudyPlan) -> None:
    """Tables on a terminal, aligned plain text elsewhere."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH, no_color=True)
    finished = f", {plan.runs_finished} of them finished" if plan.runs_finished else ""
    console.print(f"{plan.runs} runs{finished}: {plan.tokens:,} tokens, {plan.train_flops:.3g} FLOPs")
    vocabulary = "counted" if plan.tokens_are_counted else "as params.yaml asks; known when the tokenizer is there"
    console.print(f"Vocabulary: {plan.vocab_size:,} ({vocabulary})\n")
    headings = ("size", "parameters", "without embeddings", "tokens per run", "steps", "batch tokens", "peak learning rate", "runs", "FLOPs")
    rungs = [
        (
            rung.size,
            f"{rung.num_params:,}",
            f"{rung.num_params_non_embedding:,}",
            f"{rung.tokens:,}",
            f"{rung.steps:,}",
            f"{rung.batch_tokens:,}",
            f"{rung.peak_learning_rate:.2g}",
            str(rung.runs),
            f"{rung.train_flops:.3g}",
        )
        for rung in plan.rungs
    ]
    console.print(_table(console, headings, rungs, text_columns=1))
    if plan.epochs:
        headings = ("mixture", "domain", "weight", "unique tokens", "epochs of its longest run", "epochs at the target")
        rows = [
            (row.mixture, row.domain, f"{row.weight:.3f}", f"{row.unique_tokens:,}", f"{row.epochs:.2f}", f"{row.target_epochs:.2f}")
            for row in plan.epochs
        ]
        console.print(_table(console, headings, rows, text_columns=2))
    else:
        console.print("Epochs by domain are known when the recipes are tokenized.")


def _table(console: Console, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], text_columns: int) -> Table:
    table = Table(box=box.SIMPLE if console.is_terminal else None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < text_columns else "right")
    for row in rows:
        table.add_row(*row)
    return table
