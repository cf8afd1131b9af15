"""Overfitting and its remedies: section 5.2 of the lecture."""
