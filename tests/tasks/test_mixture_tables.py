"""Tables of mixtures and losses: read whatever their order and format, refused by name."""

from pathlib import Path

import numpy as np
import pytest

from models.frozen import StudyError
from tasks.mixture_runs import JoinedRuns, check_fittable, drawn, joined_runs
from tasks.mixture_tables import check_same_columns, read_keyed, read_mixtures
from tasks.mixture_target import column_named, mixture_target
from tasks.token_supply import available_tokens

WEIGHTS = "run,web,code,books\n" + "".join(f"r{i},{0.1 * i:.1f},{0.05 * i:.2f},{1 - 0.15 * i:.2f}\n" for i in range(6))
LOSSES = "run,val/code loss,val/web loss\n" + "".join(f"r{i},{3 - 0.1 * i:.1f},{4 - 0.2 * i:.1f}\n" for i in range(6))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text(WEIGHTS)
    Path("l.csv").write_text(LOSSES)


def joined(target: str = "mean", higher_is_better: bool = False) -> JoinedRuns:
    losses = read_keyed("l.csv", "run")
    return joined_runs(read_mixtures("m.csv", "run"), losses, "run", mixture_target(target, losses.columns), higher_is_better)


def test_order_of_rows_and_columns_does_not_matter():
    before = joined()
    for name, text in (("m.csv", WEIGHTS), ("l.csv", LOSSES)):
        rows = [line.split(",")[::-1] for line in text.splitlines()]
        Path(name).write_text("".join(",".join(row) + "\n" for row in [rows[0], *rows[:0:-1]]))
    after = joined()
    assert after.keys == before.keys and after.runs.domains == before.runs.domains == ("books", "code", "web")
    assert (after.runs.weights_nd == before.runs.weights_nd).all() and (after.runs.losses_nt == before.runs.losses_nt).all()


def test_the_same_table_in_other_formats():
    import duckdb

    before = joined()
    duckdb.sql("COPY (SELECT * FROM 'm.csv') TO 'm.parquet'")
    duckdb.sql("COPY (SELECT * FROM 'm.csv') TO 'm.jsonl'")
    duckdb.sql("COPY (SELECT * FROM 'm.csv') TO 'm.csv.gz'")
    for name in ("m.parquet", "m.jsonl", "m.csv.gz"):
        read = read_mixtures(name, "run")
        assert read.keys == before.keys and read.values_nc == pytest.approx(before.runs.weights_nd), name


def test_keys_are_the_same_in_every_format():
    Path("m.csv").write_text("run,a,b\n10,0.5,0.5\n9,0.1,0.9\n")
    Path("l.jsonl").write_text('{"run": 9.0, "loss": 1}\n{"run": 10.0, "loss": 2}\n')
    assert read_mixtures("m.csv", "run").keys == read_keyed("l.jsonl", "run").keys == ("9", "10")


def test_rounded_rows_are_normalised_and_others_refused_by_name():
    Path("m.csv").write_text("run,a,b\nr1,0.5,0.491\nr2,0.5,0.509\nr3,0.5,0.5\n")
    assert read_mixtures("m.csv", "run").values_nc.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-15)
    Path("m.csv").write_text("run,a,b\nr1,0.5,0.5\nr2,0.5,0.52\nr3,50,50\n")
    with pytest.raises(StudyError, match=r"2 rows don't sum to one within 1%: run r2 \(1.02\), r3 \(100\)"):
        read_mixtures("m.csv", "run")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("run,a,b\nr1,0.5,0.5\nr1,0.4,0.6\n", "several rows for run r1"),
        ("run,a,b\nr1,,0.5\n", "a weight is no number in 1 rows: run r1"),
        ("run,a,b\nr1,nan,0.5\nr2,0.5,0.5\n", "a weight is no number in 1 rows: run r1"),
        ("run,a,b\nr1,-0.1,1.1\n", "a weight is negative in 1 rows: run r1"),
        ("run,a,b\nr1,0.5,0.5\nr2,half,0.5\n", r"'a' holds text \(run r2 has 'half'\)"),
        ("run,a\nr1,1\n", "one weight column, 'a'"),
        ("run,a,b\n,0.5,0.5\n", "1 rows without a value of 'run'"),
        ("rnu,a,b\nr1,0.5,0.5\n", "no column 'run' in m.csv .did you mean 'rnu'"),
        ("run\nr1\n", "no column besides the key"),
        ("run,a,b\n", "m.csv has no rows"),
    ],
)
def test_mixtures_that_are_none(table: str, words: str):
    Path("m.csv").write_text(table)
    with pytest.raises(StudyError, match=words):
        read_mixtures("m.csv", "run")


def test_runs_of_one_table_only_are_listed_from_both_sides():
    Path("l.csv").write_text(LOSSES.replace("r5,", "r7,").replace("r2,", "r8,"))
    with pytest.raises(StudyError, match=r"values of 'run' don't match: only in m.csv: r2, r5; only in l.csv: r7, r8"):
        joined()


def test_columns_of_one_table_only_are_listed_from_both_sides():
    Path("t.csv").write_text(WEIGHTS.replace("web", "crawl"))
    with pytest.raises(StudyError, match=r"columns don't match: only in m.csv: web; only in t.csv: crawl"):
        check_same_columns(read_mixtures("m.csv", "run"), read_mixtures("t.csv", "run"))


