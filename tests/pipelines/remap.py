"""Does to each line of stdin what Vector's `remap` does with the program given.

Writes an event a line, as JSON, with the timestamp in nanoseconds besides, for
which Python's own type has no room.
"""

import json
import sys

from pyvrl import Transform

with open(sys.argv[1], encoding="utf-8") as file:
    program = file.read()
program += '\n.nanoseconds = to_unix_timestamp(.timestamp, unit: "nanoseconds")\n.'
transform = Transform(program)
sys.stdin.reconfigure(encoding="utf-8")
for line in sys.stdin:
    event = transform.remap({"message": line.rstrip("\n")})
    print(json.dumps(event, default=str))
