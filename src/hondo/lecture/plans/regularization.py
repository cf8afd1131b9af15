"""Experiments 1 to 6: section 5.2 of the lecture."""

import math

from hondo.lecture.plan import Criterion, Plan
from hondo.lecture.rules import (
    Above,
    Below,
    PairedTest,
    Reported,
    StandardErrors,
    Within,
)
from hondo.lecture.words import Text

PENALTIES = Plan(
    number=1,
    name="penalties",
    slides=(3,),
    title=Text("ℓ1 and ℓ2 penalties", "Penalización por norma ℓ1 y ℓ2"),
    claim=Text(
        "(λ/2)‖w‖₂² shrinks every weight, (λ/2)‖w‖₁ sets weights to exactly 0.",
        "(λ/2)‖w‖₂² encoge todos los pesos, (λ/2)‖w‖₁ hace que algunos sean exactamente 0.",
    ),
    protocol=Text(
        "float64. Diabetes, standardized, along its principal axes, so that the Hessian is "
        "diagonal with entries h: gradient descent with the ℓ2 penalty, proximal gradient with the "
        "ℓ1 penalty, five strengths λ. Breast cancer: logistic regression with the slide's "
        "summed loss, three strengths.",
        "float64. Diabetes, estandarizado, en sus ejes principales, donde la hessiana es "
        "diagonal con entradas h: descenso por gradiente con la penalización ℓ2 y gradiente "
        "proximal con la ℓ1, cinco valores de λ. Cáncer de mama: regresión logística con la "
        "pérdida sumada de la diapositiva, tres valores de λ.",
    ),
    seeds=1,
    criteria=(
        Criterion(
            "shrinkage",
            Below(1e-8),
            "ℓ2 gives ŵ·h/(h+λ)",
            "ℓ2 da ŵ·h/(h+λ)",
        ),
        Criterion(
            "soft_threshold",
            Below(1e-8),
            "ℓ1 gives the soft threshold at λ/(2h)",
            "ℓ1 da el umbral suave en λ/(2h)",
        ),
        Criterion(
            "logistic",
            Below(1e-8),
            "logistic: the conditions of a minimum hold, relative to λ",
            "logística: se cumplen las condiciones de mínimo, relativas a λ",
        ),
        Criterion(
            "zeros_l1",
            Above(1),
            "exact zeros under ℓ1, proximal",
            "ceros exactos con ℓ1, proximal",
        ),
        Criterion(
            "zeros_l2",
            Below(0),
            "exact zeros under ℓ2",
            "ceros exactos con ℓ2",
        ),
        Criterion(
            "zeros_subgradient",
            Below(0),
            "exact zeros under ℓ1, by subgradients",
            "ceros exactos con ℓ1, por subgradientes",
        ),
    ),
)

EARLY_STOPPING = Plan(
    number=2,
    name="early-stopping",
    slides=(4,),
    title=Text("Early stopping", "Paro temprano"),
    claim=Text(
        "The model that was best on validation is better than the last one; stopping acts as ℓ2.",
        "El mejor modelo en validación supera al último; parar equivale a una penalización ℓ2.",
    ),
    protocol=Text(
        "(a) float64, diabetes: τ steps of gradient descent on the squared error from 0, against "
        "ridge regression. (b) Fashion-MNIST, 2000 to train and 1000 to validate, drawn from the "
        "training part anew for each seed; MLP 784-256-10, Adam 10⁻³, batches of 100, 60 epochs; "
        "10000 test images. (c) The same runs: the epoch is chosen on one half of the validation "
        "part and scored on both.",
        "(a) float64, diabetes: τ pasos de descenso por gradiente del error cuadrático desde 0, "
        "contra regresión ridge. (b) Fashion-MNIST, 2000 para entrenar y 1000 para validar, "
        "sacados de la parte de entrenamiento para cada semilla; MLP 784-256-10, Adam 10⁻³, "
        "lotes de 100, 60 épocas; 10000 imágenes de prueba. (c) Las mismas ejecuciones: la época "
        "se elige con una mitad de la validación y se evalúa en ambas.",
    ),
    seeds=20,
    criteria=(
        Criterion(
            "filter",
            Below(1e-8),
            "(I−εΛ)^τ = (Λ+αI)⁻¹α, with one α for each eigenvalue",
            "(I−εΛ)^τ = (Λ+αI)⁻¹α, con una α por valor propio",
        ),
        Criterion(
            "gap",
            Below(0.2037),
            "with the single α = 1/(ετ) the two filters differ by no more",
            "con una sola α = 1/(ετ) los dos filtros no difieren más",
        ),
        Criterion(
            "best_beats_last",
            PairedTest(0.01),
            "test loss of the last epoch − of the best on validation",
            "pérdida de prueba de la última época − de la mejor en validación",
        ),
        Criterion(
            "optimism",
            Within(0, math.inf),
            "the half that chose the epoch scores it too well: loss on the other half − on it",
            "la mitad que eligió la época la evalúa de más: pérdida en la otra mitad − en ella",
        ),
    ),
)

