"""Which layer is sick, why, and what cures it: slides 9 to 15 as an instrument."""
