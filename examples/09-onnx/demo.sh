#!/usr/bin/env bash
# ONNX Runtime scores; the environment has no scikit-learn in it.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. The model is here already, as ONNX; python train.py makes it anew (it needs skl2onnx)"
run ls -l model.onnx

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Score two payments"
run mlctl endpoint invoke -n onnx-scoring --request-file request.json -o tsv
