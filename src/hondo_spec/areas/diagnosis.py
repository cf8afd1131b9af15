"""DIA: which layer is sick, as an instrument says that measures all of them (slides 9 to 15)."""

from typing import Any, NamedTuple

import numpy as np

from hondo_spec import draws, statistics
from hondo_spec.bounds import exp_slack, gamma, ulps
from hondo_spec.property import Area, given
from hondo_spec.results import Check, Exact, Holds, Result

prop = Area("DIA", symbols="diagnose")
FLOW = "slides 9 and 10; Glorot & Bengio 2010, section 4.2"
FAULTS = "slides 9 to 15; He et al. 2015, section 2.2"
THEORY = "slides 13 to 15; Poole et al. 2016; Schoenholz et al. 2017"
# Layers, width and batch: what is usual, then narrow and deep, then wide, with few examples.
SIZED = ((6, 32, 16), (9, 7, 24), (3, 100, 5))
LAYERS, WIDTH, BATCH = SIZED[0]
EACH = tuple(range(LAYERS))
# The rate at which a healthy network may have a verdict.
FALSE_ALARM = 1e-6
SIZES = ("input_rms", "response_rms", "gradient_rms")
# φ and its slope.
CURVES = {
    "identity": lambda z: (z, np.ones_like(z)),
    "relu": lambda z: (np.maximum(z, 0), np.float64(z > 0)),
    "sigmoid": lambda z: (y := 1 / (1 + np.exp(-z)), y * (1 - y)),
}
# A mean over a batch, its root, and a logarithm on the way.
MEAN = gamma(WIDTH * BATCH + 8)


class Chain(NamedTuple):
    """The data of `diagnose_chain`."""

    x: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    g: np.ndarray

    def diagnosed(
        self, diagnose_chain: Any, activation: str = "relu", stop: int = -1, scanned: bool = True
    ) -> Any:
        """What an implementation says of it."""
        return diagnose_chain(*self[:3], activation, self.g, stop, scanned)

    def changed(self, layer: int, weight: float = 1.0, bias: float = 0.0) -> "Chain":
        """The weights of a layer multiplied, its biases moved."""
        weights, biases = self.weights.copy(), self.biases.copy()
        weights[layer] *= np.float32(weight)
        biases[layer] += np.float32(bias)
        return self._replace(weights=weights, biases=biases)


def of_integers(seed: int, sized: tuple[int, int, int] = SIZED[0]) -> Chain:
    """Three inputs ±1 a unit: everything but sums of squares is exact in float32."""
    rng, (layers, width, batch) = np.random.default_rng(seed), sized
    places = np.argsort(rng.random((layers, width, width)), axis=1) < 3
    weights = places * rng.choice([-1, 1], (layers, width, width))
    x, g = rng.integers(-2, 3, (2, batch, width))
    return Chain(*map(draws.single, (x, weights, rng.integers(-1, 2, (layers, width)), g)))


