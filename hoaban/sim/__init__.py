"""Simulated scenes with exact truth: a source like others (DESIGN 10)."""
