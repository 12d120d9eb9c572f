"""Hooks of a real service, and the example that mails a digest to a real, small mail server."""

import socketserver
import subprocess
import sys
import threading
from datetime import date, timedelta
from email import message_from_bytes
from pathlib import Path

from tests import build
from tests.build import GREY, Services, photograph

DIGEST = Path(__file__).parent.parent / "deploy" / "mail_digest.py"


def test_filing_goes_on_while_a_hook_hangs(services: Services, root: Path) -> None:
    service = services.start(
        root, on_unsure='["sleep", "1000"]', on_rejected="/nowhere/nothing", hook_timeout_s=2
    )
    build.put(root, "grey.png", photograph(1, GREY))
    service.wait_for_filed("inbox/grey.png")
    build.put(root, "bad.jpg", b"no picture")
    build.put(root, "bright.png", photograph(2))
    service.wait_for_filed("inbox/bad.jpg", "inbox/bright.png")
    failed = service.wait_until(lambda: (f := service.events("hook.failed"))[1:] and f)
    assert [each["hook"] for each in failed] == ["on_unsure", "on_rejected"]
    assert service.stop() == 0


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail needs; it is kept by the server."""

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            match line[:4].upper():
                case b"DATA":
                    self._say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    self.server.mails.append(b"".join(lines))  # type: ignore[attr-defined]
                    self._say("250 kept")
                case b"QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 well")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def test_the_example_mails_what_became_of_the_photographs(services: Services, root: Path) -> None:
    build.put(root, "grey.png", photograph(1, GREY))
    build.put(root, "a.HEIC", b"no picture")
    build.put(root, "b.heic", b"no picture")
    assert services.once(root).process.returncode == 0
    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.handle_request, daemon=True).start()
        tomorrow = date.today() + timedelta(days=1)
        told = {"HOOK_SINCE": str(tomorrow - timedelta(days=2)), "HOOK_UNTIL": str(tomorrow)}
        words = ["--to", "office@example.org", "--server", f"127.0.0.1:{server.server_address[1]}"]
        subprocess.run(
            [sys.executable, str(DIGEST), *words],
            env=build.environment(GDWATCH_ROOT=str(root), **told), check=True, timeout=60,
        )  # fmt: skip
        (mail,) = server.mails  # type: ignore[attr-defined]
    message = message_from_bytes(mail)
    assert message["To"] == "office@example.org"
    assert message["Subject"] == "gdwatch: 3 photographs, 2 rejected"
    assert message.get_payload().splitlines()[2:] == [
        "0 female", "0 male", "1 unsure: 1 low_confidence", "2 rejected: 2 not_an_image (.heic)"
    ]  # fmt: skip
