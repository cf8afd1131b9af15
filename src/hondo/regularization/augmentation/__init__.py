"""Data augmentation: images moved, turned and mixed (slide 2)."""
