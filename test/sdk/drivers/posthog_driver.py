"""posthog for Python, 7.x and 3.x; PYTHONPATH says which. See README.md beside this file."""

import json
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

import posthog

host, key, variant, situation, seed = sys.argv[1:6]
is_old = posthog.VERSION.startswith("3.")
LOT = 25
base = datetime.now(timezone.utc).replace(microsecond=123000) - timedelta(days=1)


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


options = {
    "host": host,
    "on_error": lambda error, items: say({"failed": len(items), "because": str(error)}),
}
if variant.startswith("gzip"):
    options["gzip"] = True
if variant == "v1":
    options["capture_mode"] = "v1"
if variant == "v1 gzip":
    options.update(capture_mode="v1", capture_compression="gzip")
if is_old:
    # Its pauses are random between 0 and 1, 2, 4 s, so that three retries may end within a second.
    options["max_retries"] = 10
client = posthog.Client(key, **options) if is_old else posthog.Posthog(key, **options)


def claim(event, distinct_id, properties, chosen):
    timestamp = chosen.get("timestamp")
    say(
        {
            "claim": {
                "event": event,
                "distinct_id": distinct_id,
                "uuid": chosen.get("uuid"),
                "timestamp": timestamp.isoformat() if timestamp else None,
                "properties": properties,
            }
        }
    )


def chosen_for(n):
    if n % 2 and n >= 0:
        return {}
    return {"uuid": str(uuid.uuid4()), "timestamp": base + timedelta(milliseconds=1001 * n)}


def capture(event, distinct_id, properties, groups=None):
    chosen = chosen_for(properties["n"])
    # A copy: the SDK may add its own properties to the object that it is given.
    extra = dict(chosen, groups=groups) if groups else dict(chosen)
    if is_old:
        client.capture(distinct_id, event, dict(properties), **extra)
    else:
        chosen["uuid"] = client.capture(event, distinct_id=distinct_id, properties=dict(properties), **extra)
    claim(event, distinct_id, dict(properties, **({"$groups": groups} if groups else {})), chosen)


capture(
    "sdk rich",
    f"{seed}-ann",
    {
        "n": -1,
        "$ignore_sent_at": True,
        "text": 'naïve 日本語 😀 "quoted" back\\slash \n line\ttab \u2028',
        "empty": "",
        "yes": True,
        "no": False,
        "nothing": None,
        "zero": 0,
        "integer": -42,
        "largest": 9223372036854775807,
        "smallest": -9223372036854775808,
        "odd": 9007199254740993,
        "float": 1.5,
        "third": 1 / 3,
        "tiny": 1e-7,
        "nested": {"list": [1, "two", None, {"three": [True, 0.25]}], "empty": {}, "none": [], "a.b c": "x"},
        "ключ": "значение",
    },
)
person = {"email": "ann@example.com", "age": 41}
if is_old:
    client.identify(f"{seed}-ann", dict(person))
    claim("$identify", f"{seed}-ann", {"$set": person}, {})
else:
    client.set(distinct_id=f"{seed}-ann", properties=dict(person))
    claim("$set", f"{seed}-ann", {"$set": person}, {})
client.alias(f"{seed}-anonymous", f"{seed}-ann")
claim("$create_alias", f"{seed}-anonymous", {"distinct_id": f"{seed}-anonymous", "alias": f"{seed}-ann"}, {})
client.group_identify("company", f"{seed}-acme", {"size": 7}, distinct_id=f"{seed}-ann")
claim(
    "$groupidentify",
    f"{seed}-ann",
    {"$group_type": "company", "$group_key": f"{seed}-acme", "$group_set": {"size": 7}},
    {},
)
capture("événement 😀", f"{seed}-ünï😀", {"n": -2}, {"company": f"{seed}-acme"})
for n in range(250):
    if n == 4 * LOT:
        say({"half": True})
    if n == 8 * LOT:
        sys.stdin.readline()
    capture("sdk burst", f"{seed}-{n}", {"n": n, "text": "é😀"})
    if n % LOT == LOT - 1:
        time.sleep(0.06)
client.shutdown()
say({"done": True})
