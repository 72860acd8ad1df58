"""Measurements of mlctl beside its peers, on this machine. `python -m benchmarks` runs them; README.md tells more.

whole_path: requests through the gateway and one replica, against Azure's own inference server.
gateway_overhead: what the gateway adds to one request.
start_up: how long a command takes that does next to nothing.
"""
