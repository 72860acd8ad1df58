"""The HTTP server inside a replica. Runs in the model's environment and imports nothing else of mlctl."""
