import itertools
import math

import pytest

from models.frozen import StudyError
from tasks.rank_table import RankRequest, rank_table, scale_number

SMALL = {"a": 4.0, "b": 4.1, "c": 4.2, "d": 4.3}
LARGE = {"a": 3.1, "b": 3.0, "c": 3.2, "d": 3.3}


def table_of(folder, rows, header="recipe,size,seed,loss") -> str:
    path = folder / "scores.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]))
    return str(path)


def rows_of(small, large, seeds=(0,), sizes=("4M", "1B"), noise=0.0):
    for (size, losses), (recipe, seed) in itertools.product(
        zip(sizes, (small, large), strict=True), itertools.product(sorted(small.keys() | large.keys()), seeds)
    ):
        if recipe in losses:
            yield recipe, size, seed, losses[recipe] + noise * (seed - sum(seeds) / len(seeds))


def request(source, **how) -> RankRequest:
    return RankRequest(**{"source": source, "recipe": "recipe", "scale": "size", "score": "loss", "small": "4M", "large": "1B"} | how)


def test_pairs_are_counted_and_regret_is_at_the_large_scale(tmp_path):
    found = rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE))))
    assert (found.recipes, found.pairs) == (4, 6)
    assert found.decision_accuracy.value == pytest.approx(5 / 6)
    assert found.decision_accuracy.low < 5 / 6 < found.decision_accuracy.high <= 1
    assert found.top1_regret == pytest.approx(0.1) and found.spearman == pytest.approx(0.8)
    assert found.noise_ceiling is None and found.warnings == ()
    assert [one.recipe for one in found.scores] == ["b", "a", "c", "d"]


def test_higher_is_better_turns_the_choice_round(tmp_path):
    lower = rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE))))
    higher = rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE)), higher_is_better=True))
    assert higher.decision_accuracy == lower.decision_accuracy and higher.spearman == lower.spearman
    assert higher.top1_regret == 0.0 and higher.scores[0].recipe == "d"
    assert rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE)), score="-loss", higher_is_better=True)).top1_regret == pytest.approx(0.1)


def test_seeds_are_averaged_whatever_the_order_of_rows(tmp_path):
    rows = list(rows_of(SMALL, LARGE, seeds=(1, 2, 3), noise=0.5))
    found, turned = (rank_table(request(table_of(tmp_path, some), seed="seed")) for some in (rows, rows[::-1]))
    assert found == turned
    assert found.decision_accuracy.value == pytest.approx(5 / 6) and found.noise_ceiling == pytest.approx(1.0)  # the same seed moves all alike
    assert found.scores[0].large == pytest.approx(3.0) and found.scores[0].seeds == {"small": 3, "large": 3}


def test_repeated_scores_without_a_seed_column_are_averaged_with_a_note(tmp_path):
    found = rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE, seeds=(1, 2, 3), noise=0.01))))
    assert found.decision_accuracy.value == pytest.approx(5 / 6)
    assert found.noise_ceiling is not None and "mean is taken" in found.warnings[0]


def test_a_score_that_is_there_twice_counts_once_and_two_scores_are_refused(tmp_path):
    rows = list(rows_of(SMALL, LARGE, seeds=(1, 2)))
    found = rank_table(request(table_of(tmp_path, [*rows, rows[0]]), seed="seed"))
    assert [one.count for one in found.rows.dropped] == [1] and found.rows.used == len(rows)
    with pytest.raises(StudyError, match=r"'a' has two scores at scale 4M with seed 1: 4 in row 1, 9 in row 17"):
        rank_table(request(table_of(tmp_path, [*rows, ("a", "4M", 1, 9.0)]), seed="seed"))


def test_recipes_at_one_scale_take_no_part(tmp_path):
    found = rank_table(request(table_of(tmp_path, rows_of(SMALL | {"e": 3.9}, LARGE | {"f": 2.0}))))
    assert found.recipes == 4 and found.at_one_scale == {"e": "4M", "f": "1B"}
    assert "e (4M), f (1B)" in found.warnings[0]
    with pytest.raises(StudyError, match=r"1 recipes .* two are the least"):
        rank_table(request(table_of(tmp_path, rows_of({"a": 1.0, "b": 2.0}, {"a": 1.0}))))


@pytest.mark.parametrize(("small", "sizes"), [("4M", (4_000_000, 1e9)), ("4e6", ("4000000.0", "1B")), ("4000000", ("4M", "1000M"))])
def test_scales_match_as_text_or_as_numbers(tmp_path, small, sizes):
    found = rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE, sizes=sizes)), small=small, large="1B"))
    assert found.recipes == 4


def test_scale_numbers():
    assert scale_number("4M") == scale_number("4e6") == scale_number(" 4000000.0 ") == 4e6
    assert math.isnan(scale_number("base")) and math.isnan(scale_number("1.2.3"))


def test_rows_that_can_not_be_used_are_counted(tmp_path):
    rows = [*rows_of(SMALL, LARGE), ("a", "70M", 0, 3.5), ("e", "1B", 0, "nan"), ("g", "1B", 0, "diverged")]
    found = rank_table(request(table_of(tmp_path, rows)))
    assert {one.reason: one.count for one in found.rows.dropped} == {
        "score = loss is not a number: 'diverged' in row 11": 1,
        "score = loss is NaN": 1,
        "it is at another scale": 1,
    }
    assert found.rows.read == 11 and found.rows.used == 8


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"small": "3M"}, r"no scale '3M' in 'size'.*it has 4M, 1B"),
        ({"large": "4000000"}, "are the same"),
        ({"recipe": "recipes"}, "did you mean 'recipe'"),
        ({"score": "0 * loss"}, "same score at 4M"),
        ({"seed": "sed"}, "did you mean 'seed'"),
    ],
)
def test_what_can_not_be_ranked_is_refused(tmp_path, how, words):
    with pytest.raises(StudyError, match=words):
        rank_table(request(table_of(tmp_path, rows_of(SMALL, LARGE)), **how))
