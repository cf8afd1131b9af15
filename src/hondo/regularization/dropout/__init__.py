"""Dropout, its relatives, and what to do at inference (slides 6 to 8)."""
