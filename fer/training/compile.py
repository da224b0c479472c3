"""Optimizer, learning-rate schedule and loss of a recipe."""

import keras

from fer.training.recipe import Recipe

# One-cycle (Smith & Topin 2018) in the two phases of fastai and PyTorch; the momentum stays as it is.
ONE_CYCLE_CLIMB = 0.3  # share of the steps in which the rate climbs
ONE_CYCLE_START = 1 / 25  # its first rate, as a share of the peak
FIRST_STEP_SHARE = 0.01  # of the averaged weights at the end that may still be those of the first step


def optimizer(recipe: Recipe, *, steps: int, dtype: str = "float32") -> keras.optimizers.Optimizer:
    """The recipe's optimizer with its schedule over `steps` steps in all; float16 adds loss scaling."""
    rate = _learning_rate(recipe, steps)
    options = {"weight_decay": recipe.weight_decay or None}
    if recipe.ema:
        # Keras' average begins with the weights after the first step. In a short run a long memory would keep them.
        options |= {"use_ema": True, "ema_momentum": min(recipe.ema, FIRST_STEP_SHARE ** (1 / max(1, steps - 1)))}
    if recipe.optimizer == "sgd":
        result = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options)
    elif recipe.optimizer == "adamw":
        result = keras.optimizers.AdamW(rate, **options | {"weight_decay": recipe.weight_decay})  # takes no None
    else:
        result = keras.optimizers.Adam(rate, **options)
    if recipe.weight_decay:
        result.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # Keras adds this by itself only where the outermost model has the policy.
    return keras.optimizers.LossScaleOptimizer(result) if dtype == "mixed_float16" else result


def _learning_rate(recipe: Recipe, steps: int) -> float | keras.optimizers.schedules.CosineDecay:
    """A number, or a linear climb to it followed by a cosine down to 0 (one-cycle: a long climb from a low start)."""
    rate = recipe.learning_rate
    climb, start = {
        "cosine": (recipe.warmup, 0.0),
        "one-cycle": (ONE_CYCLE_CLIMB, rate * ONE_CYCLE_START),
    }.get(recipe.schedule, (None, rate))
    if climb is None:
        return rate
    if not (climb_steps := int(steps * climb)):
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        start, steps - climb_steps, warmup_target=rate, warmup_steps=climb_steps
    )


def loss(recipe: Recipe) -> keras.losses.Loss:
    """Cross-entropy or focal loss (Lin et al. 2017) against target distributions; `Batches` smooths the labels."""
    if recipe.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=recipe.focal_gamma)
    return keras.losses.CategoricalCrossentropy()
