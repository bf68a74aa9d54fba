"""deepdiff over the members of two CSV files, as keys of two dicts.

Of the forms it accepts (lists, sets, dicts), deepdiff compares this one fastest.
"""

import sys

from deepdiff import DeepDiff

from benchmarks.peers.python_sets import read


def main() -> None:
    recorded, desired = (dict.fromkeys(read(path), True) for path in sys.argv[1:])
    found = DeepDiff(recorded, desired)
    adds = found.get("dictionary_item_added", ())
    removes = found.get("dictionary_item_removed", ())
    print(f"add {len(adds)} remove {len(removes)}")


if __name__ == "__main__":
    main()
