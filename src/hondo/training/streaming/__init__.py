"""Training on data that need not fit into memory."""
