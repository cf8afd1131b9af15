"""Experiments 7 to 10: section 5.3 of the lecture."""

import math

from hondo.lecture.plan import Criterion, Plan
from hondo.lecture.rules import (
    Above,
    Below,
    CountTest,
    Covers,
    MedianWithin,
    PairedTest,
    Share,
    Within,
)
from hondo.lecture.words import Text

PUBLISHED_RATIOS = {2: 4.7, 3: 23.9, 4: 95.8}
CLOSED_FORM = 4.88


def _ratio(depth: int) -> tuple[Criterion, ...]:
    expected = CLOSED_FORM ** (depth - 1)
    return (
        Criterion(
            f"ratio_{depth}",
            Covers(PUBLISHED_RATIOS[depth]),
            f"{depth} hidden layers: last over first norm, as published",
            f"{depth} capas ocultas: norma última / primera, como se publicó",
        ),
        Criterion(
            f"closed_form_{depth}",
            MedianWithin(round(0.85 * expected, 2), round(1.15 * expected, 2)),
            f"{depth} hidden layers: within 15 % of 4.88^{depth - 1}",
            f"{depth} capas ocultas: a menos del 15 % de 4.88^{depth - 1}",
        ),
    )


VANISHING = Plan(
    number=7,
    name="vanishing",
    slides=(9, 10),
    title=Text("2, 3 and 4 hidden layers", "2, 3 y 4 capas ocultas"),
    claim=Text(
        "The first layers' gradients are much smaller than the last ones', the more so the deeper.",
        "Los gradientes de las primeras capas son mucho menores, tanto más cuanto más profunda.",
    ),
    protocol=Text(
        "Fashion-MNIST, 1000 images a seed; sigmoid networks 784-30×k-10 at their start, "
        "W ~ N(0, 1/n_in), b ~ N(0, 1), cross-entropy. The norm of the mean gradient by the biases "
        "of each hidden layer (Nielsen 2015, chapter 5, on MNIST).",
        "Fashion-MNIST, 1000 imágenes por semilla; redes sigmoides 784-30×k-10 al inicio, "
        "W ~ N(0, 1/n_e), b ~ N(0, 1), entropía cruzada. La norma del gradiente medio de los "
        "sesgos de cada capa oculta (Nielsen 2015, capítulo 5, con MNIST).",
    ),
    seeds=30,
    criteria=(
        Criterion(
            "monotone",
            Share(0.95),
            "each layer's norm is above that of the layer before, at all three depths",
            "la norma de cada capa supera la de la anterior, en las tres profundidades",
        ),
        *(criterion for depth in PUBLISHED_RATIOS for criterion in _ratio(depth)),
    ),
)

_NAMES = {"linear": Text("linear", "lineal"), "relu": Text("ReLU", "ReLU")}
FACTORS = tuple((kind, width) for kind in ("linear", "relu") for width in (30, 100, 500))

INITIALIZATION = Plan(
    number=8,
    name="initialization",
    slides=(12, 14, 15),
    title=Text("Activation and initialization", "Función de activación e inicialización"),
    claim=Text(
        "Gaussian weights of a fixed variance make deep signals vanish or saturate; He's keep them "
        "and let deep ReLU networks train.",
        "Pesos gaussianos de varianza fija desvanecen o saturan la señal; los de He la conservan y "
        "permiten entrenar redes ReLU profundas.",
    ),
    protocol=Text(
        "(a) Gaussian inputs, networks of 10 layers and widths 30, 100, 500: the mean square of a "
        "layer over that of the layer before, over n·var (linear) or n·var/2 (ReLU). (b) tanh, "
        "width 500, 10 layers, variances 10⁻⁴, 0.01 and 1. (c) Fashion-MNIST, 5000 to train, ReLU "
        "networks of 30 layers of 128, SGD 0.01, batches of 100, 20 epochs: trained means a "
        "training accuracy above 0.5.",
        "(a) Entradas gaussianas, redes de 10 capas y anchos 30, 100, 500: cuadrado medio de "
        "una capa entre el de la anterior, entre n·var (lineal) o n·var/2 (ReLU). (b) tanh, ancho "
        "500, 10 capas, varianzas 10⁻⁴, 0.01 y 1. (c) Fashion-MNIST, 5000 para entrenar, redes "
        "ReLU de 30 capas de 128, SGD 0.01, lotes de 100, 20 épocas: entrenada significa "
        "exactitud de entrenamiento mayor que 0.5.",
    ),
    seeds=10,
    criteria=(
        *(
            Criterion(
                f"{kind}_{width}",
                Within(0.97, 1.03),
                f"forward factor over theory, {_NAMES[kind].en}, width {width}",
                f"factor hacia adelante / teoría, {_NAMES[kind].es}, ancho {width}",
            )
            for kind, width in FACTORS
        ),
        Criterion(
            "deviation_001_vanishes",
            Below(0.01, by_chance=True),
            "tanh, standard deviation 0.01: RMS of layer 10",
            "tanh, desviación estándar 0.01: RMS de la capa 10",
        ),
        Criterion(
            "variance_001_vanishes",
            Below(0.01, by_chance=True),
            "tanh, variance 0.01: RMS of layer 10",
            "tanh, varianza 0.01: RMS de la capa 10",
            "slide",
        ),
        Criterion(
            "variance_1_saturates",
            Above(0.9, by_chance=True),
            "tanh, variance 1: share of saturated units",
            "tanh, varianza 1: proporción de unidades saturadas",
        ),
        Criterion(
            "median_gradient",
            Below(1e-6, by_chance=True),
            "tanh, variance 1: median over RMS of the first layer's gradient",
            "tanh, varianza 1: mediana entre RMS del gradiente de la primera capa",
        ),
        Criterion(
            "rms_gradient_grows",
            Within(3.31, 3.65),
            "tanh, variance 1: growth of the RMS gradient a layer, near 3.48",
            "tanh, varianza 1: crecimiento del gradiente RMS por capa, cerca de 3.48",
        ),
        Criterion(
            "rms_gradient_vanishes",
            Within(0, 1),
            "tanh, variance 1: the RMS gradient shrinks from layer to layer",
            "tanh, varianza 1: el gradiente RMS disminuye de capa en capa",
            "slide",
        ),
        Criterion(
            "he_trains",
            CountTest(0.001),
            "30 ReLU layers trained: He, Glorot",
            "30 capas ReLU entrenadas: He, Glorot",
        ),
        Criterion(
            "glorot_at_chance",
            Share(0.9),
            "30 ReLU layers, Glorot: training loss stays above ln 10 − 0.05",
            "30 capas ReLU, Glorot: la pérdida se queda sobre ln 10 − 0.05",
        ),
    ),
)

