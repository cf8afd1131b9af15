"""Multitask learning: one objective of several tasks (slide 5)."""
