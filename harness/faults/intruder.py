"""What somebody tries who can run a program in a container. It runs there, not in the harness.

The container's own `python3` is given this file on its standard input, with the name of a technique
and how far to go: `permitted` tries the same towards what nobody forbids, which shows that the
intruder is able to; `attempt` tries that and the technique itself; `clean` removes what one that
was killed may have left. It writes one JSON list of answers. Nothing beyond the standard library,
nothing that outlives the program, no credential in what it writes.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PAYLOAD = ".harness-payload"
ROOT = Path("/")
PLACES = ("tmp", "var/tmp", "usr/local/bin", "opt", "etc", "")
"""Where a payload would be dropped, below the root."""
MEMORY = Path("/dev/shm")
"""Every container has it, for everybody to write in."""
SETUID = ("/usr/bin/su", "/bin/su", "/usr/bin/newgrp", "/usr/bin/passwd", "/usr/bin/mount")
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
HOSTS = Path("/etc/hosts")
"""The kubelet puts it into every container, as it does the token."""
ANSWER_S = 5.0
"""What takes longer gives no answer."""
_NO = (errno.EPERM, errno.EACCES, errno.EROFS)
"""How the kernel refuses."""
_NO_RANDOMIZATION = 0x0040000
_ASK_PERSONALITY = 0xFFFFFFFF


class RefusedError(Exception):
    """A definite no: `code` as whoever said it calls it, the rest in words."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Technique(NamedTuple):
    """What is reached for, and the same towards something permitted. Each tries, and returns what
    came of it; RefusedError and the kernel's refusals are a no, any other error is no answer."""

    target: str
    attempt: Callable[[], str]
    permitted_target: str
    permitted: Callable[[], str]


def become_root() -> str:
    """Root may, and whoever has the capability."""
    os.setuid(0)
    return "setuid(0) succeeded"


def stay() -> str:
    """Anybody may."""
    os.setuid(os.getuid())
    return "setuid to its own uid succeeded"


def drop_payload() -> str:
    """Write a program to the root file system and run it, in the first place that allows it."""
    refused: dict[str, str] = {}
    for place in (ROOT / name for name in PLACES):
        if not place.is_dir() or place.stat().st_dev != ROOT.stat().st_dev:
            continue
        try:
            return _write_and_run(place / PAYLOAD)
        except OSError as error:
            if error.errno not in _NO:
                raise
            refused[str(place)] = errno.errorcode[error.errno]
    told = ", ".join(f"{place}: {code}" for place, code in refused.items())
    raise RefusedError(" and ".join(sorted(set(refused.values()))), f"no file in {told}")


def write_in_memory() -> str:
    """A file where everybody may write."""
    path = MEMORY / PAYLOAD
    try:
        _write(path)
    finally:
        _remove(path)
    return f"{path} was written"


def run_setuid_root() -> str:
    """Whether a program that belongs to root and is setuid runs as root."""
    program = next((path for path in SETUID if _is_setuid_root(Path(path))), None)
    if program is None:
        raise LookupError(f"none of {', '.join(SETUID)} is a setuid-root program here")
    uid = _effective_uid(program)
    text = f"{program} ran with effective uid {uid}"
    if uid != 0:
        raise RefusedError("", text)
    return text


def run_plainly() -> str:
    """Any program runs, as whoever started it."""
    return f"{sys.executable} ran with effective uid {_effective_uid(sys.executable, '-V')}"


def open_raw_socket() -> str:
    """What forges packets; takes a capability."""
    import socket

    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "a raw socket was opened"


def open_plain_socket() -> str:
    """What takes none."""
    import socket

    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    return "a UDP socket was opened"


def stop_randomization() -> str:
    """Addresses are at fixed places from here on: what the kernel allows and the default filter of
    system calls does not."""
    _personality(_NO_RANDOMIZATION)
    return "personality(ADDR_NO_RANDOMIZE) succeeded"


def ask_personality() -> str:
    """The same system call, as the default filter lets it through."""
    _personality(_ASK_PERSONALITY)
    return "personality was asked"


