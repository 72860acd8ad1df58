#!/usr/bin/env bash
# A build that fails when rows of its table cannot be scored, and says which.
set -euo pipefail
cd "$(dirname "$0")"
source ../demo-words.sh

step "1. Train a model, and draw two tables: in the second one, two payments lack their amount"
run python ../payments.py train
run python ../payments.py draw data/good.csv 3000
run python ../payments.py draw data/bad.csv 3000 --without-amount 17 2900

step "2. An endpoint, and the deployment behind it"
run mlctl compute create -f compute.yml -o none
run mlctl batch create -f endpoint.yml -o none
run mlctl batch-deployment create -f deployment.yml --set-default -o none

step "3. A build with the good table"
BUILD_ID=1 run bash ci.sh data/good.csv "$home/build-1"
echo "exit code $?"

step "4. A build with the bad one: 2,998 rows are scored, the build fails all the same"
code=0
BUILD_ID=2 run bash ci.sh data/bad.csv "$home/build-2" || code=$?
echo "exit code $code"
run wc -l "$home/build-2/predictions.csv"
