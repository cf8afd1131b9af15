"""Vanishing and exploding gradients, and their remedies: section 5.3 of the lecture."""
