"""A right call of every public function, argument by argument, for the fuzz of wrong ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from wrong_values import (
    FUNCTION,
    KEY,
    Call,
    anything,
    argument,
    call,
    number,
    of_any_shape,
    optional,
    real,
)

import hondo

X = jnp.arange(12.0).reshape(4, 3) / 8
FLOATS, ROW = argument(X), optional(argument(jnp.ones(3)))
REALS = argument(X, "bool array", "integer array")
FREE = of_any_shape(X)
MASK = optional(argument(jnp.ones((4, 3), bool), "bool array"))
EPSILON, PROBABILITY, POSITIVE = number(1e-3), number(0.5), number(0.5)
COUNT, BOOL, CHOICE = argument(2), argument(False, "bool"), argument
IMAGE = argument(jnp.ones((4, 4, 2)), "integer array", "bool array", "complex array")
FORM = argument({"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)})
# Where there is no other tree to fit, a tree of arrays is right, whatever it is.
TREE = argument(FORM.value, "other state")
WHERE, CALLABLE = optional(argument(hondo.is_weight, FUNCTION)), argument(lambda x: x, FUNCTION)
STATS, MOMENTS = argument(hondo.init_batch_stats(3)), argument(hondo.batch_moments(X))
STACKED = argument(jax.vmap(hondo.batch_moments)(jnp.stack([X, X])))
AXIS_NAME, DTYPE = anything(None), optional(argument(jnp.float32))
OTHER_DTYPES = ("bool array", "integer array", "complex array")
AXES, SHAPE = argument((0,)), argument((4, 3))
TASKS = argument({"a": 1.0, "b": 2.0})
REDUCE = optional(argument(jnp.sum, FUNCTION))

ACTIVATIONS = {
    "find_activation": call(hondo.find_activation, name=argument("relu")),
    "gain": call(hondo.gain, activation=argument("relu")),
    "saturated": call(hondo.saturated, pre_activations=FREE, activation=argument("relu")),
}
CLIP = hondo.clip_by_global_norm(1.0)
GRADIENT = TREE
EXAMPLES = argument(FORM.value, "empty", "deeper", "other state")
CLIP_STATE = argument(CLIP.init(GRADIENT.value))
POLICY = argument("zero")
CLIPPING = {
    "clip_by_global_norm": call(hondo.clip_by_global_norm, limit=POSITIVE, nonfinite=POLICY),
    "clip_by_layer": call(hondo.clip_by_layer, limit=POSITIVE, nonfinite=POLICY),
    "clip_by_block_rms": call(hondo.clip_by_block_rms, limit=POSITIVE, nonfinite=POLICY),
    "clip_per_example": call(hondo.clip_per_example, gradients=EXAMPLES, limit=POSITIVE),
    "clip_by_value": call(hondo.clip_by_value, limit=POSITIVE, nonfinite=POLICY),
    "clip_by_global_norm.update": call(CLIP.update, updates=GRADIENT, state=optional(CLIP_STATE)),
    "clip_by_layer.update": call(
        hondo.clip_by_layer(1.0).update, updates=GRADIENT, state=optional(CLIP_STATE)
    ),
    "clip_by_value.update": call(
        hondo.clip_by_value(1.0).update, updates=GRADIENT, state=optional(CLIP_STATE)
    ),
    "global_norm": call(
        hondo.global_norm,
        tree=of_any_shape(X, "integer array", "bool array", "other state", "None"),
    ),
    "nonfinite_leaves": call(hondo.nonfinite_leaves, state=CLIP_STATE, params=anything(0)),
}
AXIS = argument((0,))
FANS = {
    "in_axis": argument(-2),
    "out_axis": argument(-1),
    "batch_axis": argument(0),
    "feature_group_count": COUNT,
    "strides": COUNT,
    "input_dilation": COUNT,
}
KERNEL_SHAPE = argument((3, 4, 2, 4))


def _draw(initializer, **layout):
    return lambda **options: initializer(**{**layout, **options})(
        jax.random.key(0), (3, 4, 2, 4), jnp.float32
    )


DRAW = {"key": argument(jax.random.key(0)), "shape": argument((4, 4)), "dtype": DTYPE}
INITIALIZERS = {
    "fans": call(hondo.fans, shape=KERNEL_SHAPE, **FANS),
    "gaussian": call(hondo.gaussian, variance=POSITIVE),
    "gaussian.init": call(hondo.gaussian(0.5), **DRAW),
    **{
        name: call(_draw(getattr(hondo, name)), **FANS)
        for name in (
            "glorot_uniform",
            "glorot_normal",
            "he_uniform",
            "he_normal",
            "lecun_uniform",
            "lecun_normal",
        )
    },
    "he_normal.init": call(hondo.he_normal(), **DRAW),
    "orthogonal": call(
        _draw(hondo.orthogonal),
        scale=POSITIVE,
        **{name: FANS[name] for name in ("in_axis", "out_axis", "batch_axis")},
    ),
    "orthogonal.init": call(hondo.orthogonal(), **DRAW),
    "depth_scaled": call(hondo.depth_scaled, initializer=CALLABLE, depth=COUNT, layers=COUNT),
    "depth_scaled.init": call(hondo.depth_scaled(hondo.he_normal(), 4), **DRAW),
    "zero_last": call(hondo.zero_last),
    "zero_last.init": call(hondo.zero_last(), shape=DRAW["shape"], dtype=DTYPE, key=anything(0)),
}
RESIDUALS = {
    "residual": call(hondo.residual, f=CALLABLE, shortcut=optional(CALLABLE)),
    "residual.call": call(lambda x: hondo.residual(jnp.tanh)(x), x=anything(X)),
    "pre_activation": call(
        hondo.pre_activation, layer=CALLABLE, activation=CALLABLE, norm=optional(CALLABLE)
    ),
    "projection": call(hondo.projection, kernel=argument(jnp.ones((3, 2))), stride=COUNT),
    "projection.call": call(
        lambda x: hondo.projection(jnp.ones((3, 2)))(x), x=argument(X, "deeper")
    ),
    "repeat": call(
        hondo.repeat, block=CALLABLE, depth=COUNT, has_aux=BOOL, remat=BOOL, unroll=COUNT
    ),
    "stack": call(hondo.stack, trees=argument([X, X], "list", "deeper")),
    "unstack": call(
        hondo.unstack,
        tree=of_any_shape(X, "integer array", "bool array", "complex array"),
    ),
}
NORM = {"scale": ROW, "epsilon": EPSILON}
AFFINE = {**NORM, "bias": ROW}
WIDE = argument(X, "deeper")
NORMALIZATION = {
    "layer_norm": call(hondo.layer_norm, x=WIDE, **AFFINE),
    "rms_norm": call(hondo.rms_norm, x=WIDE, **NORM),
    "group_norm": call(hondo.group_norm, x=WIDE, groups=argument(3), **AFFINE),
    "instance_norm": call(hondo.instance_norm, x=WIDE, **AFFINE),
    "batch_norm": call(
        hondo.batch_norm,
        x=WIDE,
        stats=STATS,
        decay=PROBABILITY,
        where=MASK,
        axis_name=AXIS_NAME,
        ddof=argument(1),
        **AFFINE,
    ),
    "batch_normalize": call(
        hondo.batch_normalize,
        x=WIDE,
        where=MASK,
        axis_name=AXIS_NAME,
        fallback=optional(STATS),
        **AFFINE,
    ),
    "batch_norm_inference": call(hondo.batch_norm_inference, x=WIDE, stats=STATS, **AFFINE),
    "batch_moments": call(hondo.batch_moments, x=WIDE, where=MASK, axis_name=AXIS_NAME),
    "merge_moments": call(hondo.merge_moments, a=MOMENTS, b=MOMENTS),
    "pool_moments": call(hondo.pool_moments, moments=STACKED),
    "moments_variance": call(hondo.moments_variance, moments=MOMENTS, ddof=argument(1)),
    "init_moments": call(hondo.init_moments, features=COUNT, dtype=DTYPE),
    "init_batch_stats": call(hondo.init_batch_stats, features=COUNT, dtype=DTYPE),
    "population_stats": call(hondo.population_stats, moments=MOMENTS, ddof=argument(1)),
    "batch_averaged_stats": call(hondo.batch_averaged_stats, moments=STACKED),
    "update_batch_stats": call(
        hondo.update_batch_stats,
        stats=STATS,
        moments=MOMENTS,
        decay=PROBABILITY,
        ddof=argument(1),
    ),
    "fold_batch_norm": call(
        hondo.fold_batch_norm,
        kernel=WIDE,
        bias=optional(WIDE),
        stats=STATS,
        scale=ROW,
        offset=ROW,
        epsilon=EPSILON,
    ),
    "l2_normalize": call(hondo.l2_normalize, x=FREE, axis=argument((0,))),
    "weight_norm": call(hondo.weight_norm, direction=WIDE, magnitude=argument(jnp.ones(3))),
}
PAIR = (jnp.ones((4, 4)), jnp.array([0.5, 0.5]))
AUGMENTATION = {
    "random_flip": call(
        hondo.random_flip,
        key=KEY,
        image=IMAGE,
        direction=argument("vertical"),
        probability=PROBABILITY,
    ),
    "random_crop": call(
        hondo.random_crop,
        key=KEY,
        image=IMAGE,
        size=optional(argument((2, 2))),
        padding=COUNT,
        mode=argument("edge"),
    ),
    "random_shift": call(hondo.random_shift, key=KEY, image=IMAGE, max_shift=COUNT),
    "cutout": call(hondo.cutout, key=KEY, image=IMAGE, size=COUNT),
    "random_quarter_turn": call(hondo.random_quarter_turn, key=KEY, image=IMAGE),
    "random_rotation": call(
        hondo.random_rotation,
        key=KEY,
        image=argument(IMAGE.value, "integer array", "bool array"),
        max_angle=number(30.0),
        method=optional(argument("nearest")),
    ),
    "rotate": call(
        hondo.rotate,
        image=argument(IMAGE.value, "integer array", "bool array"),
        angle=real(30.0),
        method=optional(argument("nearest")),
    ),
    "mixup": call(
        hondo.mixup, key=KEY, first=argument(PAIR), second=argument(PAIR), alpha=POSITIVE
    ),
    "cutmix": call(
        hondo.cutmix, key=KEY, first=argument(PAIR), second=argument(PAIR), alpha=POSITIVE
    ),
    "compose": call(lambda transforms: hondo.compose(transforms), transforms=CALLABLE),
    "on_images": call(
        lambda transforms, mix: hondo.on_images(transforms, mix=mix),
        transforms=CALLABLE,
        mix=optional(CALLABLE),
    ),
    "example_keys": call(
        hondo.example_keys,
        key=KEY,
        epoch=argument(3),
        indices=argument(jnp.arange(3), "integer array", "deeper"),
    ),
}
DROPOUT = {
    "dropout": call(hondo.dropout, key=KEY, x=FREE, keep_prob=PROBABILITY, broadcast_dims=AXES),
    "inverted_dropout": call(
        hondo.inverted_dropout, key=KEY, x=FREE, keep_prob=PROBABILITY, broadcast_dims=AXES
    ),
    "gaussian_dropout": call(hondo.gaussian_dropout, key=KEY, x=FREE, keep_prob=PROBABILITY),
    "drop_connect": call(hondo.drop_connect, key=KEY, kernel=FREE, keep_prob=PROBABILITY),
    "stochastic_depth": call(hondo.stochastic_depth, key=KEY, branch=FREE, keep_prob=PROBABILITY),
    "dropout_mask": call(
        hondo.dropout_mask, key=KEY, shape=SHAPE, keep_prob=PROBABILITY, broadcast_dims=AXES
    ),
    "bernoulli_mask": call(hondo.bernoulli_mask, key=KEY, shape=SHAPE, keep_prob=PROBABILITY),
    "apply_dropout_mask": call(
        hondo.apply_dropout_mask, x=FLOATS, mask=argument(X > 0, "bool array")
    ),
    "scale_weights": call(hondo.scale_weights, params=TREE, keep_prob=PROBABILITY, where=WHERE),
    "scale_parameters": call(
        hondo.scale_parameters,
        params=of_any_shape(FORM.value, "other state"),
        keep_prob=PROBABILITY,
    ),
    "monte_carlo": call(
        hondo.monte_carlo,
        key=KEY,
        function=argument(lambda key: jnp.ones(2), FUNCTION),
        n_samples=COUNT,
    ),
}
STOPPER = hondo.early_stopping(2, mode="min")
AVERAGE = hondo.ema(0.5)
PYTREE = of_any_shape(
    FORM.value,
    *OTHER_DTYPES,
    *("bool", "float", "nan", "infinity", "negative", "list", "dict", "other state", "None"),
)
ENSEMBLES = {
    "early_stopping": call(
        hondo.early_stopping,
        patience=COUNT,
        mode=argument("min"),
        min_delta=POSITIVE,
        relative=BOOL,
        target=optional(argument(0.5, "float", "negative", "infinity")),
        warmup=COUNT,
    ),
    "early_stopping.update": call(
        STOPPER.update,
        state=argument(STOPPER.init(TREE.value)),
        value=argument(0.5, "float", "negative", "infinity", "nan"),
        payload=FORM,
    ),
    "ema": call(hondo.ema, decay=PROBABILITY),
    "swa": call(hondo.swa),
    "ema.init": call(AVERAGE.init, params=PYTREE),
    "ema.update": call(AVERAGE.update, state=argument(AVERAGE.init(FORM.value)), params=FORM),
    "averaged_params": call(
        hondo.averaged_params, state=argument(AVERAGE.init(FORM.value)), params=FORM
    ),
    "recompute_moments": call(
        hondo.recompute_moments,
        moments_of=argument(lambda w, x: hondo.batch_moments(x), FUNCTION),
        params=anything(2.0),
        batches=argument(jnp.stack([X, X]), "deeper", *OTHER_DTYPES),
    ),
    "ambiguity": call(
        hondo.ambiguity,
        predictions=argument(jnp.stack([X, X])),
        targets=REALS,
        weights=optional(argument(jnp.ones(2), "bool array", "integer array")),
    ),
    "bias_variance": call(
        hondo.bias_variance, predictions=argument(jnp.stack([X, X])), targets=REALS
    ),
    "error_covariance": call(
        hondo.error_covariance, predictions=argument(jnp.stack([X, X])), targets=REALS
    ),
    "average_probabilities": call(
        hondo.average_probabilities, logits=argument(X, "deeper"), axis=argument(0)
    ),
    "average_log_probabilities": call(
        hondo.average_log_probabilities, logits=argument(X, "deeper"), axis=argument(0)
    ),
    "bootstrap_indices": call(hondo.bootstrap_indices, key=KEY, count=COUNT),
    "init_ensemble": call(
        hondo.init_ensemble,
        key=KEY,
        init=argument(lambda key: jnp.ones(2), FUNCTION),
        members=COUNT,
    ),
}
LOSSES = {"losses": TASKS}
MULTITASK = {
    "fill_missing": call(
        hondo.fill_missing,
        targets=of_any_shape(X, "integer array", "bool array"),
        mask=MASK,
        fill=argument(0.0, "float", "negative", "nan", "infinity"),
    ),
    "masked_mean": call(hondo.masked_mean, values=FLOATS, mask=argument(X > 0, "bool array")),
    "labelled_mean": call(
        hondo.labelled_mean,
        loss=argument(lambda p, t: (p - t) ** 2, FUNCTION),
        predictions=anything(X),
        targets=REALS,
        mask=MASK,
        fill=argument(0.0, "float", "negative", "nan", "infinity"),
    ),
    "multitask": call(hondo.multitask, trunk=CALLABLE, heads=argument({"a": lambda p, x: x})),
    "multitask_loss": call(hondo.multitask_loss, losses=TASKS, weights=TASKS),
    "uncertainty_weighting": call(
        hondo.uncertainty_weighting,
        losses=TASKS,
        log_variances=TASKS,
        classification=argument(["a"], "dict"),
        labelled=optional(argument({"a": True, "b": False})),
    ),
    "pcgrad": call(hondo.pcgrad, key=KEY, gradients=argument({"w": X}, "deeper")),
}
PENALTY = {"params": TREE, "where": WHERE}
STEP = hondo.proximal_l1(0.5, learning_rate=0.1)
RATE = argument(0.1, "float", FUNCTION)
PENALTIES = {
    "l1_penalty": call(hondo.l1_penalty, strength=POSITIVE, **PENALTY),
    "l2_penalty": call(hondo.l2_penalty, strength=POSITIVE, **PENALTY),
    "elastic_net_penalty": call(
        hondo.elastic_net_penalty, l1_strength=POSITIVE, l2_strength=POSITIVE, **PENALTY
    ),
    "penalized": call(hondo.penalized, loss=CALLABLE, penalty=CALLABLE),
    "proximal_l1": call(hondo.proximal_l1, strength=POSITIVE, learning_rate=RATE, where=WHERE),
    "proximal_l1.update": call(
        STEP.update,
        updates=GRADIENT,
        state=argument(STEP.init(GRADIENT.value)),
        params=GRADIENT,
    ),
    "max_norm": call(hondo.max_norm, limit=POSITIVE),
    "weight_mask": call(hondo.weight_mask, **PENALTY),
    # It shows what there is, whatever that is.
    "roles": call(hondo.roles, params=anything(FORM.value)),
    "gaussian_noise": call(hondo.gaussian_noise, key=KEY, x=FREE, std=POSITIVE),
    "label_smoothing": call(
        hondo.label_smoothing, labels=argument(X, "deeper"), amount=PROBABILITY
    ),
    "parameter_noise": call(hondo.parameter_noise, key=KEY, std=POSITIVE, **PENALTY),
    "noisy_parameters": call(hondo.noisy_parameters, loss=CALLABLE, std=POSITIVE, where=WHERE),
}
PROBLEM = hondo.supervised(nn.Dense(1), loss="squared_error")
DATA = (np.ones((4, 3), np.float32), np.ones((4, 1), np.float32))
# What its arrays must be is the problem's affair.
ARRAYS = argument(DATA, "deeper", *OTHER_DTYPES)
RUN = {
    "problem": argument(PROBLEM),
    "optimizer": argument(optax.sgd(0.1)),
    "train": ARRAYS,
    "valid": ARRAYS,
    "key": KEY,
    "batch_size": COUNT,
    "max_epochs": COUNT,
    "stopper": argument(STOPPER),
    "monitor": argument("loss"),
    "augment": optional(argument(lambda key, example, partner: example, FUNCTION)),
}
STATE = hondo.start(PROBLEM, optax.sgd(0.1), DATA, key=jax.random.key(0), stopper=STOPPER)
OPTIONS = {name: RUN[name] for name in ("key", "batch_size", "max_epochs", "stopper")}
TRAINING = {
    "binary_cross_entropy": call(
        hondo.binary_cross_entropy,
        logits=FLOATS,
        targets=argument(X > 0, "bool array", "integer array"),
        reduce=REDUCE,
    ),
    "cross_entropy": call(
        hondo.cross_entropy,
        logits=FLOATS,
        targets=argument(jnp.array([0, 1, 2, 0]), "integer array"),
        reduce=REDUCE,
    ),
    "top_k_accuracy": call(
        hondo.top_k_accuracy,
        logits=FLOATS,
        targets=argument(jnp.array([0, 1, 2, 0]), "integer array"),
        k=argument(2),
    ),
    "r_squared": call(hondo.r_squared, outputs=FLOATS, targets=REALS),
    "balanced_weights": call(
        hondo.balanced_weights,
        targets=argument(jnp.array([0, 1, 1]), "integer array", "bool array", "empty"),
    ),
    "supervised": call(
        hondo.supervised,
        module=argument(nn.Dense(1), FUNCTION),
        loss=argument("squared_error", FUNCTION),
    ),
    "evaluate": call(
        hondo.evaluate,
        problem=argument(PROBLEM),
        params=anything(PROBLEM.init(jax.random.key(0), DATA)[0]),
        model_state=anything({}),
        data=ARRAYS,
        batch_size=COUNT,
    ),
    "fit": call(hondo.fit, **RUN),
    "fit_with_progress": call(
        hondo.fit_with_progress,
        report=optional(CALLABLE),
        save=optional(CALLABLE),
        save_every=optional(argument(hondo.every(steps=1))),
        **RUN,
    ),
    "every": call(hondo.every, steps=COUNT),
    "fully_sharded": call(hondo.fully_sharded, min_size=COUNT, devices=optional(COUNT)),
    "start": call(
        hondo.start,
        **{name: RUN[name] for name in ("problem", "optimizer", "key", "stopper")},
        batch=ARRAYS,
    ),
    "step": call(
        hondo.step,
        **{name: RUN[name] for name in ("problem", "optimizer")},
        state=argument(STATE),
        batch=ARRAYS,
    ),
    "finish_epoch": call(
        hondo.finish_epoch,
        **{name: RUN[name] for name in ("problem", "stopper", "valid", "monitor")},
        state=argument(STATE),
    ),
    "grid": call(
        hondo.grid,
        l2=argument([0.5, 1.0], "list", "other state", "deeper", "string array", *OTHER_DTYPES),
    ),
    "sweep": call(
        partial(hondo.sweep, problem=PROBLEM, optimizer=optax.sgd(0.1)),
        build=argument(lambda members: {}, FUNCTION),
        hyperparameters=argument({"l2": np.ones(2)}, "deeper", "string array", *OTHER_DTYPES),
        train=RUN["train"],
        valid=RUN["valid"],
        static=argument(()),
        lanes=optional(COUNT),
        devices=optional(argument(jax.devices())),
        memory_limit=optional(argument(10**9)),
        progress=BOOL,
        **OPTIONS,
    ),
    "conv_general_dilated": call(
        hondo.conv_general_dilated,
        lhs=argument(jnp.ones((1, 2, 4, 4))),
        rhs=argument(jnp.ones((3, 2, 2, 2))),
        window_strides=argument((1, 1), "bool array", "integer array"),
        padding=argument("SAME"),
    ),
}
CALLS: dict[str, Call] = {
    **ACTIVATIONS,
    **CLIPPING,
    **INITIALIZERS,
    **RESIDUALS,
    **NORMALIZATION,
    **AUGMENTATION,
    **DROPOUT,
    **ENSEMBLES,
    **MULTITASK,
    **PENALTIES,
    **TRAINING,
}
EXEMPT = {
    "save": "any tree is a state, any path a folder; test_resume has its refusals",
    "restore": "as `save`",
    "stream": "what has an index is a source; test_stream has its refusals",
    "distributed": "a cluster's first call; test_stream_processes has its refusals",
    "replicated": "a rule, called for every parameter",
    "diagnose": "a trace of the whole problem; test_diagnosis has its refusals",
    "watch": "it makes a problem, as `diagnose` does",
    "load_run": "any path may be a folder; test_damaged_runs damages them",
    "is_weight": "a rule about names, called for every leaf by `weight_mask`",
    "adaptive_clip": "its `update` is that of the other clips",
}
