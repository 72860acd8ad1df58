#!/usr/bin/env bash
# Train a model; if it is better than the one that serves, register and deploy it, try it, let it take over.
#   bash pipeline.sh BUILD KIND
# Each step is a command that says by its exit code whether the next one may follow: the first that fails ends it.
set -euo pipefail
build=$1 kind=$2
endpoint=train-and-promote
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mlctl job create -f train.yml --name "train-$build" --set "inputs.kind=$kind" --stream -o none
mlctl job download -n "train-$build" --output-name model --download-path "$folder"
trained="$folder/named-outputs/model"
auc=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["auc"])' "$trained/metrics.json")

# The champion's AUC is a tag of its model; with no champion, anything better than chance will do.
champion=$(mlctl model list --query "[?name=='fraud-model'] | [0].name" -o tsv)
if [ -n "$champion" ]; then champion=$(mlctl model show -n fraud-model --label latest --query tags.auc -o tsv); fi
python gate.py "$auc" "${champion:-0.5}"

version=$(mlctl model create -n fraud-model -p "$trained" --set "tags.auc=$auc" --query version -o tsv)
new="model-$version"
old=$(mlctl endpoint show -n "$endpoint" --query "keys(traffic)[0]" -o tsv)
mlctl deployment create -f deployment.yml --name "$new" --set "model=azureml:fraud-model:$version" -o none

# Nobody's requests reach it yet, but those that name it.
mlctl endpoint invoke -n "$endpoint" -d "$new" --request-file request.json -o tsv | python check_answer.py

# In earnest, look at the errors of the new one for a while between these two, and go back if there are too many.
if [ -n "$old" ]; then mlctl endpoint update -n "$endpoint" --traffic "$old=90 $new=10" -o none; fi
mlctl endpoint update -n "$endpoint" --traffic "$new=100" -o none
if [ -n "$old" ]; then mlctl deployment delete -n "$old" -e "$endpoint" --yes; fi
echo "$new serves"
