"""What schemathesis is told of Baton beyond its document.

Ids of things that there are, so that requests get past "not found", and bounds on what would keep a request waiting or
leave processes behind: what is tried is the API, not how long a shell runs.
"""

import os

import schemathesis

SESSIONS = [id for id in os.environ["BATON_TEST_SESSIONS"].split(",") if id]
# Nothing that a random request could make of it does anything.
COMMAND = ["/bin/sleep", "300"]


@schemathesis.hook
def before_call(context, case, kwargs):
    parameters = case.path_parameters
    if isinstance(parameters, dict) and "session_id" in parameters:
        # Most, not all: unknown ones have an answer too. The choice is the generated value's, so that it can be repeated.
        pick = sum(str(parameters["session_id"]).encode("utf-8", "replace"))
        if pick % 8 != 0:
            parameters["session_id"] = SESSIONS[pick % len(SESSIONS)]
    if isinstance(case.query, dict) and "follow" in case.query:
        case.query["follow"] = "false"
    if isinstance(case.body, dict):
        path = case.operation.path
        if path == "/v1/upgrade" and case.body.get("part") in ("launcher", "sessiond", "bridge"):
            # It would replace the very processes that are asked.
            case.body["part"] = "worker"
        if path.endswith(("/wait", "/exec")):
            case.body["timeout_s"] = 0.2 if not isinstance(case.body.get("timeout_s"), str) else "x"
        if path == "/v1/terminal/sessions" and isinstance(case.body.get("command"), list) and case.body["command"]:
            case.body["command"] = COMMAND
        elif path == "/v1/terminal/sessions" and "command" not in case.body:
            case.body["command"] = COMMAND
        if path.endswith("/close"):
            # Its sessions are asked about until the end.
            case.path_parameters["session_id"] = SESSIONS[-1]
