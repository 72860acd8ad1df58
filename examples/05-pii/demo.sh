#!/usr/bin/env bash
# Customers are known to the log by a salted hash; nothing of a request's body is in any file.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model on six features"
run python ../payments.py train

step "2. An endpoint, and the deployment behind it"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f deployment.yml --all-traffic -o none

step "3. A customer's payments, scored twice"
run mlctl endpoint invoke -n pii-hashing --request-file request.json -o tsv
run mlctl endpoint invoke -n pii-hashing --request-file request.json -o tsv

step "4. The log knows that it was the same customer, and not which one"
logged pii-hashing "customer .* batch of"

step "5. Nor does anything else that mlctl keeps: logs, database, artifacts"
if grep -rlaE "4711-0815" "$home"; then
  echo "the customer's id is in the files above"
  exit 1
fi
printf 'looked through %s files: the id is in none\n' "$(find "$home" -type f | wc -l)"