MULTITASK = Plan(
    number=3,
    name="multitask",
    slides=(5,),
    title=Text("Multitask learning", "Aprendizaje multitarea"),
    claim=Text(
        "A representation shared with a related task is better than one of a single task.",
        "Una representación compartida con una tarea relacionada es mejor que la de una sola.",
    ),
    protocol=Text(
        "Fashion-MNIST: the ten classes on 200 images, and on 5000 the superclass (tops, trousers "
        "and dresses, shoes, bags). Trunk 784-256-128 and a head for each task, Adam 10⁻³, 1000 "
        "steps of 100 images of each. Controls: without the second task, and with its "
        "labels shuffled. Accuracy of the ten classes on 10000 test images.",
        "Fashion-MNIST: las diez clases en 200 imágenes y, en 5000, la superclase (partes de "
        "arriba, pantalones y vestidos, calzado, bolsos). Tronco 784-256-128 y una cabeza por "
        "tarea, Adam 10⁻³, 1000 pasos con 100 imágenes de cada una. Controles: sin la segunda "
        "tarea, y con sus etiquetas barajadas. Exactitud de las diez clases en 10000 de prueba.",
    ),
    seeds=20,
    criteria=(
        Criterion(
            "beats_single",
            PairedTest(0.01),
            "accuracy, pp: related second task − none",
            "exactitud, pp: segunda tarea relacionada − ninguna",
        ),
        Criterion(
            "beats_shuffled",
            PairedTest(0.01),
            "accuracy, pp: related second task − shuffled",
            "exactitud, pp: segunda tarea relacionada − barajada",
        ),
    ),
)

ENSEMBLES = Plan(
    number=4,
    name="ensembles",
    slides=(2,),
    title=Text("Ensembles and noise", "Ensambles y adición de ruido"),
    claim=Text(
        "Averaging k models divides the part of their error that they do not share by k; noise on "
        "the inputs of a linear model is an ℓ2 penalty.",
        "Promediar k modelos divide entre k la parte de su error que no comparten; el ruido en "
        "las entradas de un modelo lineal es una penalización ℓ2.",
    ),
    protocol=Text(
        "Diabetes: ten MLPs 10-32-1 with their own starts, orders and bootstrap samples, Adam "
        "10⁻², 40 epochs, errors on the test part. Noise of σ = 0.5 on the inputs of the least "
        "squares solution, 2000 draws a seed.",
        "Diabetes: diez MLP 10-32-1 con su propio inicio, orden y muestra bootstrap, Adam 10⁻², "
        "40 épocas, errores en la parte de prueba. Ruido de σ = 0.5 en las entradas de la "
        "solución de mínimos cuadrados, 2000 muestras por semilla.",
    ),
    seeds=20,
    criteria=(
        Criterion(
            "decomposition",
            Below(1e-10),
            "ensemble error = v/k + (k−1)c/k, relative",
            "error del ensamble = v/k + (k−1)c/k, relativo",
        ),
        Criterion(
            "correlation",
            Within(-math.inf, 1),
            "c/v, the share of error that all have",
            "c/v, la parte del error que es común",
        ),
        Criterion(
            "input_noise",
            StandardErrors(3),
            "added squared error / (Nσ²‖w‖²) − 1",
            "error cuadrático añadido / (Nσ²‖w‖²) − 1",
        ),
    ),
)

