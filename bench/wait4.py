"""Runs one command, its output thrown away, and prints what it cost: `wait4.py COMMAND ARGUMENT...`.

Node cannot ask for a child's resource usage. The peak counts this small interpreter too (about 10 MiB), as the
kernel carries a process's peak over exec.
"""

import json
import os
import sys
import time

null = os.open("/dev/null", os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
start = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(pid, 0)
elapsed = time.monotonic() - start
json.dump(
    {
        "exit": os.waitstatus_to_exitcode(status),
        "elapsed": elapsed,
        "user": usage.ru_utime,
        "sys": usage.ru_stime,
        "rss": usage.ru_maxrss * 1024,
    },
    sys.stdout,
)
