"""Ten full runs, a day apart, beside what real maintenance of Kopia did to the same repository."""

from typing import Any

import pytest

from tests.format.index_support import load
from tests.maintenance.scene import Scene, data

TIMELINES = load("maintenance_timeline.json")
PACK_SIZE = 10 << 20
STARVED = "unused in short pack"
"""Contents that Kopia makes young again and again; here they go with the others."""


def name(case: dict[str, Any]) -> str:
    growing = "-growing" if case["oneNewShortPackPerDay"] else ""
    return f"v{case['formatVersion']}-{case['shortDataPacks']}-short{growing}"


@pytest.mark.parametrize("case", TIMELINES, ids=name)
def test_contents_go_when_those_of_kopia_go_or_sooner(case: dict[str, Any]) -> None:
    with Scene(version=case["formatVersion"], max_pack_size=PACK_SIZE) as scene:
        contents, used = {}, []
        for number in range(case["shortDataPacks"]):
            pair = scene.write(data(100, 2 * number), data(100, 2 * number + 1))
            contents[f"used in short pack {number}"], contents[f"unused in short pack {number}"] = pair
            used.append(pair[0])
        contents["unused alone in a pack above the short threshold"] = scene.write(data(7 << 20))[0]
        scene.snapshot(used)
        assert case["days"][0]["hour"] == 0
        hour = 0
        for run, day in enumerate(case["days"][1:], 1):
            scene.clock.advance(hours=day["hour"] - hour)
            hour = day["hour"]
            result = scene.maintain()
            assert sorted(report.task for report in result.tasks if report.statistics) == day["tasksRun"], day["what"]
            for expected in day["contents"]:
                state = scene.state(contents[expected["name"]])
                if expected["name"].startswith(STARVED) and run >= 3:
                    assert state == "absent"
                else:
                    assert state == expected["state"], (day["what"], expected["name"])
            if case["oneNewShortPackPerDay"]:
                used += scene.write(data(100, 1000 + run))
                scene.snapshot(used)
        assert len(scene.blobs("p")) <= case["days"][-1]["pPacks"]
