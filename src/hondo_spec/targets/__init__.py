"""Adapters of hondo and of other libraries, each with a `TARGET`.

A framework that hondo does not depend on is imported by its name in a string, so that the types of
this package can be checked without it.
"""