def call_api() -> str:
    """Ask the API server who comes with the pod's token; without one, with nothing."""
    import http.client
    import ssl

    headers, had = {"Content-Type": "application/json"}, "no token"
    if TOKEN.exists():
        headers["Authorization"], had = f"Bearer {TOKEN.read_text().strip()}", "token read"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    host, port = (os.environ[f"KUBERNETES_SERVICE_{name}"] for name in ("HOST", "PORT"))
    server = http.client.HTTPSConnection(host, int(port), timeout=ANSWER_S, context=trusting)
    api = "authentication.k8s.io/v1"
    question = json.dumps({"apiVersion": api, "kind": "SelfSubjectReview"})
    server.request("POST", f"/apis/{api}/selfsubjectreviews", question, headers)
    answer = server.getresponse()
    said = json.loads(answer.read())
    if answer.status in (401, 403):
        told = f"{had}; the API server answered {answer.status}: {said['message']}"
        raise RefusedError(str(answer.status), told)
    return f"{had}; the API server answered {said['status']['userInfo']['username']}"


def read_hosts() -> str:
    """A file that is there for everybody."""
    HOSTS.read_text()
    return f"{HOSTS} was read"


TECHNIQUES = {
    "root-user": Technique("uid 0", become_root, "its own uid", stay),
    "payload-drop": Technique(
        "a program on the root file system", drop_payload, f"a file in {MEMORY}", write_in_memory
    ),
    "setuid-root": Technique(
        "a setuid-root program", run_setuid_root, "a plain program", run_plainly
    ),
    "raw-socket": Technique("a raw socket", open_raw_socket, "a UDP socket", open_plain_socket),
    "filtered-syscall": Technique(
        "personality(ADDR_NO_RANDOMIZE)",
        stop_randomization,
        "personality(0xffffffff)",
        ask_personality,
    ),
    "token": Technique("the API server with the pod's token", call_api, str(HOSTS), read_hosts),
}


def answer(technique: Technique, *, permitted: bool) -> dict[str, object]:
    """One try and what came of it; the text ends with what the kernel says of who tried."""
    act = technique.permitted if permitted else technique.attempt
    came, code = "allowed", ""
    try:
        text = act()
    except RefusedError as error:
        came, code, text = "refused", error.code, str(error)
    except OSError as error:
        came = "refused" if error.errno in _NO else "silent"
        code, text = errno.errorcode.get(error.errno or 0, ""), error.strerror or str(error)
    except Exception as error:  # noqa: BLE001  whatever it was, nobody said yes or no
        came, text = "silent", f"{type(error).__name__}: {error}"
    return {
        "target": technique.permitted_target if permitted else technique.target,
        "permitted": permitted,
        "answer": came,
        "code": code,
        "text": f"{text} ({who()})",
    }


def who() -> str:
    """This process: its uid, its capabilities, and what keeps it from getting more."""
    fields = _status("self")
    kept = ", ".join(f"{key}: {fields[key]}" for key in ("CapEff", "NoNewPrivs", "Seccomp"))
    return f"uid {os.getuid()}, {kept}"


def clean() -> None:
    """Remove what one that was killed may have left."""
    for place in (*(ROOT / name for name in PLACES), MEMORY):
        _remove(place / PAYLOAD)


def _status(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: value.strip() for key, value in pairs}


def _is_setuid_root(path: Path) -> bool:
    if not path.is_file():
        return False
    found = path.stat()
    return found.st_uid == 0 and bool(found.st_mode & stat.S_ISUID)


def _effective_uid(*words: str) -> int:
    """Of the process that runs a program; one that has ended keeps it until it is waited for."""
    null = subprocess.DEVNULL
    child = subprocess.Popen(words, stdin=null, stdout=null, stderr=null)
    try:
        return int(_status(str(child.pid))["Uid"].split()[1])
    finally:
        child.kill()
        child.wait()


def _write_and_run(path: Path) -> str:
    try:
        _write(path)
        subprocess.run([path], check=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL)
    finally:
        _remove(path)
    return f"{path} was written and executed"


def _write(path: Path) -> None:
    path.write_text(f"#!{sys.executable} -IScpass\n")
    path.chmod(0o755)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        if error.errno not in (errno.ENOENT, *_NO):
            raise


def _personality(persona: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.personality(ctypes.c_ulong(persona)) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main(name: str, mode: str) -> None:
    """Carry out one mode of a technique."""
    if mode == "clean":
        clean()
        return
    technique = TECHNIQUES[name]
    tried = [answer(technique, permitted=True)]
    if mode == "attempt":
        tried.append(answer(technique, permitted=False))
    json.dump(tried, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
