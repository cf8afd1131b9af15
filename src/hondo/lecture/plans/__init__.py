"""The twelve plans, with every criterion, as they were written before anything ran in full."""
