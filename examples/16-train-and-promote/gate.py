"""Let a challenger pass that is better than the champion by more than chance: python gate.py CHALLENGER CHAMPION

Both are AUCs. Exit code 1 when it may not pass.
"""

import sys

MARGIN = 0.005

challenger, champion = map(float, sys.argv[1:])
if challenger < champion + MARGIN:
    raise SystemExit(f"stop: AUC {challenger:.4f} is not {MARGIN} above the champion's {champion:.4f}")
print(f"go on: AUC {challenger:.4f}, the champion has {champion:.4f}")
