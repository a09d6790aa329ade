import pytest
import torch
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from models.ladder import PRESETS, Ladder, ModelShape, forward_flops_per_token, num_params, num_params_non_embedding, train_flops
from models.proxy_lm import ProxyLM

UNITS = {"k": 1e3, "m": 1e6, "b": 1e9}


@pytest.mark.parametrize("size", PRESETS)
def test_a_size_is_named_after_its_parameters_without_embeddings(size):
    assert num_params_non_embedding(PRESETS[size]) == pytest.approx(float(size[:-1]) * UNITS[size[-1]], rel=0.07)


@pytest.mark.parametrize("size", PRESETS)
def test_parameters_are_counted_exactly(size, monkeypatch):
    monkeypatch.setattr(ProxyLM, "_initialise", lambda *_: None)  # the meta device holds no numbers
    with torch.device("meta"):
        model = ProxyLM(PRESETS[size], 1000, seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == num_params(PRESETS[size], 1000)


@pytest.mark.parametrize(
    "shape", [PRESETS["100k"], ModelShape(num_layers=3, d_model=48, num_heads=6, num_kv_heads=2, d_ff=80, tied_embeddings=False)]
)
def test_flops_are_those_that_torch_counts(shape):
    model, token_ids = ProxyLM(shape, 300, seed=0), torch.zeros(2, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(token_ids)
    assert counter.get_total_flops() == forward_flops_per_token(shape, 300, sequence_length=64) * token_ids.numel()


def test_training_costs_three_forward_passes():
    shape = PRESETS["30k"]
    assert train_flops(shape, 1000, 256, tokens=10) == 30 * forward_flops_per_token(shape, 1000, 256)


def test_a_ladder_lists_its_runs_smallest_first_under_names_of_their_own():
    ladder = Ladder(sizes=("30k", "1m"), tokens_per_parameter=(3, 0.5), seeds=(1, 2))
    names = [run.name for run in ladder.runs()]
    assert names[:4] == ["30k-0.5x-seed1", "30k-0.5x-seed2", "30k-3x-seed1", "30k-3x-seed2"]
    assert len(set(names)) == 8
    assert ladder.runs()[0].budget_tokens(1000, 256) == round(0.5 * num_params(PRESETS["30k"], 1000))


def test_a_seed_may_stand_for_two():
    ladder = Ladder.model_validate({"sizes": ["30k"], "tokens_per_parameter": [1], "seeds": [1, {"seed": 2, "initialization": 1, "data": 5}]})
    assert [(run.name, run.seeds.initialization, run.seeds.data) for run in ladder.runs()] == [("30k-1x-seed1", 1, 1), ("30k-1x-seed2", 1, 5)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sizes": ["30k", "100m"]}, r"'100m' is not known \(did you mean '10m'\?\); known are 10k, 30k"),
        ({"sizes": ["1m", "30k"]}, "smallest first: 30k, 1m"),
        ({"sizes": ["30k", "30k"]}, "named once"),
        ({"seeds": [1, 1]}, "two runs of one name, '30k-1x-seed1'"),
        ({"tokens_per_parameter": [0]}, "greater than 0"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(values, words):
    with pytest.raises(ValidationError, match=words):
        Ladder.model_validate({"sizes": ["30k"], "tokens_per_parameter": [1], "seeds": [1]} | values)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="d_model 48 must be a multiple of twice num_heads 5"):
        ModelShape(num_layers=1, d_model=48, num_heads=5, num_kv_heads=5, d_ff=64)
    with pytest.raises(ValidationError, match="num_heads 6 must be a multiple of num_kv_heads 4"):
        ModelShape(num_layers=1, d_model=48, num_heads=6, num_kv_heads=4, d_ff=64)


@pytest.mark.parametrize(
    ("budgets", "names"),
    [
        ({"budget_tokens": [2_500_000, 1_000_000]}, ["30k-1e6tok-seed1", "30k-2.5e6tok-seed1", "100k-1e6tok-seed1", "100k-2.5e6tok-seed1"]),
        ({"train_flops": [1e12]}, ["30k-1e12flops-seed1", "100k-1e12flops-seed1"]),
        ({"tokens_per_parameter": [20]}, ["30k-20x-seed1", "100k-20x-seed1"]),
    ],
)
def test_budgets_are_given_in_tokens_in_flops_or_by_the_parameter(budgets, names):
    ladder = Ladder.model_validate({"sizes": ["30k", "100k"], "seeds": [1]} | budgets)
    assert [run.name for run in ladder.runs()] == names
    for run in ladder.runs():
        tokens = run.budget_tokens(1000, 256)
        spent = {
            "budget_tokens": tokens,
            "train_flops": train_flops(run.shape, 1000, 256, tokens),
            "tokens_per_parameter": tokens / num_params(run.shape, 1000),
        }
        assert spent[run.budget.unit] == pytest.approx(run.budget.value, rel=1e-5)


@pytest.mark.parametrize(("budgets", "found"), [({}, "none"), ({"budget_tokens": [1], "train_flops": [1]}, "budget_tokens and train_flops")])
def test_a_ladder_has_its_budgets_in_one_unit(budgets, found):
    with pytest.raises(ValidationError, match=f"ladder needs exactly one of tokens_per_parameter, budget_tokens, train_flops, and has {found}"):
        Ladder.model_validate({"sizes": ["30k"], "seeds": [1]} | budgets)
