"""Shipped conformance suites and fakes for those who write an adapter."""
