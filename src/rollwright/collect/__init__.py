"""Collect the predictions of many windows into one, and prove that no row is missing."""
