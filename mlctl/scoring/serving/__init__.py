"""`mlctl serve`: one script as Azure's inference server serves it, in the foreground."""
