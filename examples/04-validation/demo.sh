#!/usr/bin/env bash
# pydantic looks at every body: what is wrong with it is answered 400, before the model sees anything.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model on six features"
run python ../payments.py train

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. A good body"
run mlctl endpoint invoke -n validation --request-file request.json -o tsv

step "4. Bad ones, and what their senders are told"
score validation '{"data": [[1, 2, 3]]}'
score validation '{"data": []}'
score validation '{"data": [[1, 2, 3, 4, 5, "many"]], "dta": 1}'
score validation '{"data": [[1, 2, 3, 4, 5, NaN]]}'
score validation "{\"data\": [$(printf '[1, 2, 3, 4, 5, 6], %.0s' {1..1000})[1, 2, 3, 4, 5, 6]]}"
score validation 'nonsense'
