"""Hyper-parameter search whose trials are tasks of the pool."""
