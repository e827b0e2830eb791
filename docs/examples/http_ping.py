#!/usr/bin/env python3
"""A job type for Weir: a page must answer well several times in a row.

Copy this file into the plugins folder and make it executable. A flow then says:

    jobs:
      steady:
        uses: http.ping
        with: { url: "http://10.0.0.5:8080/health", times: 5 }
        timeout: 2m

It needs nothing but Python's standard library. docs/external-job-types.md explains the messages.
"""

import json
import select
import sys
import time
import urllib.error
import urllib.request


class Refused(Exception):
    """Something that can't be done. `kind` is one of Weir's classes of failure."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def describe(params):
    return {
        "name": "http.ping",
        "about": "Waits until a page answers well several times in a row.",
        # It waits and works on nothing, so it takes no slot. The default is "work".
        "nature": "waits",
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "required": ["url"],
            "properties": {
                "url": {
                    "type": "string",
                    "description": "The page.",
                    "examples": ["http://10.0.0.5:8080/health"],
                },
                "times": {
                    "type": "integer",
                    "minimum": 1,
                    "default": 3,
                    "description": "How often in a row it must answer with a status from 200 to 299.",
                },
                "pause": {
                    "type": "number",
                    "minimum": 0,
                    "default": 1,
                    "description": "Seconds between two looks.",
                },
                "token": {
                    "type": "string",
                    "description": "Sent as a bearer token.",
                    "examples": ["{{ secret('ping_token') }}"],
                },
            },
        },
    }


def plan(params):
    settings = params["with"]
    return {"steps": [f"GET {settings['url']} until it answers well {settings.get('times', 3)} times in a row"]}


def start(params):
    settings = params["with"]
    if not settings["url"].startswith(("http://", "https://")):
        raise Refused("definition", f"`{settings['url']}` is no URL of a page")
    # Nothing has to be begun here. A type that begins something elsewhere would look for work marked with
    # params["context"]["attempt"] first, and mark what it begins with it: start may be called twice.
    return {"handle": json.dumps({"begun": time.time()})}


def follow(params):
    settings = params["with"]
    # All that a restart must not lose is in the handle.
    begun = json.loads(params["handle"])["begun"]
    in_a_row, looks = 0, 0
    while in_a_row < settings.get("times", 3):
        if looks > 0:
            pause(settings.get("pause", 1))
        looks += 1
        status = look(settings)
        well = isinstance(status, int) and 200 <= status <= 299
        in_a_row = in_a_row + 1 if well else 0
        log(f"{status}, {in_a_row} in a row")
    return {"kind": "done", "outputs": {"looks": looks, "seconds": round(time.time() - begun)}}


def cancel(params):
    # Nothing is left anywhere. Weir ends the process that follows.
    return {}


def look(settings):
    request = urllib.request.Request(settings["url"])
    if "token" in settings:
        request.add_header("Authorization", "Bearer " + settings["token"])
    try:
        with urllib.request.urlopen(request, timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def pause(seconds):
    """Sleeps, but leaves at once if Weir hangs up: then nobody waits for the answer any more."""
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    if readable:
        sys.exit(0)


def log(line):
    send({"jsonrpc": "2.0", "method": "log", "params": {"line": line}})


def send(message):
    print(json.dumps(message), flush=True)


METHODS = {"describe": describe, "plan": plan, "start": start, "follow": follow, "cancel": cancel}


def main():
    # One call, one process: read a line, answer it, leave.
    call = json.loads(sys.stdin.readline())
    answer = {"jsonrpc": "2.0", "id": call["id"]}
    try:
        answer["result"] = METHODS[call["method"]](call["params"])
    except KeyError as error:
        answer["error"] = {"code": -32601, "message": f"no {error}"}
    except Refused as error:
        answer["error"] = {"code": -32000, "message": str(error), "data": {"class": error.kind}}
    send(answer)


if __name__ == "__main__":
    main()
