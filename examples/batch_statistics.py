"""Batch statistics into population statistics: exact, however the data is cut."""

import jax

import hondo

x = 1e3 + jax.random.normal(jax.random.key(0), (1000, 4))
whole = hondo.population_stats(hondo.batch_moments(x))
cut = hondo.batch_moments(x[:7])
for part in (x[7:400], x[400:]):
    cut = hondo.merge_moments(cut, hondo.batch_moments(part))
print("variance, whole:", whole.var)
print("variance, cut:  ", hondo.population_stats(cut).var)

stats = hondo.init_batch_stats(4)
_, stats = hondo.batch_norm(x[:100], stats, None, None, decay=0.99, epsilon=1e-5)
print("running variance after one step:", stats.var)
