"""Send 20,000 payments and read the answer line by line while it is still being made.

URI=... KEY=... python client.py
"""

import json
import os
import time

import requests

ROW = [42.5, 14, 3.2, 1200, 2, 1]
ROWS = 20_000


def main() -> None:
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
    body = json.dumps({"data": [ROW] * ROWS})
    scored, first_ms = 0, 0.0
    began = time.perf_counter()
    with requests.post(os.environ["URI"], data=body, headers=headers, stream=True, timeout=10) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines(chunk_size=None):
            first_ms = first_ms or (time.perf_counter() - began) * 1000
            scored += len(json.loads(line)["probability"])
    last_ms = (time.perf_counter() - began) * 1000
    print(f"{scored:,} rows scored; first line after {first_ms:.0f} ms, last after {last_ms:.0f} ms")
    # A stream that breaks off keeps its status 200: only the count tells.
    if scored != ROWS:
        raise SystemExit("the answer was cut short")


if __name__ == "__main__":
    main()
