"""Asking a guardian something from another process, without an event loop."""

from __future__ import annotations

import socket
from pathlib import Path

from agent.guardian.alive import lives
from agent.guardian.desk import MAX_LINE, WRONG_TOKEN, Answer, decode_answer, encode_request
from agent.guardian.statefile import read_report

HOST = "127.0.0.1"
ASK_TIMEOUT_S = 2.0


def ask(path: Path, question: str, **more: object) -> Answer | None:
    """The guardian's answer, or None if none runs.

    Args:
        path: its state file.
        question: one of ``desk.ASKABLE``.
        more: what belongs to the question.

    Raises:
        ValueError: the file cannot be read or is damaged.
        OSError: the guardian is alive and does not answer in time.
    """
    report = read_report(path)
    if report is None or lives(path) is False:
        return None
    try:
        request = encode_request(question, report.token, **more)
        answer = decode_answer(_exchange(report.port, request))
    except (ConnectionError, ValueError):
        # The guardian starts or ends just now; the port may be anybody's.
        return None
    except OSError:
        # It hangs; or a stranger was silent at the port of one that is dead or has a successor.
        if lives(path) and read_report(path) == report:
            raise
        return None
    return None if answer.reason == WRONG_TOKEN else answer


def _exchange(port: int, request: bytes) -> bytes:
    connection = socket.create_connection((HOST, port), timeout=ASK_TIMEOUT_S)
    with connection, connection.makefile("rb") as answers:
        connection.sendall(request)
        return answers.readline(MAX_LINE)
