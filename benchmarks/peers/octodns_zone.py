"""The same members as DNS records: a zone with one TXT record each, for octoDNS to plan.

Both zones are YAML, read by octoDNS's own provider, so no network is involved.  The check
of the order of names is off: it costs time, and segctl has no such check.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

from benchmarks.peers.python_sets import read

ZONE = "members.test."
CONFIG = """\
providers:
  desired: {class: octodns.provider.yaml.YamlProvider, directory: ./desired, enforce_order: false}
  recorded: {class: octodns.provider.yaml.YamlProvider, directory: ./recorded, enforce_order: false}
zones:
  members.test.: {sources: [desired], targets: [recorded]}
"""


def record(identity: str) -> str:
    """Return a member's record. Its name is derived from the key, which is not a valid DNS name."""
    name = sha256(identity.encode()).hexdigest()[:24]
    return f"{name}: {{type: TXT, ttl: 300, value: {json.dumps(identity, ensure_ascii=False)}}}\n"


def main() -> None:
    folder = Path(sys.argv[1])
    for side, path in zip(("recorded", "desired"), sys.argv[2:], strict=True):
        (folder / side).mkdir(parents=True, exist_ok=True)
        with (folder / side / f"{ZONE}yaml").open("w", encoding="utf-8") as zone:
            zone.write("---\n")
            zone.writelines(record(identity) for identity in sorted(read(path)))
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")


if __name__ == "__main__":
    main()
