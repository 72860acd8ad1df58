"""Look at an answer to request.json, from stdin: two classes, and probabilities that add up to 1."""

import json
import math
import sys

answer = json.load(sys.stdin)
sums = [sum(row) for row in answer["probability"]]
if len(answer["prediction"]) != 2 or not all(math.isclose(each, 1) for each in sums):
    raise SystemExit(f"stop: the new deployment answers {answer}")
print(f"go on: the new deployment answers {answer['prediction']}")
