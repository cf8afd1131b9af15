"""Norm penalties, the constraints beside them, and which parameters they concern (slide 3)."""