DROPOUT = Plan(
    number=5,
    name="dropout",
    slides=(6, 7, 8),
    title=Text("Dropout and its inference", "Dropout en entrenamiento e inferencia"),
    claim=Text(
        "One network with scaled weights combines the 2ⁿ thinned ones.",
        "Una sola red con pesos escalados combina las 2ⁿ redes adelgazadas.",
    ),
    protocol=Text(
        "float64, digits along ten principal axes, a softmax layer, P = 0.5: all 2¹⁰ masks. "
        "Diabetes, linear regression, P = 0.5, 2000 masks a seed. Fashion-MNIST, 10000 to "
        "train, MLP 784-512-512-10 with P = 0.8 on inputs and 0.5 on hidden units, Adam 10⁻³, "
        "batches of 100, 10 epochs; scaled weights against the mean of 200 masks on 2000 "
        "test images.",
        "float64, dígitos en diez ejes principales, una capa softmax, P = 0.5: las 2¹⁰ máscaras. "
        "Diabetes, regresión lineal, P = 0.5, 2000 máscaras por semilla. Fashion-MNIST, 10000 para "
        "entrenar, MLP 784-512-512-10 con P = 0.8 en las entradas y 0.5 en las ocultas, Adam 10⁻³, "
        "lotes de 100, 10 épocas; pesos escalados contra el promedio de 200 máscaras en 2000 "
        "de prueba.",
    ),
    seeds=10,
    criteria=(
        Criterion(
            "weights_scaled",
            Below(1e-12),
            "P·W against the renormalized geometric mean of all masks: largest difference",
            "P·W contra la media geométrica renormalizada: diferencia máxima",
        ),
        Criterion(
            "both_scaled_is_off",
            Above(1e-2),
            "P·{W, b} against the same mean: largest difference",
            "P·{W, b} contra la misma media: diferencia máxima",
        ),
        Criterion(
            "both_scaled",
            Below(1e-12),
            "θ_inference = P·θ with θ = {W, b}",
            "θ_inferencia = P·θ con θ = {W, b}",
            "slide",
        ),
        Criterion(
            "ridge",
            StandardErrors(3),
            "E‖y−(R∗X)w‖² / (‖y−PXw‖² + P(1−P)‖Γw‖²) − 1",
            "E‖y−(R∗X)w‖² / (‖y−PXw‖² + P(1−P)‖Γw‖²) − 1",
        ),
        Criterion(
            "scaled_against_200",
            Within(-0.3, 0.3, level=0.9),
            "accuracy, pp: scaled weights − mean of 200 masks",
            "exactitud, pp: pesos escalados − promedio de 200 máscaras",
        ),
        Criterion(
            "masks_needed",
            Reported(),
            "k*: masks until the mean is within 0.1 pp of scaled weights",
            "k*: máscaras hasta que el promedio queda a 0.1 pp de los pesos escalados",
        ),
    ),
)


def _league(examples: int) -> tuple[Criterion, ...]:
    pairs = (
        ("l2", "max_norm", "ℓ2", "max-norm"),
        ("l2", "dropout_max_norm", "ℓ2", "dropout + max-norm"),
        ("max_norm", "dropout_max_norm", "max-norm", "dropout + max-norm"),
    )
    return tuple(
        Criterion(
            f"{worse}_{better}_{examples}",
            PairedTest(0.05),
            f"n = {examples}, test error, pp: {first} − {second}",
            f"n = {examples}, error de prueba, pp: {first} − {second}",
        )
        for worse, better, first, second in pairs
    )


LEAGUE = Plan(
    number=6,
    name="league",
    slides=(2,),
    title=Text("A league of regularizers", "Una liga de regularizadores"),
    claim=Text(
        "max-norm is better than ℓ2, and dropout with max-norm better than both; random shifts "
        "of the images help.",
        "max-norm supera a ℓ2, y dropout con max-norm supera a ambos; desplazar las imágenes al "
        "azar ayuda.",
    ),
    protocol=Text(
        "Fashion-MNIST, n = 1000 and 5000 to train, 1000 to validate, MLP 784-512-512-10, Adam "
        "10⁻³, batches of 100, 1000 steps, best epoch on validation. Each method has the same "
        "four trials of its strength, chosen on validation for each seed; the choice is scored "
        "once on the test part. MNIST in Srivastava et al.: ℓ2 1.62, max-norm 1.35, both 1.05 %.",
        "Fashion-MNIST, n = 1000 y 5000 para entrenar, 1000 para validar, MLP 784-512-512-10, "
        "Adam 10⁻³, lotes de 100, 1000 pasos, mejor época en validación. Cada método prueba "
        "cuatro valores de su fuerza, elegidos en validación por semilla; lo elegido se evalúa "
        "una vez en prueba. MNIST en Srivastava et al.: ℓ2 1.62, max-norm 1.35, ambos 1.05 %.",
    ),
    seeds=10,
    criteria=(
        *_league(1000),
        *_league(5000),
        Criterion(
            "augmentation_1000",
            PairedTest(0.05),
            "n = 1000, test error, pp: plain − shifted images",
            "n = 1000, error de prueba, pp: sin nada − imágenes desplazadas",
        ),
    ),
)
