#!/usr/bin/env bash
# The script writes its own output, a Parquet file for each input, instead of lines that are put together.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model, and draw the payments of four weeks"
run python ../payments.py train
for week in 1 2 3 4; do run python ../payments.py draw "data/week-$week.csv" 5000 --seed "$week"; done

step "2. An endpoint, and the deployment behind it: output_action: summary_only"
run mlctl compute create -f compute.yml -o none
run mlctl batch create -f endpoint.yml -o none
run mlctl batch-deployment create -f deployment.yml --set-default -o none

step "3. Score the folder"
run mlctl batch invoke -n own-output --input ./data --output-path "$home/scores" --stream

step "4. What the script wrote to AZUREML_BI_OUTPUT_PATH"
run ls -l "$home/scores"
run python -c 'import pandas, sys; print(pandas.read_parquet(sys.argv[1]).head(3).to_string())' "$home/scores"
