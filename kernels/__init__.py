"""The arithmetic of tinyconv: every operation as a staircase of implementations, from the definition up to fast code.

Start with `contract.py`, which says what each operation computes; then open the folder of an operation and read its
rungs in order.  Nothing here imports the rest of tinyconv: these are plain functions on arrays.
"""
