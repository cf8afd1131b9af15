"""A run on disk: what is written whole or not at all, and what says which run it is."""
