#!/usr/bin/env bash
# Training as a job, a gate that only a better model passes, and a change of models that loses no request.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Draw payments to learn from; an endpoint without a deployment"
run python ../payments.py draw data/payments.csv 20000 --labels
run mlctl endpoint create -f endpoint.yml -o none

step "2. A first model: there is no champion yet"
run bash pipeline.sh 1 stump

step "3. Trained anew, it is as good as before: the gate stops it, and the pipeline fails"
code=0
run bash pipeline.sh 2 stump || code=$?
echo "exit code $code"

step "4. A better one takes over"
run bash pipeline.sh 3 logistic
run mlctl endpoint show -n train-and-promote --query traffic
run mlctl model list -n fraud-model --query '[].{version: version, auc: tags.auc}' -o table
