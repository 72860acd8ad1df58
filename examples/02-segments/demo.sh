#!/usr/bin/env bash
# Three models in one deployment: a field of the request says which one scores.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model for each segment"
run python train.py

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. The same payments, seen as each segment's"
for segment in retail corporate sme; do
  score segments "{\"segment\": \"$segment\", \"data\": [[42.5, 14, 3.2, 1200, 2, 1], [950.0, 3, 180.0, 12, 9, 0]]}"
done

step "4. A segment that nobody has heard of is the caller's mistake: 400"
score segments '{"segment": "royal", "data": []}'
