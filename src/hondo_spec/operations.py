"""What an adapter may provide. Every operation is optional; properties say which they need.

Arrays are NumPy's, float32 unless said otherwise; `tree` is a flat dict of arrays; `seed` an int,
the same seed meaning the same randomness. Results are Python numbers, arrays or what has
`__array__`, by itself or in tuples, lists and mappings; the runner makes NumPy arrays of them.
"""

OPERATIONS = {
    # Initialization: seed and shape (…, inputs, outputs) give an array.
    "fans": "fans(shape) -> (fan_in, fan_out)",
    "glorot_uniform": "glorot_uniform(seed, shape) -> w",
    "glorot_normal": "glorot_normal(seed, shape) -> w",
    "he_uniform": "he_uniform(seed, shape) -> w",
    "he_normal": "he_normal(seed, shape) -> w",
    "lecun_normal": "lecun_normal(seed, shape) -> w",
    "truncated_normal": "truncated_normal(seed, shape) -> w of variance 1/fan_in, cut at two "
    "deviations before it is rescaled to that",
    "initial_parameters": "initial_parameters(seed) -> {'…/bias', '…/scale': of a norm, "
    "'…/last_scale': of a norm that ends a residual branch and is claimed to start at 0}",
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
    "noise_penalty": "noise_penalty(w, std) -> what noise on the inputs adds to the expected "
    "squared error of x w",
    # Batch normalization over every axis but the last; convention 'decay': weight of the 'old' or
    # the 'new' value; 'running_variance': 'biased' or 'unbiased'.
    "batch_norm": "batch_norm(x, mean, var, scale, bias, decay, epsilon) -> (y, mean, var)",
    "batch_norm_gradient": "batch_norm_gradient(x, scale, bias, epsilon, g) -> gx",
    "batch_norm_inference": "batch_norm_inference(x, mean, var, scale, bias, epsilon) -> y",
    "batch_moments": "batch_moments(x) -> (mean, biased variance)",
    "merge_moments": "merge_moments([x, …]) -> (mean, biased variance) of all, merged in order",
    "population_stats": "population_stats([x, …]) -> (mean, unbiased variance) for inference",
    "batch_averaged_stats": "batch_averaged_stats([x, …]) -> (mean, variance) of equal batches, "
    "averaged; the variance times m/(m − 1)",
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
    "residual_chain": "residual_chain(x, a, b, g) -> (y, gx) of the blocks x + relu(x a[l]) b[l]",
    # Plain chains, and the gradients of what is linear.
    "chain_gradient": "chain_gradient(x, [w, …], [b, …], g, activation) -> gx of the layers "
    "φ(x w + b); activation: 'identity', 'sigmoid' or 'relu'",
    "convolution": "convolution(x, kernel, stride) -> y, x (batch, height, width, inputs), kernel "
    "(height, width, inputs, outputs), without padding",
    "convolution_gradient": "convolution_gradient(x, kernel, stride, g) -> (gx, gkernel)",
    # Penalties of what is called '…/kernel' in a tree of such names as 'dense/kernel'.
    "l1_penalty": "l1_penalty(tree, strength) -> R",
    "l1_penalty_gradient": "l1_penalty_gradient(tree, strength) -> tree",
    "l2_penalty": "l2_penalty(tree, strength) -> R",
    "l2_penalty_gradient": "l2_penalty_gradient(tree, strength) -> tree",
    "elastic_net_penalty": "elastic_net_penalty(tree, l1, l2) -> R",
    "proximal_l1": "proximal_l1(w, threshold) -> w after the proximal step",
    "penalized_loss": "penalized_loss(w, x, classes, strength) -> (J, dJ/dw), J the mean "
    "cross-entropy of the logits x w plus the L2 penalty of w; strength None: without it",
    "sgd_step": "sgd_step(w, gradient, learning_rate, strength) -> w after a step on a loss of "
    "that gradient plus the L2 penalty",
    "max_norm": "max_norm(w, limit) -> w, columns (inputs, units)",
    # Multitask and ensembles.
    "multitask_loss": "multitask_loss(losses, weights) -> J",
    "multitask_gradients": "multitask_gradients(x, trunk, heads, targets, weights) -> (trunk "
    "gradient, head gradients) of Σ a_t Σ(x trunk head_t − target_t)²/2, heads and targets stacked",
    "masked_loss": "masked_loss(losses, present) -> mean over what is present, 0 if nothing",
    "average_probabilities": "average_probabilities(logits (members, batch, classes)) -> p",
    "ambiguity": "ambiguity(predictions (members, examples), targets, weights) -> (squared error "
    "of the ensemble, of its members, disagreement), by example; weights are divided by their sum",
    "error_covariance": "error_covariance(predictions (members, examples), targets) -> (v, c, "
    "squared error of the ensemble)",
    "bootstrap_indices": "bootstrap_indices(seed, count) -> indices",
    # Augmentation of images (batch, height, width, channels).
    "flip": "flip(images) -> mirrored left to right",
    "quarter_turn": "quarter_turn(square images) -> turned counter-clockwise",
    "random_flip": "random_flip(seed, images) -> images, each flipped with probability 1/2",
    "random_crop": "random_crop(seed, images, size) -> images (batch, size, size, channels)",
    "mixup": "mixup(seed, images, labels) -> (images, labels)",
    "augment": "augment(seed, images, labels) -> (images, labels), a training batch with flips",
    "evaluation_view": "evaluation_view(images) -> what a model gets of them in the evaluations of "
    "a run that augments",
    # Clipping; convention 'nonfinite': 'propagate' them all, 'zero' for them with the rest
    # clipped, 'skip' for zeros everywhere, or 'error'.
    "clip_by_global_norm": "clip_by_global_norm(tree, limit) -> tree",
    "clip_by_value": "clip_by_value(tree, limit) -> tree",
    "global_norm": "global_norm(tree) -> norm",
    # Early stopping, for a value that should fall unless mode is 'max'.
    "early_stopping": "early_stopping(values, patience, min_delta, mode) -> "
    "(index of the stop or None, index of the best or None)",
    "stopped_after": "stopped_after(values, patience) -> whether it is stopped, after each of all "
    "the values, the later ones included",
    "gradient_descent": "gradient_descent(curvature, optimum, learning_rate, steps) -> w after so "
    "many steps of a training loop from 0 on Σ h(w − w*)²/2",
    # What every function promises; `name` is that of another operation.
    "ways": "ways(name, *arguments) -> {'eager', 'compiled', 'mapped', …: the result that way}",
    "traces": "traces(name, [arguments, …]) -> how often it is compiled for these calls",
    "refusal": "refusal(hyperparameter, value) -> (its name here, message of the error or ''); "
    "'keep_prob', 'strength', 'epsilon', 'patience', 'limit' or 'std'",
}

# What a target may declare where several choices are right, and its values.
CONVENTIONS = {
    "dropout": ("inverted", "lecture"),
    "decay": ("old", "new"),
    "running_variance": ("biased", "unbiased"),
    "nonfinite": ("propagate", "zero", "skip", "error"),
    "normal": ("full", "truncated"),
}
