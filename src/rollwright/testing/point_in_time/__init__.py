"""A test set of point-in-time questions with their answers, for any program that answers such questions.

`cases` reads the set, `reference` answers it by plain loops over days and periods, and `contract` runs a program over
it. What it holds and what it takes for right is said in ``data/README.md`` and in ``docs/point-in-time-test-set.md``.
"""
