"""Initialization of weights (slides 14 and 15)."""
