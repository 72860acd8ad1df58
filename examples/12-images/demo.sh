#!/usr/bin/env bash
# Images in a folder: run() gets paths, 20 at a time. Those that cannot be read are told apart, the others are scored.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model, and write 899 images that it has not seen; one of them is cut off"
run python train.py
run truncate -s 60 data/1/1000.png

step "2. An endpoint, and the deployment behind it; Pillow is installed for it"
run mlctl compute create -f compute.yml -o none
run mlctl batch create -f endpoint.yml -o none
run mlctl batch-deployment create -f deployment.yml --set-default -o none

step "3. Score the folder: all files below it, in the order of their names"
job=$(mlctl batch invoke -n images --input ./data --query name -o tsv)
run mlctl job stream -n "$job"

step "4. The output, and which image could not be read"
run mlctl job download -n "$job" --output-name score --download-path "$home/downloaded"
run head -n 3 "$home/downloaded/named-outputs/score/digits.csv"
run wc -l "$home/downloaded/named-outputs/score/digits.csv"
run cat "$home/jobs/$job/failed_items.jsonl"
