"""What the files of TLS are worth: whether certificate and key go together, and until when they do.

Knows PEM files and what a peer would say of them; opens no socket.
"""

import ssl
from pathlib import Path

# Whoever renews certificates by hand wants to hear of it by then; those who have it done renew earlier.
SOON_S = 14 * 86_400
DAY_S = 86_400
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_BY_DATE = (9, 10)


def pair_error(certificate: Path, key: Path | None) -> str | None:
    """Why the two can't be used together; None if they can."""
    for file in (certificate, key or certificate):
        try:
            file.open("rb").close()
        except OSError as exc:
            return f"{file} can't be read ({exc.strerror}); let the service read it"
    try:
        _with_pair(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    except (OSError, ValueError) as exc:
        return f"does not go with the key in {key or certificate} ({exc}); name a PEM file and its own key"
    return None


def ending(certificate: Path, key: Path | None, now_s: float) -> str | None:
    """What is wrong with its dates, or soon will be; None if nothing is. The two go together."""
    ours = _with_pair(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is its own authority here: who signed it is for those who connect to judge.
    peer.check_hostname = False
    peer.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    peer.load_verify_locations(cafile=certificate)
    try:
        ends_s = ssl.cert_time_to_seconds(_shown_to(peer, ours))
    except ssl.SSLCertVerificationError as exc:
        return f"{exc.verify_message}: nobody will connect; renew it" if exc.verify_code in _BY_DATE else None
    except (ssl.SSLError, ValueError):
        return None  # Not for a peer of this kind; its dates are not known by this.
    if ends_s - now_s > SOON_S:
        return None
    return f"ends in {(ends_s - now_s) / DAY_S:.1f} days, then nobody will connect; renew it"


def _with_pair(protocol: int, certificate: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    # Without a password function OpenSSL would ask the terminal for the password of a key that has one.
    context.load_cert_chain(certificate, key, password=lambda: "")
    return context


def _shown_to(client: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Shake hands in memory, and tell the end of the certificate that the client was shown."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    left = list(ends)
    while left:
        for end in ends:
            try:
                end.do_handshake()
                if end in left:
                    left.remove(end)
            except ssl.SSLWantReadError:
                continue
    shown = ends[0].getpeercert() or {}
    return str(shown.get("notAfter", ""))
