"""Whom to believe: the system's certificate authorities, and one of the user's own where it is given.

Rule: certificates and names are always verified; nothing here turns that off.
"""

from __future__ import annotations

import ssl

from mdtool.errors import UsageError

NOBODY_KNOWN = frozenset({18, 19, 20, 21})  # OpenSSL's codes: self-signed, or by an authority that is not known here


def trusting(ca: str | None = None) -> ssl.SSLContext:
    """What connections are verified by. `ca`: a file of certificates in PEM that are believed, too. Raises UsageError
    of one that is none."""
    context = ssl.create_default_context()
    if ca is not None:
        expected = "expected certificates in PEM: the ones of the authority that signs the venue's"
        try:
            context.load_verify_locations(cafile=ca)
        except ssl.SSLError:
            raise UsageError(f"CA file {ca}: no certificate in it, {expected}") from None
        except (OSError, ValueError) as error:  # ValueError: a path that can be none
            raise UsageError(f"CA file {ca}: {getattr(error, 'strerror', None) or error}, {expected}") from None
    return context


def distrust(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate was not believed, and what to do about it where something can be."""
    said = error.verify_message.rstrip(".") or error.reason
    todo = "; where an authority of your own signed it, give its certificate with --ca FILE"
    return f"its certificate is not trusted: {said}" + (todo if error.verify_code in NOBODY_KNOWN else "")
