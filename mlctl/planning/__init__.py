"""Decisions as pure functions: what to start, stop, route. Used by control and ops."""
