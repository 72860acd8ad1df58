"""Ask the endpoint for each row of a job's output, and compare: URI=... KEY=... python compare.py predictions.jsonl"""

import http.client
import json
import math
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FEATURES = ("amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present")


def main() -> None:
    uri = urlsplit(os.environ["URI"])
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(uri.netloc, timeout=10)
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    same = 0
    for row in rows:
        connection.request("POST", uri.path, json.dumps({"data": [[row[name] for name in FEATURES]]}), headers)
        same += is_same(row, json.loads(connection.getresponse().read()))
    print(f"{same:,} of {len(rows):,} rows: the endpoint says what the job says")
    if same != len(rows):
        raise SystemExit("some answers differ")


def is_same(row: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Compare a row of the output with the answer; sums of many rows at once may differ in their last digits."""
    pairs = zip(row["probability"], answer["probability"][0], strict=True)
    is_close = all(math.isclose(one, other, rel_tol=1e-9) for one, other in pairs)
    return is_close and row["prediction"] == answer["prediction"][0]


if __name__ == "__main__":
    main()
