"""Judges the specification itself: by mutants, by its power, and on every target."""
