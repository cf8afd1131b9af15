"""What an adapter may provide. Every operation is optional; properties say which they need.

Arrays are NumPy's, float32 unless said otherwise; `tree` is a flat dict of arrays; `seed` an int,
the same seed meaning the same randomness. Results are arrays or what `numpy.asarray` takes.
"""

OPERATIONS = {
    # Initialization: seed and shape (…, inputs, outputs) give an array.
    "fans": "fans(shape) -> (fan_in, fan_out)",
    "glorot_uniform": "glorot_uniform(seed, shape) -> w",
    "glorot_normal": "glorot_normal(seed, shape) -> w",
    "he_uniform": "he_uniform(seed, shape) -> w",
    "he_normal": "he_normal(seed, shape) -> w",
    "lecun_normal": "lecun_normal(seed, shape) -> w",
    # Activations and losses, elementwise, or over the last axis.
    "sigmoid": "sigmoid(x) -> y",
    "sigmoid_gradient": "sigmoid_gradient(x) -> dy/dx",
    "tanh": "tanh(x) -> y",
    "tanh_gradient": "tanh_gradient(x) -> dy/dx",
    "relu": "relu(x) -> y",
    "relu_gradient": "relu_gradient(x) -> dy/dx",
    "leaky_relu": "leaky_relu(x, slope) -> y",
    "softmax": "softmax(z) -> p",
    "cross_entropy": "cross_entropy(z, classes) -> mean over the examples",
    "cross_entropy_gradient": "cross_entropy_gradient(z, classes) -> dE/dz",
    # Dropout; convention 'dropout': 'inverted' (r x / P) or 'lecture' (r x).
    "dropout": "dropout(seed, x, keep_prob) -> y",
    "dropout_gradient": "dropout_gradient(seed, x, keep_prob, g) -> (y, gx)",
    "dropout_inference": "dropout_inference(x, keep_prob) -> y",
    "scale_weights": "scale_weights({'kernel', 'bias'}, keep_prob) -> tree for inference",
    # Noise.
    "gaussian_noise": "gaussian_noise(seed, x, std) -> y",
    "parameter_noise": "parameter_noise(seed, tree, std) -> tree",
    "label_smoothing": "label_smoothing(one_hot, amount) -> y",
    # Batch normalization over every axis but the last; convention 'decay': weight of the 'old' or
    # the 'new' value; 'running_variance': 'biased' or 'unbiased'.
    "batch_norm": "batch_norm(x, mean, var, scale, bias, decay, epsilon) -> (y, mean, var)",
    "batch_norm_gradient": "batch_norm_gradient(x, scale, bias, epsilon, g) -> gx",
    "batch_norm_inference": "batch_norm_inference(x, mean, var, scale, bias, epsilon) -> y",
    "batch_moments": "batch_moments(x) -> (mean, biased variance)",
    "merge_moments": "merge_moments([x, …]) -> (mean, biased variance) of all, merged in order",
    "population_stats": "population_stats([x, …]) -> (mean, unbiased variance) for inference",
    "fold_batch_norm": "fold_batch_norm(kernel, bias, mean, var, scale, offset, epsilon) -> (w, b)",
    # Other norms.
    "layer_norm": "layer_norm(x, scale, bias, epsilon) -> y, over the last axis",
    "group_norm": "group_norm(x, groups, epsilon) -> y, x of shape (batch, …, features)",
    "instance_norm": "instance_norm(x, epsilon) -> y, x of shape (batch, …, features)",
    "rms_norm": "rms_norm(x, scale, epsilon) -> y, over the last axis",
    "weight_norm": "weight_norm(direction, magnitude) -> w, columns (inputs, features)",
    "l2_normalize": "l2_normalize(x) -> y, over the last axis",
    "l2_normalize_gradient": "l2_normalize_gradient(x, g) -> gx",
    # Residual connections with linear branches F(x) = x a.
    "residual": "residual(x, a) -> x + x a",
    "residual_gradient": "residual_gradient(x, a, g) -> gx",
    "residual_stack": "residual_stack(x, [a, …]) -> y",
    "residual_projection": "residual_projection(x, w, a) -> x w + x a",
    # Penalties over {'kernel', 'bias'} or {layer: {'kernel', …}}, flat names 'layer/kernel'.
    "l1_penalty": "l1_penalty(tree, strength) -> R",
    "l1_penalty_gradient": "l1_penalty_gradient(tree, strength) -> tree",
    "l2_penalty": "l2_penalty(tree, strength) -> R",
    "l2_penalty_gradient": "l2_penalty_gradient(tree, strength) -> tree",
    "elastic_net_penalty": "elastic_net_penalty(tree, l1, l2) -> R",
    "proximal_l1": "proximal_l1(w, threshold) -> w after the proximal step",
    "max_norm": "max_norm(w, limit) -> w, columns (inputs, units)",
    # Multitask and ensembles.
    "multitask_loss": "multitask_loss(losses, weights) -> J",
    "masked_loss": "masked_loss(losses, present) -> mean over what is present, 0 if nothing",
    "average_probabilities": "average_probabilities(logits (members, batch, classes)) -> p",
    "bootstrap_indices": "bootstrap_indices(seed, count) -> indices",
    # Augmentation of images (batch, height, width, channels).
    "flip": "flip(images) -> mirrored left to right",
    "random_flip": "random_flip(seed, images) -> images, each flipped with probability 1/2",
    "random_crop": "random_crop(seed, images, size) -> images (batch, size, size, channels)",
    "mixup": "mixup(seed, images, labels) -> (images, labels)",
    # Clipping; convention 'nonfinite': 'propagate', 'zero' or 'error'.
    "clip_by_global_norm": "clip_by_global_norm(tree, limit) -> tree",
    "clip_by_value": "clip_by_value(tree, limit) -> tree",
    "global_norm": "global_norm(tree) -> norm",
    # Early stopping, for a value that should fall unless mode is 'max'.
    "early_stopping": "early_stopping(values, patience, min_delta, mode) -> "
    "(index of the stop or None, index of the best or None)",
}
