"""Helpers of the tests: tiny networks, drawn frames, servers and browsers."""
