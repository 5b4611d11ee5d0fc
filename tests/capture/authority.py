"""A certificate authority of a test's own, and servers' certificates by it, good and bad."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """`certificate` is the file that who trusts it is given."""

    def __init__(self, directory: Path, name: str = "Authority of a test") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        made = _certificate(self._name, self._name, self._key, self._key, timedelta(days=-1), ca=True)
        self.certificate = str(_write(directory / f"{name}.pem", made.public_bytes(serialization.Encoding.PEM)))

    def server(self, host: str = "localhost", *, began: timedelta = -DAY, alone: bool = False) -> ssl.SSLContext:
        """What a server proves to be `host` with, for two days from `began` on. `alone`: signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (_name(host), key) if alone else (self._name, self._key)
        made = _certificate(_name(host), issuer, key, signer, began, host)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.key = str(_write(self._directory / "key.pem", secret))
        both = _write(self._directory / "server.pem", secret + made.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context


def _certificate(subject, issuer, key, signer, began, host="", ca=False):  # type: ignore[no-untyped-def]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + began)
        .not_valid_after(now + began + 2 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        # What Python asks for from 3.13 on: whose key it is, and of an authority that it may sign.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(ca=ca), critical=True)
    )
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host)]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    nothing = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
               "decipher_only")  # fmt: skip
    return x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **dict.fromkeys(nothing, False))


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
