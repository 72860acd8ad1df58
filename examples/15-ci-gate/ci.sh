#!/usr/bin/env bash
# A step of a build: score a table, keep the scores and what could not be scored, fail if there is any of that.
#   bash ci.sh TABLE FOLDER
set -uo pipefail
table=$1 results=$2

mlctl batch invoke -n ci-gate --input "$table" --output-path "$results" --output-format csv --header \
  --job-name "build-${BUILD_ID:?}" --fail-on-failed-items --stream -o none
code=$?

mlctl job download -n "build-$BUILD_ID" --download-path "$results"
failed="$results/artifacts/failed_items.jsonl"
if [ -f "$failed" ]; then
  echo "rows that could not be scored:"
  cat "$failed"
fi
exit "$code"
