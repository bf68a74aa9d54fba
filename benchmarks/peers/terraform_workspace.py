"""The same members as Terraform resources that need no provider and no network.

``terraform_data`` is built in.  With ``each``, every member is a resource, which is how
Terraform can plan additions and removals.  With ``map``, one resource holds all members as
keys of one attribute, and Terraform plans one change and prints its differences (a map,
since in a list or a set every shifted line counts as changed).

The recorded state is written here, in the form that ``terraform apply`` writes:
Terraform's own time for that grows with the square of the members.
"""

import json
import sys
from pathlib import Path
from uuid import UUID

from benchmarks.peers.python_sets import read

EACH = """\
locals {
  members = jsondecode(file("${path.module}/members.json"))
}
resource "terraform_data" "member" {
  for_each = local.members
  input    = each.key
}
"""
MAP = """\
locals {
  members = jsondecode(file("${path.module}/members.json"))
}
resource "terraform_data" "segment" {
  input = local.members
}
"""


def each(members: list[str]) -> dict[str, object]:
    """Return the recorded resource with one instance per member."""
    instances = [
        {"index_key": member, **instance(number, member, "string")}
        for number, member in enumerate(members)
    ]
    return resource("member", instances)


def one_map(members: list[str]) -> dict[str, object]:
    """Return the recorded resource with all members in one attribute."""
    type_ = ["object", dict.fromkeys(members, "number")]
    return resource("segment", [instance(0, dict.fromkeys(members, 1), type_)])


def resource(name: str, instances: list[dict[str, object]]) -> dict[str, object]:
    return {
        "mode": "managed",
        "type": "terraform_data",
        "name": name,
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": instances,
    }


def instance(number: int, value: object, type_: object) -> dict[str, object]:
    held = {"value": value, "type": type_}
    return {
        "schema_version": 0,
        "attributes": {
            "id": str(UUID(int=number + 1)),
            "input": held,
            "output": held,
            "triggers_replace": None,
        },
        "sensitive_attributes": [],
    }


def main() -> None:
    how, folder = sys.argv[1], Path(sys.argv[2])
    recorded, desired = (sorted(read(path)) for path in sys.argv[3:])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.tf").write_text(EACH if how == "each" else MAP, encoding="utf-8")
    declared = json.dumps(dict.fromkeys(desired, 1))
    (folder / "members.json").write_text(declared, encoding="utf-8")
    state = {
        "version": 4,
        "terraform_version": "1.0.0",
        "serial": 1,
        "lineage": str(UUID(int=0)),
        "outputs": {},
        "resources": [each(recorded) if how == "each" else one_map(recorded)],
        "check_results": None,
    }
    (folder / "terraform.tfstate").write_text(json.dumps(state), encoding="utf-8")


if __name__ == "__main__":
    main()
