"""Ask a gateway through the proxy in front of it, as browsers and programs outside do.

    check_tls.py HOST HTTPS-PORT HTTP-PORT AUTHORITY-FILE KEY-FILE

Run by check.sh, and by tests/deploy on loopback. Exit code 1 says what is not as it should be.
"""

import asyncio
import http.client
import ssl
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

TIMEOUT_S = 10.0


def status_of(host: str, port: int, path: str, context: ssl.SSLContext | None) -> tuple[int, str, bytes]:
    """Status, Location and body of a GET."""
    if context is None:
        line = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    else:
        line = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, answer.headers.get("Location", ""), answer.read()
    finally:
        line.close()


def expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        sys.exit(f"{what}: {got!r}, expected {expected!r}")


def ask_pages(host: str, https: int, http_port: int, context: ssl.SSLContext) -> None:
    for path, status in {
        "/": 200,
        "/client.js": 200,
        "/page/feeds.js": 200,
        "/healthz": 200,
        "/rest/json?cmd=getmsgtypes": 401,
        # Asked inside only.
        "/metrics": 404,
        "/readyz": 404,
    }.items():
        expect(f"https {path}", status_of(host, https, path, context)[0], status)
    print("https: the page, its scripts and health answer; REST wants a key; what is for inside is not there")
    status, location, _ = status_of(host, http_port, "/healthz", None)
    expect("http", (status, location.startswith(f"https://{host}")), (308, True))
    print(f"http: {status} to {location}")
    try:
        status_of(host, https, "/", ssl.create_default_context())
    except ssl.SSLCertVerificationError as exc:
        print(f"https without knowing the authority: {exc.verify_message}")
    else:
        sys.exit("the certificate was taken without its authority being known")


async def ask_websocket(host: str, https: int, context: ssl.SSLContext, key: str) -> None:
    url, bearer = f"wss://{host}:{https}/mlink/jsonf", {"Authorization": f"Bearer {key}"}
    for origin in (None, f"https://{host}:{https}"):
        async with connect(url, ssl=context, origin=origin, additional_headers=bearer) as socket:  # type: ignore[arg-type]
            request = b'{"header":{"mTyp":"MLinkStream"},"message":{"msgName":"*","queryID":1}}'
            await socket.send(b"\r\nJ%011d" % len(request) + request)
            async with asyncio.timeout(TIMEOUT_S):
                while b'"seqN"' not in (message := await socket.recv()):
                    pass
            expect("a frame's beginning", message[:3], b"\r\nJ")
    try:
        async with connect(url, ssl=context, origin="https://evil.example", additional_headers=bearer):  # type: ignore[arg-type]
            sys.exit("a page from elsewhere was let in")
    except InvalidStatus as exc:
        expect("a page from elsewhere", exc.response.status_code, 403)
    print("wss: streams to programs and to the gateway's own page; a page from elsewhere is refused")


def main(host: str, https: int, http_port: int, authority: Path, key: str) -> None:
    context = ssl.create_default_context(cafile=str(authority))
    ask_pages(host, https, http_port, context)
    asyncio.run(ask_websocket(host, https, context, key))


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
        Path(sys.argv[5]).read_text().strip(),
    )
