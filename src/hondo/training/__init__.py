"""The functions composed: a problem, a step, a whole run."""
