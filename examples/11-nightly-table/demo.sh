#!/usr/bin/env bash
# A table is scored row by row, by five workers; a run that is killed in the middle is finished from where it was.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model, and draw the payments of a month"
run python ../payments.py train
run python ../payments.py draw data/november.parquet 200000

step "2. Register the table, an endpoint, and the deployment behind it"
run mlctl data create -f transactions.yml -o none
run mlctl compute create -f compute.yml -o none
run mlctl batch create -f endpoint.yml -o none
run mlctl batch-deployment create -f deployment.yml --set-default -o none

step "3. Score it: 2,000 mini-batches of 100 rows, over 5 workers"
invoke=(mlctl batch invoke --name nightly-table --input azureml:transactions-nov:1 --mini-batch-size 100 --instance-count 5)
run "${invoke[@]}" --stream --output-path "$home/undisturbed"
run python read.py "$home/undisturbed/predictions.parquet"

step "4. Once more, but kill the job's coordinator on the way, as a power cut would: its workers end with it"
job=$("${invoke[@]}" --output-path "$home/killed" --query name -o tsv)
coordinator() { python -c 'import json, sys; print(json.load(open(sys.argv[1])).get("pid", ""))' "$home/jobs/$job/progress.json"; }
scored() { mlctl job show -n "$job" --query 'properties."mlctl.items_done"' -o tsv; }
until [[ "$(scored)" =~ ^[1-9] ]]; do :; done
run kill -9 "$(coordinator)"
run mlctl job show -n "$job" --query '{status: status, rows_scored: properties."mlctl.items_done"}' -o yaml

step "5. Go on: what was committed is not scored again, and the output is the same, byte for byte"
run mlctl batch resume -n "$job" --stream
run cmp "$home/undisturbed/predictions.parquet" "$home/killed/predictions.parquet"

step "6. Every night from now on; and once right away"
run mlctl schedule create -f nightly.yml -o none
job=$(mlctl schedule trigger -n nightly-scores --query job_name -o tsv)
run mlctl job stream -n "$job"
