"""Checks of a signal before it is published: each compares one figure with a bound."""
