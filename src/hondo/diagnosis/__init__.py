"""Which layer is sick, why, and what cures it: slides 9 to 15 as an instrument."""

from hondo.diagnosis.theory import moments

__all__ = ["moments"]
