#!/usr/bin/env bash
# What came in and what the model said is kept, as Azure's data collector keeps it.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model on six features"
run python ../payments.py train

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Score two payments"
run mlctl endpoint invoke -n data-collection --request-file request.json -o tsv

step "4. What the script handed to Collector(): rows, and an id that joins inputs and outputs"
names=(-n blue -e data-collection)
until mlctl deployment data "${names[@]}" --collection model_outputs --query '[0].id' -o tsv 2>&1 | grep -qE '^[0-9a-f-]+$'; do :; done
run mlctl deployment data "${names[@]}" --collection model_inputs --query '[].{correlationid: correlationid, data: data}'
run mlctl deployment data "${names[@]}" --collection model_outputs --query '[].{correlationid: correlationid, data: data}'

step "5. Where it lies: JSON lines under Azure's paths"
(cd "$home" && find modelDataCollector -name '*.jsonl')
