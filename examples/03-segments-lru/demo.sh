#!/usr/bin/env bash
# More models than memory: they are loaded when asked for, the least recently used ones go (MODEL_BUDGET_MB).
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a forest for each of four segments, about 1 MB each in memory; the budget is 2 MB"
run python train.py

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. Each segment once, then the first again"
for segment in retail corporate sme private retail; do
  score segments-lru "{\"segment\": \"$segment\", \"data\": [[42.5, 14, 3.2, 1200, 2, 1], [950.0, 3, 180.0, 12, 9, 0]]}"
done

step "4. What the script did meanwhile"
logged segments-lru "loaded\|evicted"
