#!/usr/bin/env bash
# One bundle, twice: it answers requests, and its run() scores a table in mini-batches. Both say the same of each row.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model, and draw a table in which row 1,234 lacks its amount"
run python ../payments.py train
run python ../payments.py draw data/november.csv 2000 --without-amount 1234

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Online: a payment is scored"
run mlctl endpoint invoke -n online-and-batch --request-file request.json -o tsv

step "4. Batch: the deployment's script, model and environment score the table, without a request"
run mlctl batch invoke --from-deployment online-and-batch/blue --input data/november.csv --mini-batch-size 500 \
  --output-path "$home/scores" --output-format jsonl --with-input --stream

step "5. Compare: ask the endpoint for each of the rows"
run head -n 1 "$home/scores/predictions.jsonl"
address online-and-batch
run python compare.py "$home/scores/predictions.jsonl"
