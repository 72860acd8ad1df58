"""Scorers that stand in for a scoring script: each has init() and run() as a script has, for one format."""
