"""Tune the rules of the benchmark that have free numbers; prints the best sets of each.

python scripts/tune_rules.py closed_loop --candidates 40 --episodes 60
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np

from policies.trials.course import Course
from policies.trials.tuning import closed_loops, ladders, mean_actions, singles

FAMILIES = {"single": singles, "ladder": ladders, "closed_loop": closed_loops}
SHOWN = 5


def main() -> None:
    """Try the candidates of one family on the same episodes, the present numbers first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    course, rng = Course(), np.random.default_rng(arguments.seed)
    found = []
    for candidate in islice(FAMILIES[arguments.family](rng), arguments.candidates):
        found.append((mean_actions(course, candidate, arguments.episodes), candidate.numbers))
        print(f"{found[-1][0]:6.2f} actions  {dict(found[-1][1])}", flush=True)
    print("best:")
    for actions, numbers in sorted(found, key=lambda one: one[0])[:SHOWN]:
        print(f"{actions:6.2f} actions  {dict(numbers)}")


if __name__ == "__main__":
    main()
