"""Tables of a portfolio: sensitivity, capacity, reconciliation, inert settings, timing, returns."""
