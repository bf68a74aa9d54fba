"""The JSON Schema of the state head."""

import dataclasses

from segctl.core.approval import ApprovalUse
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.manifests.desired import Lifecycle
from segctl.manifests.limits import Guards
from segctl.render import json_schema as js
from segctl.render import schema_parts as parts
from segctl.render.json_schema import Schema
from segctl.state import codec as state_codec
from segctl.state.model import FileRef, MemberSet, Pairs, SegmentRecord, State, Tombstone
from segctl.state.restrictions import Restriction, RestrictionKey
from segctl.state.shapes import Shapes


def state_schema() -> Schema:
    """Return the schema of the state head, ``segctl.state.json``, in its current format."""
    fields = {
        "version": {
            "const": state_codec.VERSION,
            "description": "The format. An older segctl refuses a newer format.",
        },
        "segctl_version": parts.WRITER,
        "checksum": js.text(
            "The SHA-256 of the rest as JSON with sorted keys and without white space.",
            pattern="^[0-9a-f]{64}$",
        ),
        **js.dataclass_fields(
            State,
            {
                "lineage": "The id of the history.",
                "serial": "The version of the state within its history.",
                "revision": "Counts every head that was written.",
                "account": "The account of CleverTap; null before the first apply.",
                "host": "The host of the service; null before the first apply.",
                "segments": "The recorded segments by address.",
                "tombstones": "Destroyed segments, whose shells are still in CleverTap.",
                "folded": "The id of the last journal that was merged.",
                "unfinished": "The digest of a plan that was applied in part.",
                "sources": "Row counts of sources by fingerprint.",
                "rules": "Fingerprints of rules that are known to hold.",
                "restrictions": "Sources that take members away, as of the last apply.",
                "applied": "The digest of the last plan that was applied completely.",
                "approvals": "What was sent on the approval of a plan, by its digest.",
                "usage": "What was sent in each calendar month, oldest first.",
                "sealed_with": "The id of the key that the files are encrypted with.",
                "member_key": "The secret key of the hashes that name members, 64 hexadecimal "
                "digits. With it and a list of user keys, hashes can be undone.",
            },
        ),
    }
    optional = tuple(f.name for f in dataclasses.fields(State) if f.metadata.get("optional"))
    return js.document(
        "state",
        "segctl state head",
        f"segctl.state.json in format {state_codec.VERSION}, as `segctl state pull` prints it. It "
        "is private: it has hashes of user keys, and the key of those that name members, though no "
        "user key. A release may add fields that it leaves out when they are empty; a reader "
        "ignores those that it does not know. "
        "Anything else raises version. segctl itself refuses unknown fields: do not add any.",
        js.record("", fields, optional=optional),
        _state_definitions(),
    )


def _state_definitions() -> dict[str, Schema]:
    return {
        "SegmentRecord": js.stored_record(
            SegmentRecord,
            "What is recorded of one segment.",
            {
                "customer_segment_id": "The id that requests use; null if it has none.",
                "ct_segment_id": "CleverTap's own id, if it is known.",
                "declared_name": "The name in the manifest.",
                "remote_name": "The name that the segment was created with.",
                "created": "False if its create got no trustworthy answer.",
                "missing": "True if CleverTap does not find it; nothing is sent to it.",
                "managed": "False if its members are left as they are.",
                "labels": "The labels of the manifest.",
                "guards": "Limits on what one plan may change.",
                "lifecycle": "What happens if the manifest is removed.",
                "members": "The recorded members.",
                "pairs": "Changes that are uncertain or were refused.",
                "basis": "A set of members that the sources produced.",
                "shapes": "How many members have each shape, if a guard needs that.",
            },
        ),
        "Tombstone": js.stored_record(
            Tombstone,
            "A destroyed segment.",
            {
                "address": "The address that it had.",
                "record": "What is recorded of it.",
                "destroyed_at": f"When, {parts.SECONDS_1970}.",
            },
        ),
        "MemberSet": js.stored_record(
            MemberSet,
            "The members of a segment, in files.",
            {
                "digest": "The number of members, a colon, and the hash of the set.",
                "base": "A Parquet file with a whole set; null for an empty one.",
                "changes": "Parquet files with changes, in the order in which they apply.",
            },
        ),
        "FileRef": js.stored_record(
            FileRef,
            "A file of the state.",
            {
                "name": "Its name: the SHA-256 of its bytes, perhaps an id, and its format.",
                "rows": "The number of its rows.",
                "bytes": "Its size in bytes.",
            },
        ),
        "Pairs": js.stored_record(
            Pairs,
            "Membership changes without a clear result.",
            {
                "file": "The Parquet file that has them; null if there are none.",
                "uncertain": "Changes without a trustworthy answer.",
                "refused": "Changes that CleverTap refused.",
            },
        ),
        **_stored_guards(),
        "ApprovalUse": js.stored_record(
            ApprovalUse,
            "What was sent on the approval of a plan.",
            {
                "at": f"The last time, {parts.SECONDS_1970}.",
                "finished": "Whether it cannot be used again.",
                "beyond": "Changes beyond the approved plan, by action and segment.",
            },
        ),
        "MonthUsage": parts.month(),
        "Shapes": js.stored_record(
            Shapes,
            "How many members have each shape.",
            {
                "members": "The digest of the set that was counted.",
                "counts": "Members by shape.",
            },
        ),
        "Basis": js.stored_record(
            Basis,
            "The fact that sources produce a set of members.",
            {
                "sources": "The fingerprint of the sources.",
                "members": "The digest of the set.",
                "held_out": "Users left out by the hold-out.",
                "suppressed": "Users left out by a suppression list.",
            },
        ),
        "SourceCounts": js.stored_record(
            SourceCounts,
            "Row counts of a source.",
            {
                "rows": "Its rows.",
                "duplicates": "Rows that repeat another.",
                "invalid": "Invalid rows by problem.",
                "others": "Rows of segment values that are not declared.",
                "case_variants": "Values that differ from another one only in case.",
                "case_share": "One in so many of them was looked at; 1 if all were.",
                "header_lines": "Files whose first line looks like a header.",
            },
        ),
        "Restriction": js.stored_record(
            Restriction,
            "A source that takes members away.",
            {
                "key": "Which source it is.",
                "rows": "Its distinct valid rows.",
                "matched": "Those of them that are in the segments' sources; null if unknown.",
                "sample": "Hashes of matched users.",
                "similar": "Members that differ from one of its values only in form.",
                "listed": "Hashes of its values, joined.",
                "forms": "The forms in which values were compared.",
            },
        ),
        "RestrictionKey": js.stored_record(
            RestrictionKey,
            "Which source it is.",
            {
                "role": "What it does.",
                "segments": "The addresses that it restricts; none for suppress: all.",
                "name": "Its path, table or command.",
            },
        ),
    }


def _stored_guards() -> dict[str, Schema]:
    descriptions = {
        name: schema["description"] for name, schema in (parts.GUARDS | parts.LIFECYCLE).items()
    }
    return {
        "Guards": js.stored_record(Guards, "Limits on what one plan may change.", descriptions),
        "Lifecycle": js.stored_record(
            Lifecycle, "What happens if the manifest is removed.", descriptions
        ),
    }
