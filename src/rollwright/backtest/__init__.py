"""Back-test a signal: strategies, costs, simulation, risk."""
