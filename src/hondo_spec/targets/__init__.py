"""Adapters: each module holds one `TARGET`."""
