"""The operator on a real API server: the parts of a cluster that the tests start, and the tests."""
