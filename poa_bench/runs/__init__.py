"""Runs and their results: what every other room that measures or reports speaks of."""
