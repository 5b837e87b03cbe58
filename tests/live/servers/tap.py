"""A recorder between illumine and a server: passes every byte on, and keeps a copy."""

import json
import socket
import threading


class Tap:
    """Listens on a port of its own and forwards each connection to a server."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.exchanges = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            exchange = {"sent": bytearray(), "got": bytearray()}
            self.exchanges.append(exchange)
            threading.Thread(target=self._carry, args=(client, exchange), daemon=True).start()

    def _carry(self, client, exchange):
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        up = threading.Thread(target=pump, args=(client, server, exchange["sent"]), daemon=True)
        up.start()
        pump(server, client, exchange["got"])
        up.join()
        client.close()
        server.close()

    def close(self):
        self.listener.close()

    def requests(self):
        """Every request with a JSON body so far: path, body, and the bytes of the answer."""
        found = []
        for exchange in list(self.exchanges):
            left = bytes(exchange["sent"])
            while b"\r\n\r\n" in left:
                head, _, left = left.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                named = (line.partition(":") for line in lines[1:])
                headers = {name.strip().lower(): value.strip() for name, _, value in named}
                length = int(headers.get("content-length", 0))
                body, left = left[:length], left[length:]
                if body:
                    found.append((lines[0].split(" ")[1], json.loads(body), bytes(exchange["got"])))
        return found


def pump(source, sink, copy):
    try:
        while chunk := source.recv(65536):
            copy += chunk
            sink.sendall(chunk)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
