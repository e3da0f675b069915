"""
A webhook receiver: answers every POST on loopback, and keeps its JSON as one line of a file.

    python -m tests.site.receiver --port 8001 --log deliveries.jsonl
"""

import argparse
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock


class Receiver(ThreadingHTTPServer):
    """Listens on loopback, and writes one body at a time."""

    daemon_threads = True

    def __init__(self, port: int, log: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.log = log
        self.writing = Lock()

    def keep(self, line: str) -> None:
        """Append one line to the file, and show it."""
        with self.writing, self.log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        print(line, flush=True)


class Handler(BaseHTTPRequestHandler):
    """Answers 204 to JSON, and 400 to anything else."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep the body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            line = json.dumps(json.loads(body), ensure_ascii=False)
        except ValueError:
            self.send_error(400, "The body is not JSON")
            return
        self.server.keep(line)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: the bodies say enough."""


def main() -> None:
    """Receive until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Receiver(options.port, options.log) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(0)


if __name__ == "__main__":
    main()
