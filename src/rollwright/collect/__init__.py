"""Predictions of many windows stitched into one, with proof that nothing is missing."""
