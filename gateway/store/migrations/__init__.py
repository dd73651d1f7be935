"""The steps from one shape of the tables to the next, run by `store.migrate` at every start.

A step, once released, is never edited. To add one: change `store.tables`, run
`python -m gateway.store.migrations "what changes"`, and read what it wrote into `versions/`.
"""
