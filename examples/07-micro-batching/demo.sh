#!/usr/bin/env bash
# Requests that wait are scored together: three lines of YAML, none in the script.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model on six features, a forest: a call takes milliseconds, for one row or for sixty-four"
run python ../payments.py train --forest

step "2. Two deployments of the same script: blue as it is, green with micro-batching"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f blue.yml --all-traffic -o none
run mlctl deployment create -f green.yml -o none
diff blue.yml green.yml || true

step "3. 3,200 requests over 32 connections to each; every answer is compared with that to a request that came alone"
address micro-batching
run python client.py blue
run python client.py green
