"""Columns of numbers: expressions computed once, kept, and read as views."""
