#!/usr/bin/env bash
# The main job, end to end: train, deploy blue and green behind one endpoint, score with a key, split, mirror, rotate.
# It keeps its own registry in a temporary folder and leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")"
home=$(mktemp -d "${TMPDIR:-/tmp}/mlctl-demo.XXXXXX")
export MLCTL_HOME="$home"
finish() {
  mlctl daemon stop || true
  rm -rf "$home"
}
trap finish EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
key() { mlctl endpoint get-credentials -n fraud-endpoint --query "$1Key" -o tsv; }
send() { key "$1" | python client.py "$uri" - "$2"; }

step "1. Train two models on 8,000 payments"
run python train.py

step "2. Register them, and the environment they run in"
run mlctl model create -n fraud-model -v 3 -p model-blue -o none
run mlctl model create -n fraud-model -v 4 -p model-green -o none
run mlctl environment create -f environment.yml -o none

step "3. An endpoint, and blue behind it with all the traffic"
run mlctl endpoint create -f endpoint.yml -o none
run mlctl deployment create -f blue.yml --all-traffic -o none
uri=$(mlctl endpoint show -n fraud-endpoint --query scoring_uri -o tsv)
echo "scoring_uri: $uri"

step "4. Score two payments: with the key 200, without it 401"
send primary 1
echo "no such key" | python client.py "$uri" - 1
run mlctl endpoint invoke -n fraud-endpoint --request-file request.json -o tsv

step "5. Green beside blue, 10 % of the traffic; 1,000 requests show where it goes"
run mlctl deployment create -f green.yml -o none
run mlctl endpoint update -n fraud-endpoint --traffic "blue=90 green=10" -o none
send primary 1000

step "6. All traffic back to blue, half of it mirrored to green: green's answers reach nobody"
run mlctl endpoint update -n fraud-endpoint --traffic "blue=100" --mirror-traffic "green=50" -o none
seen() { mlctl deployment get-logs -n green -e fraud-endpoint | grep -c "POST /score" || true; }
before=$(seen)
send primary 1000
# Mirrored requests may still be on their way, and the log is written in small batches.
after=$(seen)
while last=$after; after=$(seen); [ "$after" -ne "$last" ]; do :; done
echo "   and green saw $((after - before)) copies"

step "7. Rotate the primary key: the old one is refused at once, the secondary never noticed"
old=$(key primary)
run mlctl endpoint regenerate-keys -n fraud-endpoint --key-type primary
echo "$old" | python client.py "$uri" - 1
send secondary 1
send primary 1

step "8. Where everything stands"
run mlctl endpoint show -n fraud-endpoint

step "9. Clean up"
run mlctl endpoint delete -n fraud-endpoint --yes
printf '\n✔ mlctl served %s\n' "$uri"