@pytest.mark.parametrize("cell", ["nan", "inf", ""])
def test_runs_without_a_loss_are_dropped_and_counted(cell: str):
    Path("l.csv").write_text(LOSSES.replace("3.6", cell))  # r2's web loss
    it = joined("val/web loss")
    assert it.keys == ("r0", "r1", "r3", "r4", "r5") and it.rows.dropped[0].count == 1 and it.rows.dropped[0].reason == "no finite loss: run r2"
    assert (it.rows.read, it.rows.used) == (6, 5)
    other = joined("val/code loss")
    assert len(other.keys) == 6 and other.runs.loss_names == ("val/code loss",) and "not used as evidence" in other.warnings[0]


def test_text_in_a_loss_that_is_asked_for_is_refused():
    Path("l.csv").write_text(LOSSES.replace("3.6", "OOM"))
    with pytest.raises(StudyError, match="'val/web loss' holds text: run r2 has 'OOM'"):
        joined()
    assert joined("val/code loss").keys


def test_diverged_runs_are_dropped_from_losses_and_not_from_scores():
    Path("l.csv").write_text(LOSSES.replace("3.6", "36"))
    it = joined()
    assert "r2" not in it.keys and "diverged" in it.rows.dropped[0].reason
    assert "r2" in joined(higher_is_better=True).keys


def test_runs_that_are_alike_or_too_few():
    Path("l.csv").write_text("run,loss\n" + "".join(f"r{i},3.0\n" for i in range(6)))
    losses = read_keyed("l.csv", "run")
    target = mixture_target("loss", losses.columns)
    with pytest.raises(StudyError, match="loss is 3 in all 6 runs: there is nothing to choose by"):
        check_fittable(joined("loss"), target)
    with pytest.raises(StudyError, match="2 different mixtures can be used, and a law of mixtures needs 5"):
        check_fittable(drawn(joined("loss"), 2, 0), target)


def test_runs_are_drawn_by_lot_and_seed():
    one, other = drawn(joined(), 3, 0), drawn(joined(), 3, 0)
    assert one.keys == other.keys and len(one.keys) == 3 and one.rows.used == 3 == one.rows.read
    assert len({drawn(joined(), 3, seed).keys for seed in range(10)}) > 1
    with pytest.raises(StudyError, match="--runs asks for 7 runs, and 6 can be used"):
        drawn(joined(), 7, 0)


COLUMNS = ("metric/the_pile_pile_cc_val_loss", "metric/the_pile_pubmed_central_val_loss", "metric/the_pile_pubmed_abstracts_val_loss", "arxiv")


def test_targets():
    assert mixture_target("mean", COLUMNS).vector(COLUMNS) == pytest.approx(np.full(4, 0.25))
    assert mixture_target("pile_cc", COLUMNS).vector(COLUMNS).tolist() == [1, 0, 0, 0]
    assert mixture_target("mean", ("mean", "loss")).vector(("mean", "loss")).tolist() == [1, 0]
    Path("w.json").write_text('{"arxiv": 2, "pile_cc": -0.5}')
    assert mixture_target("w.json", COLUMNS).vector(COLUMNS).tolist() == [-0.5, 0, 0, 2]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("arxvi", "There is no loss 'arxvi' .did you mean 'arxiv'"),
        ("pubmed", "could be any of metric/the_pile_pubmed_central_val_loss, metric/the_pile_pubmed_abstracts_val_loss"),
        ("ubmed_central", "There is no loss 'ubmed_central'"),
        ("none.json", "can't be read from none.json"),
    ],
)
def test_targets_that_are_none(asked: str, words: str):
    with pytest.raises(StudyError, match=words):
        mixture_target(asked, COLUMNS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "must hold one object"),
        ("{}", "must hold"),
        ("{", "is no JSON"),
        ('{"arxiv": "1"}', "is '1', which is no number"),
        ('{"arxiv": 0}', "zero"),
    ],
)
def test_weights_that_are_none(text: str, words: str):
    Path("w.json").write_text(text)
    with pytest.raises(StudyError, match=words):
        mixture_target("w.json", COLUMNS)


def test_available_tokens_by_name():
    Path("t.csv").write_text("tokens,domain\n1e9,web\n2000,books\n0,code\n")
    assert available_tokens("t.csv", ("books", "code", "web")) == {"web": 1e9, "books": 2000, "code": 0}
    Path("t.csv").write_text("source,count\nweb,5\nbooks,7\n")
    assert available_tokens("t.csv", ("train_books", "train_web")) == {"train_web": 5, "train_books": 7}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("domain,tokens\nweb,5\ncrawl,6\n", "only in the mixtures: books; only in t.csv: crawl"),
        ("domain,tokens\nweb,5\nbooks,-6\n", "'books' are -6"),
        ("domain,tokens\nweb,5\nbooks,\n", "'books' are nan"),
        ("domain,tokens\nweb,5\nweb,5\nbooks,1\n", "two rows for 'web'"),
        ("domain,tokens\nweb,0\nbooks,0\n", "no tokens are available of any domain"),
        ("web,books\n5,6\n", r"must have columns 'domain' \(names\) and 'tokens'"),
    ],
)
def test_available_tokens_that_are_none(text: str, words: str):
    Path("t.csv").write_text(text)
    with pytest.raises(StudyError, match=words):
        available_tokens("t.csv", ("books", "web"))


def test_names_in_full_win():
    assert column_named("a", ("a", "x_a"), "loss", "") == "a"
