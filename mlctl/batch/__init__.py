"""The coordinator of a batch job: cuts the input into mini-batches, has workers run them, commits each result once."""
