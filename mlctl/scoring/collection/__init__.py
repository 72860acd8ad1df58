"""The data collector: what is asked and answered, and what a script collects, kept as CloudEvents in files."""