def random_chain(seed: int, gain: float = 2.0, kind: str = "normal") -> Chain:
    """Weights of variance gain / inputs, He's for 2."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(LAYERS, WIDTH, WIDTH))
    if kind == "orthogonal":
        weights = np.linalg.qr(weights)[0] * np.sqrt(WIDTH)
    if kind == "uniform":
        weights = rng.uniform(-1, 1, weights.shape) * np.sqrt(3)
    x, g = rng.normal(size=(2, BATCH, WIDTH))
    scaled = weights * np.sqrt(gain / WIDTH)
    return Chain(*map(draws.single, (x, scaled, np.zeros((LAYERS, WIDTH)), g)))


def rms(x: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(draws.double(x)))))


def measured(chain: Chain, activation: str = "relu") -> dict[str, Any]:
    """The sizes of a chain in float64, those by φ(z) too, and which units are off for the batch."""
    h, g = [draws.double(chain.x)], draws.double(chain.g)
    responses, slopes, gradients, arriving = [], [], [], []
    for w, b in zip(draws.double(chain.weights), chain.biases, strict=True):
        responses.append(h[-1] @ w + b)
        y, slope = CURVES[activation](responses[-1])
        h, slopes = [*h, y], [*slopes, slope]
    for w, slope in reversed(list(zip(chain.weights, [*slopes[:-1], 1], strict=True))):
        arriving, gradients = [g, *arriving], [g * slope, *gradients]
        g = gradients[0] @ w.T
    sizes = ([rms(each) for each in part] for part in (h[:-1], responses, gradients, arriving))
    least = np.max(CURVES[activation](np.arange(2.0))[1]) / 10
    off = [np.all(slope <= least, axis=0).mean() for slope in slopes[:-1]]
    named = dict(zip((*SIZES, "arriving"), map(np.array, sizes), strict=True))
    return {**named, "off": np.array(off), "products": chain.g * responses[-1]}


def _size(what: str, got: Any, want: Any) -> Check:
    """Sizes that may have been logarithms on the way."""
    with np.errstate(divide="ignore"):
        logarithm = np.where(np.asarray(want) > 0, np.log(want), 0.0)
    return Check(what, got, want, (MEAN + exp_slack(logarithm)) * np.asarray(want))


def _verdicts(found: Any) -> set[tuple[str, int]]:
    return {(kind, int(layer)) for kind, layer in found["verdicts"]}


def _named(found: Any, kinds: set[str], layer: int) -> Result:
    """Some of these kinds of verdict and no other, and this layer alone."""
    verdicts = _verdicts(found)
    right = bool(verdicts) and verdicts <= {(kind, layer) for kind in kinds}
    return Holds(f"{' or '.join(sorted(kinds))} at {layer} alone", right, verdicts)


@prop(1, "must", "bound", source=FLOW)
@given(seed=draws.seeds)
def _forward_sizes_are_those_of_the_chain(diagnose_chain, *, seed):
    r"""the sizes of a layer's input and of its response are the root mean squares of the chain's
    $\mathrm{RMS}(h_l),\ \mathrm{RMS}(z_l),\quad z_l = h_lW_l + b_l,\ h_{l+1} = \varphi(z_l)$
    """
    chain, activation = of_integers(seed, SIZED[seed % 3]), ("relu", "sigmoid")[seed // 3 % 2]
    got, want = chain.diagnosed(diagnose_chain, activation), measured(chain, activation)
    for name in SIZES[:2]:
        yield _size(name, got[name], want[name])


@prop(2, "must", "bound", source=FLOW)
@given(seed=draws.seeds)
def _backward_sizes_are_those_of_the_chain(diagnose_chain, *, seed):
    r"""the size of a layer's gradient is the root mean square of that of the loss by its response
    $\mathrm{RMS}(\partial J/\partial z_l),\quad
    \partial J/\partial z_l = \varphi'(z_l)\,\partial J/\partial z_{l+1}W_{l+1}^T$
    """
    chain, activation = of_integers(seed, SIZED[seed % 3]), ("relu", "sigmoid")[seed // 3 % 2]
    got, want = chain.diagnosed(diagnose_chain, activation), measured(chain, activation)
    yield _size("gradient_rms", got["gradient_rms"], want["gradient_rms"])


@prop(3, "must", "bound", source="a loop over layers is those layers", symbols="diagnose repeat")
@given(seed=(0, 1, 2))
def _a_loop_is_measured_as_its_layers(diagnose_chain, *, seed):
    r"""layers in a loop have the rows, the order and the verdicts of the same layers written out
    $\operatorname{scan} = \text{unrolled}$
    """
    chain = of_integers(seed)
    loop, layers = (chain.diagnosed(diagnose_chain, scanned=way) for way in (True, False))
    for name in SIZES:
        yield _size(name, loop[name], draws.double(layers[name]))
    yield Exact("off", loop["off"], layers["off"])
    sick = random_chain(seed).changed(2, weight=1e3)
    loop, layers = (_verdicts(sick.diagnosed(diagnose_chain, scanned=s)) for s in (True, False))
    yield Holds("the same verdicts", loop == layers, (loop, layers))


@prop(4, "must", "exhaustive", source=FAULTS)
@given(layer=EACH, value=(np.nan, np.inf, -np.inf), place=(0, 1))
def _what_is_not_finite_names_its_layer(diagnose_chain, *, layer, value, place):
    r"""a weight or a bias of NaN or infinity names its layer, and nothing else
    $l = \min\{l : W_l, z_l \not\subset \mathbb{R}\}$
    """
    chain = random_chain(0)
    (chain.weights[:, 3], chain.biases)[place][layer, 5] = value
    yield _named(chain.diagnosed(diagnose_chain), {"nonfinite_response"}, layer)


@prop(5, "must", "exhaustive", source=FAULTS)
@given(layer=EACH, scale=(1e-3, 2.0**-5, 0.25, 4.0, 2.0**5, 1e3), seed=(0, 1))
def _a_layer_out_of_scale_is_named(diagnose_chain, *, layer, scale, seed):
    r"""a layer whose weights are far too large or too small is named, forwards and backwards, and
    no layer that it affects; four times is not too far
    $W_k \to sW_k,\ s \in \{10^{-3}, \tfrac1{32}, 32, 10^3\}$
    """
    found = random_chain(seed).changed(layer, weight=scale).diagnosed(diagnose_chain)
    change = "vanishing" if scale < 1 else "exploding"
    both = {(f"{change}_{way}", layer) for way in ("response", "gradient")}
    want = set() if 0.25 <= scale <= 4 else both
    yield Holds(f"{want} alone", _verdicts(found) == want, found["verdicts"])
    # Five times are no layer's fault, but all of them together.
    if scale in (0.25, 4.0):
        found = random_chain(seed, 2 * 25.0 ** np.sign(scale - 1)).diagnosed(diagnose_chain)
        kinds = {kind for kind, _ in found["verdicts"]}
        yield Holds("both in all", kinds == {kind for kind, _ in both}, found["verdicts"])


@prop(6, "must", "exhaustive", source="slides 12 and 13; Glorot, Bordes & Bengio 2011")
@given(layer=EACH[:-1], seed=(0, 1))
def _dead_units_are_counted_and_their_layer_named(diagnose_chain, *, layer, seed):
    r"""a rectified layer whose biases switch every unit off is dead, and none behind it; the share
    that is off counts the units that are so for the whole batch
    $\tfrac1n\#\{i : z_{li}(x) \le 0\ \forall x\}$
    """
    sick = random_chain(seed).changed(layer, bias=-100.0)
    yield _named(sick.diagnosed(diagnose_chain), {"dead"}, layer)
    some, smooth = of_integers(seed), random_chain(seed, 0.25)
    some.biases[layer, : 5 + layer] -= 1000
    # Sigmoids are off on both sides, where φ′ is a tenth of 1/4: not at 3.62, but at 3.65.
    smooth.biases[0, 5:] = [3.62, -3.62, 3.65, -3.65, 50, -50, 3, *np.zeros(20)]
    smooth.biases[layer, : 5 + layer] = 6
    smooth = smooth._replace(x=smooth.x / np.float32(2**10))
    for activation, chain in (("relu", some), ("sigmoid", smooth)):
        want = measured(chain, activation)["off"]
        got = chain.diagnosed(diagnose_chain, activation)["off"]
        yield Check(f"off, {activation}", got, want, ulps(2) * want, 1.0)


@prop(7, "must", "statistical", source=FAULTS, symbols="diagnose he_normal he_uniform orthogonal")
@given(kind=("normal", "uniform", "orthogonal"))
def _healthy_networks_have_no_verdict(diagnose_chain, *, kind):
    r"""a rectified network with He's or orthogonal weights, at most a fifth as deep as wide, has no
    verdict, with a false alarm in a million, be its examples unlike or alike
    $P(\text{verdict} \mid \text{healthy}) < 10^{-6}$
    """
    chains = [random_chain(1000 + k, 2.0, kind) for k in range(100)]
    # Units are off for all of them together where they are alike, as they are in depth.
    chains[::2] = [c._replace(x=c.x[:1] + c.x / np.float32(4)) for c in chains[::2]]
    found = sum(bool(chain.diagnosed(diagnose_chain)["verdicts"]) for chain in chains)
    yield statistics.binomial("verdicts", found, len(chains), FALSE_ALARM, effect=0.1)


@prop(8, "must", "exhaustive", source="slide 10; Nielsen 2015, chapter 5, equation 122")
@given(seed=(0, 1, 2, 3), variance=(0.25, 0.4, 0.5, 0.7, 1.0))
def _sigmoids_let_the_gradient_vanish(diagnose_chain, *, seed, variance):
    r"""where sigmoids let the gradient fall by more than 100, the first layer beyond on its way
    back is named, and the response is not
    $l = \max\{l : \mathrm{RMS}(\partial J/\partial h_{l+1}) <
    \tfrac1{100}\mathrm{RMS}(\partial J/\partial h_L)\}$
    """
    chain = random_chain(seed, variance)
    found = chain.diagnosed(diagnose_chain, "sigmoid")
    coming = measured(chain, "sigmoid")["arriving"][:-1]
    want = int(np.flatnonzero(coming < coming[-1] / 100)[-1])
    yield _named(found, {"vanishing_gradient"}, want)
    ratio = draws.double(found["gradient_rms"])[:-1]
    yield Holds("each gradient is smaller than the next", np.all(np.diff(ratio) > 0), ratio)


@prop(9, "should", "bound", source="squares of what float32 holds leave its range")
@given(seed=(0, 1, 2), power=(100, -100))
def _sizes_whose_squares_leave_the_range_are_right(diagnose_chain, *, seed, power):
    r"""sizes are right too where their squares overflow or underflow
    $\mathrm{RMS}(2^kz) = 2^k\mathrm{RMS}(z)$
    """
    chain = of_integers(seed)
    want, factor = measured(chain), np.float32(2.0**power)
    x, biases, g = (factor * part for part in (chain.x, chain.biases, chain.g))
    forward = chain._replace(x=x, biases=biases).diagnosed(diagnose_chain)
    yield _size("response_rms", forward["response_rms"], 2.0**power * want["response_rms"])
    backward = chain._replace(g=g).diagnosed(diagnose_chain)
    yield _size("gradient_rms", backward["gradient_rms"], 2.0**power * want["gradient_rms"])


@prop(10, "must", "bound", source="who looks changes nothing")
@given(seed=(0, 1, 2))
def _a_diagnosis_changes_nothing(diagnose_chain, *, seed):
    r"""the loss is the one without diagnosis, its arguments stay as they were, and a second
    diagnosis finds the same
    $J = \sum_{ei} g_{ei}z_{ei},\quad D(\theta) = D(\theta)$
    """
    chain = of_integers(seed)
    # The last of them is diagnosed twice.
    for activation in ("sigmoid", "relu"):
        products = measured(chain, activation)["products"]
        bound = gamma(products.size) * np.sum(np.abs(products))
        first = chain.diagnosed(diagnose_chain, activation)
        yield Check(f"loss, {activation}", first["loss"], np.sum(products), bound)
    second = chain.diagnosed(diagnose_chain)
    for name in ("loss", *SIZES, "off"):
        yield Exact(f"{name}, again", second[name], first[name])


@prop(11, "must", "structural", source="a loop is traced once", symbols="diagnose repeat")
@given(depth=(12, 100))
def _a_program_does_not_grow_with_its_loop(diagnosis_size, *, depth):
    r"""the program that diagnoses layers in a loop is as large for many of them as for few
    $\operatorname{size}(L) = O(1)$
    """
    yield Exact("size", diagnosis_size(depth), diagnosis_size(LAYERS))


@prop(12, "must", "bound", source=THEORY, symbols="diagnosis")
@given(weight_variance=(0.25, 0.5, 0.75, 0.95), bias_variance=(0.5, 2.0))
def _theory_is_a_fixed_point_of_its_means(mean_field, *, weight_variance, bias_variance):
    r"""where wide networks go, and how their gradients grow, are means over a normal response
    $q = \sigma_w^2\mathbb{E}\,\varphi(\sqrt q u)^2 + \sigma_b^2,\quad
    \chi = \sigma_w^2\mathbb{E}\,\varphi'(\sqrt q u)^2$
    """
    # On a grid so fine and wide that only rounding is left, and symmetric, which is exact for relu.
    u = np.linspace(-9, 9, 2**12)
    chance = np.exp(-(u**2) / 2) / np.sum(np.exp(-(u**2) / 2))
    for activation, curve in CURVES.items():
        q, chi = map(float, mean_field(activation, weight_variance, bias_variance))
        y, slope = curve(np.sqrt(q) * u)
        # A q that is off by δ is the mean of another one, which is off by χδ.
        want = weight_variance * chance @ y**2 + bias_variance
        yield Check(f"q of {activation}", q, want, gamma(64) * want)
        want = weight_variance * chance @ np.square(slope)
        yield Check(f"χ of {activation}", chi, want, gamma(64) * want)


@prop(13, "must", "bound", source=FLOW)
@given(seed=draws.seeds)
def _own_gains_multiply_to_the_whole(diagnose_chain, *, seed):
    r"""the gains of the layers and of the activations multiply to that of the whole chain
    $\prod_l\frac{\mathrm{RMS}(z_l)}{\mathrm{RMS}(h_l)}
    \prod_l\frac{\mathrm{RMS}(\varphi(z_l))}{\mathrm{RMS}(z_l)} =
    \frac{\mathrm{RMS}(z_L)}{\mathrm{RMS}(h_1)}$
    """
    slack = 4 * LAYERS * (MEAN + exp_slack(8))
    for activation in ("relu", "sigmoid"):
        got = of_integers(seed).diagnosed(diagnose_chain, activation)
        gains = np.prod(draws.double(got["gain"])) * np.prod(draws.double(got["activation_gain"]))
        whole = draws.double(got["response_rms"])[-1] / draws.double(got["input_rms"])[0]
        yield Check(f"∏ gains, {activation}", gains, whole, slack * whole)
        inputs, responses = (draws.double(got[f"{name}_rms"]) for name in ("input", "response"))
        each = {"gain": responses / inputs, "activation_gain": inputs[1:] / responses[:-1]}
        for name, want in each.items():
            yield Check(f"{name}s, {activation}", got[name], want, slack * want)


@prop(14, "must", "bound", source=FLOW)
@given(seed=(0, 1, 2), layer=EACH[:-1], power=(-3, 5))
def _order_and_shared_scales_change_nothing(diagnose_chain, *, seed, layer, power):
    r"""the order of examples and of units changes nothing; a factor that the next layer takes back
    moves from a layer's response to its gradient
    $x \to Px,\quad W_k \to W_kQ,\ W_{k+1} \to Q^TW_{k+1},\quad W_k \to aW_k$
    """
    chain, rng = of_integers(seed), np.random.default_rng(seed)
    examples, units = rng.permutation(BATCH), rng.permutation(WIDTH)
    other = chain.changed(layer)._replace(x=chain.x[examples], g=chain.g[examples])
    for part in (other.weights[layer].T, other.biases[layer], other.weights[layer + 1]):
        part[...] = part[units]
    want, got = measured(chain), other.diagnosed(diagnose_chain)
    for name in SIZES:
        yield _size(f"{name}, permuted", got[name], want[name])
    factor = np.where(np.arange(LAYERS) == layer, 2.0**power, 1.0)
    other = chain.changed(layer, weight=2.0**power).changed(layer + 1, weight=0.5**power)
    other.biases[layer] *= np.float32(2.0**power)
    got = other.diagnosed(diagnose_chain)
    yield _size("response, scaled", got["response_rms"], want["response_rms"] * factor)
    yield _size("gradient, scaled", got["gradient_rms"], want["gradient_rms"] / factor)


@prop(15, "should", "exhaustive", source="a gradient that never comes is no small one")
@given(layer=EACH[:-1], seed=(0, 1))
def _a_stopped_gradient_names_the_last_layer_before_it(diagnose_chain, *, layer, seed):
    r"""where a gradient is stopped the last layer before that is named, and the sizes of the
    gradients that never come are 0
    $\partial J/\partial z_l = 0\ \forall l \le k$
    """
    chain = random_chain(seed)
    found = chain.diagnosed(diagnose_chain, stop=layer)
    yield _named(found, {"detached"}, layer)
    sizes = draws.double(found["gradient_rms"])
    yield Exact("gradients before", sizes[: layer + 1], np.zeros(layer + 1))
    want = measured(chain)
    yield _size("gradients behind", sizes[layer + 1 :], want["gradient_rms"][layer + 1 :])
    bound = gamma(want["products"].size) * np.sum(np.abs(want["products"]))
    yield Check("loss", found["loss"], np.sum(want["products"]), bound)
