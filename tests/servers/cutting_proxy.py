"""A proxy that cuts connections where a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["CUTS", "Proxy"]

CUTS = ("before", "after", "answered")


class Proxy:
    """Passes bytes to a server, and cuts a connection when told to.

    Armed, it cuts the connection on which the next request holding `words` comes: ``before`` the server got it,
    ``after``, or once the server has ``answered``, which the client never sees.
    """

    def __init__(self, host, port):
        self._target = (host, port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._armed = None
        self.cuts = 0
        self._mutex = threading.Lock()
        self._muted = {}
        self._open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut, words=b""):
        self._armed = (cut, words)

    def close(self):
        self._door.close()
        for end in [*self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                client, _ = self._door.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._open |= {client, server}
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        answers = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
        answers.start()
        self._pass(client, server, True)
        answers.join()
        self._open -= {client, server}
        client.close()
        server.close()

    def _pass(self, source, target, asking):
        try:
            while data := source.recv(65536):
                with self._mutex:
                    cut = self._armed[0] if asking and self._armed and self._armed[1] in data else None
                    if cut is not None:
                        self._armed = None
                        self.cuts += 1
                        self._muted[target] = threading.Event()
                if cut == "before" or source in self._muted:
                    break
                target.sendall(data)
                if cut == "answered":
                    self._muted[target].wait(5)
                if cut is not None:
                    break
        except OSError:
            pass
        finally:
            if source in self._muted:
                self._muted[source].set()
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
