"""Labelled images from every source: readers, splits, duplicates and audits."""
