"""Evaluation: metrics, intervals, comparisons, leakage, groups and their plots."""
