"""Send requests to an endpoint as an application would, and count who answered.

    python client.py SCORING_URI KEY_FILE [COUNT]

KEY_FILE holds the key (`-`: standard input), so that it never stands in a process list.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path

import requests

BODY = (Path(__file__).parent / "request.json").read_bytes()


def main() -> int:
    uri, key_file = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    key = (sys.stdin.read() if key_file == "-" else Path(key_file).read_text()).strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    answered: collections.Counter[str] = collections.Counter()
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(count):
            answer = session.post(uri, data=BODY, headers=headers, timeout=10)
            name = answer.headers.get("azureml-model-deployment", "nobody")
            answered[f"{answer.status_code} from {name}" if answer.status_code == 200 else str(answer.status_code)] += 1
    for what, times in sorted(answered.items()):
        print(f"{times:>6,} × {what}")
    if count == 1 and answer.status_code == 200:
        scored = answer.json()
        rows = zip(scored["prediction"], scored["probability"], strict=True)
        print(json.dumps([{"fraud": bool(label), "probability": round(share[1], 3)} for label, share in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
