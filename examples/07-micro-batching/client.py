"""Send 3,200 requests over 32 connections to a deployment, and check that each got the answer to its own row.

URI=... KEY=... python client.py DEPLOYMENT
"""

import http.client
import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

CONNECTIONS = 32
REQUESTS_EACH = 100


def main() -> None:
    deployment = sys.argv[1]
    # One after the other first: nothing is joined then.
    alone = [answer for number in range(CONNECTIONS) for answer in send(deployment, number, 1)]
    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = list(pool.map(send, [deployment] * CONNECTIONS, range(CONNECTIONS), [REQUESTS_EACH] * CONNECTIONS))
    took_s = time.perf_counter() - began
    right = sum(is_same(answer, alone[number]) for number, own in enumerate(answers) for answer in own)
    count = CONNECTIONS * REQUESTS_EACH
    print(f"{deployment}: {right:,} of {count:,} answers right, {count / took_s:,.0f} requests/s")
    if right != count:
        raise SystemExit("some answers were wrong")


def is_same(one: bytes, other: bytes) -> bool:
    """Compare answers: a model may add up the numbers of many rows in another order, which shows in the last digit."""
    one_scored, other_scored = json.loads(one), json.loads(other)
    pairs = zip(one_scored["probability"][0], other_scored["probability"][0], strict=True)
    is_close = all(math.isclose(value, own, rel_tol=1e-9, abs_tol=1e-12) for value, own in pairs)
    return is_close and one_scored["prediction"] == other_scored["prediction"]


def send(deployment: str, number: int, count: int) -> list[bytes]:
    """Send a connection's own row, count times, and return the answers."""
    uri = urlsplit(os.environ["URI"])
    headers = {
        "Authorization": f"Bearer {os.environ['KEY']}",
        "Content-Type": "application/json",
        # Whatever the traffic is.
        "azureml-model-deployment": deployment,
    }
    body = json.dumps({"data": [[10.0 * number, 14, 3.2, 1200, 2, 1]]})
    connection = http.client.HTTPConnection(uri.netloc, timeout=10)
    answers: list[bytes] = []
    for _ in range(count):
        connection.request("POST", uri.path, body, headers)
        answers.append(connection.getresponse().read())
    connection.close()
    return answers


if __name__ == "__main__":
    main()
