"""Experiments 11 and 12: section 5.4 of the lecture."""

import math

from hondo.lecture.plan import Criterion, Plan
from hondo.lecture.rules import Below, CountTest, PairedTest, Within
from hondo.lecture.words import Text

BATCH_NORM = Plan(
    number=11,
    name="batch-norm",
    slides=(17, 18, 19),
    title=Text("The algorithm of batch normalization", "El algoritmo de normalización por lotes"),
    claim=Text(
        "Batch norm undoes the scale of the weights and makes larger ones learn more slowly; "
        "without skips it makes gradients explode.",
        "La normalización por lotes deshace la escala de los pesos y hace aprender más lento a los "
        "grandes; sin conexiones residuales hace explotar los gradientes.",
    ),
    protocol=Text(
        "float64. Scale: 64×20 inputs, 20×30 weights, a = 0.01 to 100, with ε scaled by a². "
        "Algorithm 2: all 56 batches of 3 of a population of 8. Growth of the squared gradient a "
        "layer: 40 layers of 500 with batch norm, Gaussian inputs, slope over layers 5 to 36; "
        "linear with B = 32, ReLU with B = 512.",
        "float64. Escala: entradas 64×20, pesos 20×30, a = 0.01 a 100, con ε escalada por a². "
        "Algoritmo 2: los 56 lotes de 3 de una población de 8. Crecimiento del gradiente al "
        "cuadrado por capa: 40 capas de 500 con normalización, entradas gaussianas, pendiente en "
        "las capas 5 a 36; lineal con B = 32, ReLU con B = 512.",
    ),
    seeds=10,
    criteria=(
        Criterion("scale", Below(1e-8), "BN((aW)u) = BN(Wu)", "BN((aW)u) = BN(Wu)"),
        Criterion(
            "gradient",
            Below(1e-8),
            "∂BN/∂(aW) = (1/a)·∂BN/∂W, relative",
            "∂BN/∂(aW) = (1/a)·∂BN/∂W, relativo",
        ),
        Criterion(
            "population",
            Below(1e-8),
            "m/(m−1)·E[σ²_B] = the population's σ², relative",
            "m/(m−1)·E[σ²_B] = la σ² de la población, relativo",
        ),
        Criterion(
            "growth_linear",
            Within(0.99, 1.01),
            "growth, linear, over (B−2)/(B−3)",
            "crecimiento, lineal, entre (B−2)/(B−3)",
        ),
        Criterion(
            "growth_relu",
            Within(0.97, 1.03),
            "growth, ReLU, over π/(π−1)",
            "crecimiento, ReLU, entre π/(π−1)",
        ),
    ),
)

BENEFITS = Plan(
    number=12,
    name="batch-norm-benefits",
    slides=(16, 19),
    title=Text(
        "Benefits of batch normalization, and covariate shift",
        "Beneficios de la normalización por lotes y desplazamiento covariante",
    ),
    claim=Text(
        "Batch norm trains in fewer steps, at larger rates, and deep sigmoid networks at all.",
        "La normalización por lotes entrena en menos pasos, con tasas más grandes, y hace posibles "
        "las redes sigmoides profundas.",
    ),
    protocol=Text(
        "Fashion-MNIST, 5000 to train and 2000 to validate; sigmoid networks of 3 or 8 layers of "
        "100, Glorot's weights, SGD 0.1 with batches of 100, 30 epochs, rates ×1, ×5, ×30. Steps "
        "until the accuracy that the network without norm reaches at rate ×1; never reached counts "
        "as one epoch more than all. Noisy: after each norm a random shift and scale of each unit, "
        "new at each step (Santurkar et al. 2018), at rate ×5. Trained: validation accuracy "
        "above 0.5.",
        "Fashion-MNIST, 5000 para entrenar y 2000 para validar; redes sigmoides de 3 u 8 capas de "
        "100, pesos de Glorot, SGD 0.1 con lotes de 100, 30 épocas, tasas ×1, ×5, ×30. Pasos hasta "
        "la exactitud que la red sin normalizar alcanza con tasa ×1; si nunca, cuenta como una "
        "época más que todas. Ruidosa: tras cada normalización, desplazamiento y escala al azar "
        "de cada unidad, nuevos en cada paso (Santurkar et al. 2018), con tasa ×5. Entrenada: "
        "exactitud de validación mayor que 0.5.",
    ),
    seeds=10,
    criteria=(
        Criterion(
            "fewer_steps",
            Within(0, math.inf),
            "3 layers, best rate each: log(steps without norm / with)",
            "3 capas, la mejor tasa de cada una: log(pasos sin normalizar / con)",
        ),
        Criterion(
            "larger_rates",
            CountTest(0.01),
            "3 layers, rate ×30 trained: with norm, without",
            "3 capas, tasa ×30, entrenadas: con normalización, sin ella",
        ),
        Criterion(
            "deep_sigmoid",
            CountTest(0.01),
            "8 layers, rate ×1 trained: with norm, without",
            "8 capas, tasa ×1, entrenadas: con normalización, sin ella",
        ),
        Criterion(
            "noisy_as_good",
            Within(-1, 1, level=0.9),
            "3 layers, accuracy, pp: norm with shifting noise − norm",
            "3 capas, exactitud, pp: con ruido desplazado − normalización",
        ),
        Criterion(
            "noisy_shifts_more",
            PairedTest(0.01),
            "3 layers: log of how far activations shift a step, with noise − without",
            "3 capas: log del desplazamiento de las activaciones por paso, con ruido − sin él",
        ),
        Criterion(
            "shift_slows",
            Within(0, math.inf),
            "shift slows learning: log(steps of the noisy one / of the other)",
            "el desplazamiento retrasa: log(pasos de la ruidosa / de la otra)",
            "slide",
        ),
    ),
)
