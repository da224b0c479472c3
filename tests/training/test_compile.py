"""Losses, optimizers and learning-rate schedules against their formulas."""

import keras
import numpy as np
import pytest
from support import tiny

from fer.training import compile

# --- losses


TARGETS = np.array([[1, 0, 0], [0, 0, 1], [0.2, 0.5, 0.3]], np.float32)
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], np.float32)


@pytest.mark.parametrize(("name", "gamma"), [("crossentropy", None), ("focal", 2.0), ("focal", 0.5), ("focal", 0.0)])
def test_losses_follow_their_formulas(name, gamma):
    recipe = tiny.recipe(loss=name, **({"focal_gamma": gamma} if gamma is not None else {}))
    terms = -TARGETS * np.log(PROBABILITIES) * (1 - PROBABILITIES) ** (gamma or 0)
    assert float(compile.loss(recipe)(TARGETS, PROBABILITIES)) == pytest.approx(terms.sum(axis=1).mean(), rel=1e-4)


# --- optimizers and schedules


def rate_at(recipe, step, steps=1000):
    rate = compile.optimizer(recipe, steps=steps)._learning_rate
    return float(rate(step)) if callable(rate) else float(rate.numpy())


@pytest.mark.parametrize(
    ("schedule", "warmup", "step", "expected"),
    [
        ("constant", 0.05, 0, 0.1),
        ("constant", 0.05, 1000, 0.1),
        ("plateau", 0.05, 500, 0.1),
        ("cosine", 0.05, 0, 0.0),
        ("cosine", 0.05, 25, 0.05),
        ("cosine", 0.05, 50, 0.1),
        ("cosine", 0.05, 525, 0.05),
        ("cosine", 0.05, 1000, 0.0),
        ("cosine", 0.0, 0, 0.1),
        ("cosine", 0.0, 500, 0.05),
        ("cosine", 0.0, 1000, 0.0),
        ("one-cycle", 0.05, 0, 0.1 / 25),
        ("one-cycle", 0.05, 150, (0.1 / 25 + 0.1) / 2),
        ("one-cycle", 0.05, 300, 0.1),
        ("one-cycle", 0.05, 650, 0.05),
        ("one-cycle", 0.05, 1000, 0.0),
    ],
)
def test_schedules_start_climb_and_end_where_they_should(schedule, warmup, step, expected):
    recipe = tiny.recipe(schedule=schedule, warmup=warmup, learning_rate=0.1)
    assert rate_at(recipe, step) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedules_survive_very_short_trainings(schedule, steps):
    rates = [rate_at(tiny.recipe(schedule=schedule, learning_rate=0.1), step, steps) for step in range(steps + 1)]
    assert np.isfinite(rates).all()
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert max(rates) <= 0.1 + 1e-6


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_decay_shrinks_kernels_only(name, decay):
    model = tiny.build()
    model.set_weights([np.ones_like(array) for array in model.get_weights()])
    optimizer = compile.optimizer(tiny.recipe(optimizer=name, weight_decay=decay, learning_rate=0.5), steps=10)
    variables = model.trainable_variables
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros_like(variable) for variable in variables])
    found = {variable.path: float(np.unique(variable.numpy()).item()) for variable in variables}
    assert {path.split("/")[-1] for path in found} == {"kernel", "bias", "gamma", "beta"}
    assert found == {path: pytest.approx(1 - 0.5 * decay if "kernel" in path else 1) for path in found}


@pytest.mark.parametrize(("steps", "kept"), [(20_000, 0.998), (501, 0.990832), (72, 0.937197), (1, 0.01)])
def test_averaged_weights_forget_the_first_step_also_in_a_short_run(steps, kept):
    decay = compile.optimizer(tiny.recipe(ema=0.998), steps=steps).ema_momentum
    assert decay == pytest.approx(kept, abs=1e-6)
    assert decay ** (steps - 1) <= 0.01 + 1e-9 or steps == 1  # the average begins with the weights after the first


def test_sgd_has_nesterov_momentum():
    optimizer = compile.optimizer(tiny.recipe(optimizer="sgd"), steps=1)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


def test_float16_scales_the_loss_so_that_small_gradients_survive():
    optimizer = compile.optimizer(tiny.recipe(), steps=10, dtype="mixed_float16")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(compile.optimizer(tiny.recipe(), steps=10), keras.optimizers.LossScaleOptimizer)
