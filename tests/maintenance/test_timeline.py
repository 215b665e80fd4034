"""Ten full runs, a day apart, beside what real maintenance of Kopia did to the same repository."""

from typing import Any

import pytest

from pykopia.format import maintenance_plan as plan
from pykopia.format.maintenance_plan import FULL_DELETE, FULL_REWRITE
from pykopia.format.maintenance_schedule import TaskRun
from pykopia.maintenance import cycle
from pykopia.maintenance.snapshot_gc import collect_garbage
from pykopia.maintenance.stored import change_schedule
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


@pytest.mark.parametrize("moved", [False, True])
def test_no_pack_is_deleted_after_another_program_has_moved_contents_meanwhile(
    moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scene() as scene:
        used, _ = scene.write(data(10), data(20))
        scene.snapshot([used])
        for _ in range(3):
            scene.clock.advance(days=2)
            scene.maintain()
        scene.clock.advance(days=2)

        def collected(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
            if moved:  # as Kopia does, which knows nothing of the lease
                now = scene.clock.now_ns
                run = TaskRun(start_ns=now, end_ns=now, success=True)
                change_schedule(scene.repository, lambda schedule: schedule.with_run(FULL_REWRITE, run))
            return collect_garbage(*arguments, **more)

        monkeypatch.setattr(cycle, "collect_garbage", collected)
        # nothing else that this run records has it read the schedule anew
        monkeypatch.setattr(plan, "may_rewrite", lambda *_: False)
        monkeypatch.setattr(plan, "safe_drop_time", lambda *_, **__: None)
        (deletion,) = [each for each in scene.maintain().tasks if each.task == FULL_DELETE]
        assert ("just been moved" in deletion.left_out) == moved
        assert (deletion.statistics is None) == moved
