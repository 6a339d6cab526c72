"""Lets in the viewers whose keys are known, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Set
from contextlib import suppress

import zmq
from zmq.auth import Authenticator

#: What ZeroMQ calls those who are asked about by this socket.
DOMAIN = "tipsmith"


class Doorkeeper:
    """Answers ZeroMQ's questions about who connects, in a thread: the control loop does not wait.

    It ends with its context. Where it has died, nobody new gets in: ``ZAP_ENFORCE_DOMAIN`` is on.

    Args:
        context: of the sockets that it keeps.
        viewers: the public keys that are let in.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], viewers: Set[bytes]) -> None:
        self._viewers = viewers
        self._book = Authenticator(context)
        self._book.configure_curve_callback(DOMAIN, self)
        self._book.start()
        threading.Thread(target=self._work, daemon=True, name="doorkeeper").start()

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether whoever has ``key`` may come in; ZeroMQ has made sure that it is theirs."""
        return key in self._viewers

    def keep(self, socket: zmq.Socket[bytes]) -> None:
        """Have ``socket``, which is not bound yet, ask here, and refuse all if nobody answers."""
        socket.setsockopt_string(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _work(self) -> None:
        try:
            with suppress(zmq.ContextTerminated):
                while True:
                    self._answer(self._book.zap_socket.recv_multipart())
        finally:
            self._book.stop()

    def _answer(self, question: list[bytes]) -> None:
        # Nothing in it waits, so it needs no event loop, which Windows would not have for it.
        with suppress(StopIteration):
            self._book.handle_zap_message(question).send(None)