RESIDUAL = Plan(
    number=9,
    name="residual",
    slides=(1, 13),
    title=Text("Residual connections", "Conexiones residuales"),
    claim=Text(
        "Deep plain networks train worse than shallow ones; with residual connections they do not.",
        "Las redes profundas sin conexiones residuales entrenan peor que las someras; con ellas "
        "no.",
    ),
    protocol=Text(
        "(a) 16 blocks x + W·relu(x) with He's weights, width 500, at their start, without norm "
        "and with batch norm on the branch. (b) Fashion-MNIST, 5000 to train; networks "
        "of width 64 and 8, 20 or 44 layers with batch norm, with and without skips; SGD 0.05 "
        "with momentum 0.9, batches of 100, 10 epochs; training loss at the end.",
        "(a) 16 bloques x + W·relu(x) con pesos de He, ancho 500, al inicio, sin normalizar y con "
        "normalización por lotes en la rama. (b) Fashion-MNIST, 5000 para entrenar; redes de "
        "ancho 64 y 8, 20 o 44 capas con normalización por lotes, con y sin conexiones; SGD 0.05 "
        "con momento 0.9, lotes de 100, 10 épocas; pérdida de entrenamiento al final.",
    ),
    seeds=10,
    criteria=(
        Criterion(
            "doubles",
            Within(1.94, 2.06),
            "variance, factor a block without norm: 2",
            "varianza, factor por bloque sin normalizar: 2",
        ),
        Criterion(
            "adds_one",
            Within(0.97, 1.03),
            "variance, added by each block with batch norm on the branch: 1",
            "varianza que añade cada bloque con normalización en la rama: 1",
        ),
        Criterion(
            "plain_degrades",
            PairedTest(0.01),
            "training loss without skips: 44 layers − 8 layers",
            "pérdida de entrenamiento sin conexiones: 44 capas − 8 capas",
        ),
        Criterion(
            "residual_does_not",
            Within(-math.inf, 0.05),
            "training loss with skips: 44 layers − 8 layers",
            "pérdida de entrenamiento con conexiones: 44 capas − 8 capas",
        ),
        Criterion(
            "contrast",
            PairedTest(0.01),
            "depth × skip: loss added by depth without skips − with them",
            "profundidad × conexión: pérdida que añade la profundidad sin − con conexiones",
        ),
    ),
)

CLIPPING = Plan(
    number=10,
    name="clipping",
    slides=(11,),
    title=Text("Gradient clipping", "Recorte de gradientes"),
    claim=Text(
        "Clipping bounds the step and keeps its direction, so that fewer runs diverge; it does not "
        "cure vanishing gradients.",
        "Recortar acota el paso y conserva su dirección, así que divergen menos ejecuciones; no "
        "cura el desvanecimiento.",
    ),
    protocol=Text(
        "float64: random gradients of norm 10⁻² to 10⁴; x⁴ from x = 3 by steps of 0.1. Adding task "
        "of 60 steps, tanh network of 50 units, recurrent weights N(0, 1.5²/n), SGD 0.03 with "
        "momentum 0.9, 600 steps of 50 sequences, with and without clipping at norm 1. Diverged: "
        "an epoch's mean loss above ten times that of the constant answer, or not finite.",
        "float64: gradientes al azar de norma 10⁻² a 10⁴; x⁴ desde x = 3 con pasos de 0.1. Tarea "
        "de suma de 60 pasos, red tanh de 50 unidades, pesos recurrentes N(0, 1.5²/n), SGD 0.03 "
        "con momento 0.9, 600 pasos de 50 secuencias, con y sin recorte a norma 1. Divergió: "
        "pérdida media de una época mayor que diez veces la de la respuesta constante, o no "
        "finita.",
    ),
    seeds=20,
    criteria=(
        Criterion("bounded", Below(1e-12), "‖g'‖/c − 1", "‖g'‖/c − 1"),
        Criterion("direction", Below(1e-12), "1 − cos(g', g)", "1 − cos(g', g)"),
        Criterion(
            "x4_clipped",
            Below(0.1),
            "x⁴ with clipping: |x| at the end",
            "x⁴ con recorte: |x| al final",
        ),
        Criterion(
            "x4_free",
            Above(1e6),
            "x⁴ without clipping: |x| at the end",
            "x⁴ sin recorte: |x| al final",
        ),
        Criterion(
            "fewer_diverge",
            CountTest(0.01),
            "runs that diverge: free, clipped",
            "ejecuciones que divergen: libre, recortada",
        ),
        Criterion(
            "still_vanishes",
            Below(1e-6, by_chance=True),
            "W ~ N(0, 0.5²/n): first over last gradient in time, after clipping",
            "W ~ N(0, 0.5²/n): gradiente primero / último en el tiempo, tras recortar",
        ),
    ),
)
