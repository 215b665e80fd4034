"""Every rule of the contract, and every line of VolSync's documentation that the operator keeps, is named by a test.

A rule is named by a test in memory and by one on a real API server; a line of the documentation by one on a real API server.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
CLUSTER = HERE.parent / "k8s"

RULES = {
    *(f"O-00{number}" for number in range(1, 6)),
    "O-010",
    *(f"O-04{number}" for number in range(6)),
    "O-060",
    "O-070",
    "O-071",
    "O-072",
    *(f"O-08{number}" for number in range(6)),
    "O-090",
    "O-091",
    "O-092",
    "O-100",
}

ROWS = {
    1: "a source defines target, frequency and retention; a destination restores",
    12: "one Secret serves sources and destinations",
    15: "every key of the Secret reaches the mover",
    105: "the main example leads to a backup",
    106: "sourcePVC names the volume",
    109: "maintenanceIntervalDays: 7 maintains about every 7 days",
    110: "the Secret is one of the same namespace",
    115: "parallelism is passed on, default 1",
    116: "copyMethod Clone backs up a clone",
    117: "storageClassName of the copy, default that of the source",
    118: "volumeSnapshotClassName, default the cluster's",
    119: "sourcePathOverride is optional",
    120: "accessModes and capacity of the copy, defaults from the source",
    121: "copyMethod Direct, Clone and Snapshot",
    125: "cacheCapacity, default 1Gi",
    126: "class of the cache: own, then storageClassName, then the source's",
    127: "modes of the cache: own, then accessModes, then the source's",
    128: "customCA from a Secret or a ConfigMap is used",
    129: "a longer interval means fewer runs of maintenance",
    133: "sourcePathOverride must be absolute",
    137: "an override works with every copy method",
    139: "user and host come from namespace and name",
    146: "a relative override is refused with a message",
    147: "a destination has no override",
    157: "a restore into an empty volume",
    158: "a manual trigger restores once a value",
    159: "destinationPVC is used, and no volume is made",
    160: "copyMethod Direct makes no snapshot of the volume",
    161: "a destination can be deleted, the volume stays",
    163: "a destination without an identity finds the only backup",
    165: "options of a destination's volume",
    166: "copyMethod Snapshot makes an image",
    167: "options of a destination's cache, with the same defaults",
    168: "cleanupCachePVC deletes the cache after the restore",
    169: "the cache goes with its destination",
    170: "cleanupCachePVC is false by default",
    171: "customCA of a destination",
    172: "the repository of a destination is a Secret of the same namespace",
    175: "restoreAsOf needs its T",
    176: "shallow is not negative",
    181: "customCA from a Secret",
    182: "customCA from a ConfigMap",
    183: "customCA of both kinds of objects",
    185: "a missing Secret, ConfigMap or key is named",
    198: "the log is read through the Job's Pod",
    201: "a larger cacheCapacity is taken up",
    202: "class and modes of the cache can be set",
    203: "their order of precedence",
    204: "their defaults come from the source",
    207: "moverResources reach the container",
    218: "maintenanceIntervalDays: 3",
    219: "lastMaintenance is the last run that succeeded, and only that",
    222: "the interval is a source's own",
    226: "a ConfigMap or a Secret of policies, not both",
    227: "globalPolicyFilename",
    228: "repositoryConfigFilename",
    229: "policyConfig of sources and destinations",
    230: "policies from a ConfigMap and from a Secret mean the same",
    231: "a missing object of policies is named with its namespace",
    275: "the example app-backup-with-policies",
    277: "the example database-backup",
    278: "the example restore-with-policies",
    279: "the example mysql-backup",
    280: "the example postgres-backup",
    281: "credentials are in no log, event, status or metric",
    283: "objects of policies are only read",
    286: "changed credentials take effect at the next run",
    295: "objects without policies work beside those with them",
    296: "the default of the cache is 1Gi",
    297: "a destination's cache takes its defaults from the destination's volume",
}
"""What the documentation promises and the operator has to do, by the number of the row in our list of it."""


def all_tests(folder: Path) -> list[tuple[str, str]]:
    """Return the names of the tests of a folder, and their docstrings."""
    return [
        (node.name, ast.get_docstring(node) or "")
        for path in sorted(folder.glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def rules_named(folder: Path) -> set[str]:
    """Return the rules that the tests of a folder name."""
    found: set[str] = set()
    for name, text in all_tests(folder):
        found |= {f"O-{number}" for number in re.findall(r"(?<![a-z])o_(\d{3})", name) + re.findall(r"O-(\d{3})", text)}
    return found


def rows_of(name: str) -> set[int]:
    """Return the rows that a test names.

    >>> sorted(rows_of("test_rows_1_105_and_more")), sorted(rows_of("test_rows_157_to_159_x"))
    ([1, 105], [157, 158, 159])
    """
    match = re.match(r"test_rows?_((?:\d+_(?:to_(?=\d))?)+)", name)
    if not match:
        return set()
    text, found = match.group(1), set()
    for low, high in re.findall(r"(\d+)_to_(\d+)", text):
        found |= set(range(int(low), int(high) + 1))
    return found | {int(number) for number in re.findall(r"\d+", text)}


def test_every_rule_has_a_test_in_memory() -> None:
    assert sorted(RULES - rules_named(HERE)) == []


def test_every_rule_has_a_test_on_a_real_api_server() -> None:
    assert sorted(RULES - rules_named(CLUSTER)) == []


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    assert sorted((rules_named(HERE) | rules_named(CLUSTER)) - RULES) == []


def test_every_row_has_a_test_on_a_real_api_server() -> None:
    named = {row for name, _ in all_tests(CLUSTER) for row in rows_of(name)}
    assert sorted(ROWS.keys() - named) == []
