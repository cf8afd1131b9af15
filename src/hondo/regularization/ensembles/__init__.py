"""Ensembles of models, their errors, and averages of parameters (slide 2)."""
