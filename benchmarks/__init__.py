"""Measurements of mlctl beside its peers, on this machine. `python -m benchmarks` runs them; README.md tells more.

whole_path: requests through the gateway and one replica, against Azure's own inference server.
scoring_server: requests to the scoring server alone, against its peers and against a bare loop over run().
soak: whether the scoring server's memory and file handles grow; only when asked for.
gateway_overhead: what the gateway adds to one request.
start_up: how long a command takes that does next to nothing.
"""
