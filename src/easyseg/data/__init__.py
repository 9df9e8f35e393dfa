"""Datasets: finding their format, classes and splits, and reading their samples."""
