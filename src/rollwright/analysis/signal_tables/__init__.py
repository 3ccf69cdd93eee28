"""Tables that judge a signal: decay, persistence, groups, calibration, coverage, breakdowns, what columns explain."""
