# What the demos share: a registry of their own in a temporary folder that is gone in the end, and a few short words.
# Sourced by each demo.sh. Needed: mlctl and a python with scikit-learn in the PATH (`make setup`, then .venv/bin).
home=$(mktemp -d "${TMPDIR:-/tmp}/mlctl-demo.XXXXXX")
export MLCTL_HOME="$home"
finish() {
  mlctl daemon stop || true
  rm -rf "$home"
}
trap finish EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# score ENDPOINT BODY: send a body and print the answer, also where it is a refusal.
score() {
  printf '%s' "$2" > "$home/body.json"
  printf '> %s\n' "$(cut -c1-100 "$home/body.json")"
  mlctl endpoint invoke -n "$1" --request-file "$home/body.json" -o tsv || true
}

# logged ENDPOINT PATTERN: print the lines of blue's log that match, once there are any (they are written in batches).
logged() {
  until mlctl deployment get-logs -n blue -e "$1" --lines 500 | grep "$2"; do :; done
}

# address ENDPOINT: put the scoring_uri and the key where the clients look, which is not the command line.
address() {
  URI=$(mlctl endpoint show -n "$1" --query scoring_uri -o tsv)
  KEY=$(mlctl endpoint get-credentials -n "$1" --query primaryKey -o tsv)
  export URI KEY
}
