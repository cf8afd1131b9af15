"""Normalization layers: section 5.4 of the lecture."""
