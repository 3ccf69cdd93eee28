"""Honest numbers: what a Sharpe ratio is worth after its length, its tails and the number of things that were tried."""
