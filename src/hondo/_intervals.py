"""How sure a share of so many is."""

from statistics import NormalDist


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    r"""Wilson's 95 % interval of a proportion.

    $$ \frac{\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}}{1 + z^2/n} $$

    Example:
        >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
        [0.404, 0.596]

    References:
        Wilson 1927; Brown, Cai and DasGupta 2001.
    """
    z = NormalDist().inv_cdf(0.975)
    center = share + z * z / (2 * count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    scale = 1 + z * z / count
    # Rounding aside, no end is outside [0, 1].
    return max((center - half) / scale, 0.0), min((center + half) / scale, 1.0)
