"""Bringing market data of other formats into a folder."""
