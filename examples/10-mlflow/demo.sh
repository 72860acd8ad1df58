#!/usr/bin/env bash
# A model that MLflow saved is served as it is: no script, no environment; its signature says what a body must look like.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model and save it with MLflow, in an environment of its own"
run python -m venv "$home/train"
run "$home/train/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
run "$home/train/bin/python" -W ignore train.py

step "2. An endpoint, and the deployment behind it; the model's packages are installed for it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Score two payments"
run mlctl endpoint invoke -n mlflow-scoring --request-file request.json -o tsv

step "4. A body that is not as the signature says"
score mlflow-scoring '{"input_data": {"columns": ["amount", "hour"], "index": [0], "data": [[42.5, 14]]}}'
