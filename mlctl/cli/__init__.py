"""The command line: parses, calls ops, renders."""
