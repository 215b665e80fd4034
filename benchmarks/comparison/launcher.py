"""Runs one command and writes what it cost as JSON to the file descriptor that its first argument names.

It is a small process of its own because Linux counts the memory of the process that starts a program into the program's
peak: started from here, every tool has the same floor of some 10 MB.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command after the first argument."""
    report = int(sys.argv[1])
    begin = time.perf_counter_ns()
    pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall_ns = time.perf_counter_ns() - begin
    cost = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_seconds": wall_ns / 1e9,
        "user_seconds": usage.ru_utime,
        "system_seconds": usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }
    os.write(report, json.dumps(cost).encode())


if __name__ == "__main__":
    main()
