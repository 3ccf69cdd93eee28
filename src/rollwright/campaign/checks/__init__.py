"""Checks of a campaign file that report every problem before anything runs."""
