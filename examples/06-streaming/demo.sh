#!/usr/bin/env bash
# 20,000 rows in a request: the answer is sent line by line while it is made.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model on six features"
run python ../payments.py train

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Two rows: one line"
run mlctl endpoint invoke -n streaming --request-file request.json -o tsv

step "4. 20,000 rows: the first line is there long before the last"
address streaming
run python client.py
