"""Mutations of the platform, and the tests that notice them: a suite that passes a mutation proves nothing about it.

`table/` has the mutations as data, `catalogue` reads them, and `__main__` is the command of `make mutations`.
"""
