"""The local directory that holds desired and observed state. The only place that knows SQLite."""
