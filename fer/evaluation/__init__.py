"""Scores: metrics, intervals, comparisons, groups and their plots."""
