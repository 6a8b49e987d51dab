# SPDX-License-Identifier: Apache-2.0
"""Certificates with one thing wrong, which the openssl tool would not make so readily: made by python3-cryptography."""

import base64
import datetime
import re

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def usage(*names):
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
             "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in every})


class Mint:
    """Writes NAME.pem and NAME.key into a folder."""

    def __init__(self, folder):
        self.folder, self.made, self.names = folder, {}, []

    def _key(self, kind):
        if not kind.startswith("rsa"):
            return ec.generate_private_key(ec.SECP256R1())
        bits, _, exponent = kind[3:].partition("e")
        return rsa.generate_private_key(int(exponent or 65537), int(bits))

    def _write(self, name, certificate, key):
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                                                    serialization.NoEncryption()))
        (self.folder / f"{name}.key").chmod(0o644)
        self.made[name] = (certificate, key)

    def _sign(self, name, by, subject, kind, begin, end, digest, extensions):
        key = self._key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, subject or name)])
        issuer, signer = (self.made[by][0].subject, self.made[by][1]) if by else (subject, key)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now() + begin).not_valid_after(now() + end)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        self._write(name, builder.sign(signer, digest()), key)
        return name

    def ca(self, name, by=None, *, subject="", path=None, permitted=(), kind="ec", end=30 * DAY):
        extensions = [(x509.BasicConstraints(True, path), True), (usage("key_cert_sign", "crl_sign"), True)]
        if permitted:
            extensions.append((x509.NameConstraints([x509.RFC822Name(one) for one in permitted], None), True))
        return self._sign(name, by, subject, kind, -2 * DAY, end, hashes.SHA256, extensions)

    def user(self, name, by, *, mail="", purposes=(CLIENT,), usages=("digital_signature",), begin=-DAY, end=20 * DAY, kind="ec", digest=hashes.SHA256,
             critical=False, points=False, odd=None):
        extensions = [(x509.SubjectAlternativeName([x509.RFC822Name(mail or f"{name}@example.test")]), False), (usage(*usages), True)]
        if purposes:
            extensions.append((x509.ExtendedKeyUsage(purposes), False))
        if critical:
            extensions.append((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True))
        extensions += [(x509.UnrecognizedExtension(x509.ObjectIdentifier(number), body), False) for number, body in (odd or {}).items()]
        if points:  # where a fetcher would go: to the client itself, who listens
            where = [x509.UniformResourceIdentifier(f"http://192.0.2.10:8099/{what}") for what in ("list", "status", "issuer")]
            extensions += [(x509.CRLDistributionPoints([x509.DistributionPoint([where[0]], None, None, None)]), False),
                           (x509.AuthorityInformationAccess([x509.AccessDescription(x509.AuthorityInformationAccessOID.OCSP, where[1]),
                                                             x509.AccessDescription(x509.AuthorityInformationAccessOID.CA_ISSUERS, where[2])]), False)]
        self.names.append(self._sign(name, by, "", kind, begin, end, digest, extensions))
        return name

    def altered(self, name, original):
        """The same certificate with another last byte of its signature."""
        text = (self.folder / f"{original}.pem").read_text()
        der = bytearray(base64.b64decode(re.sub("-----.*?-----|\\s", "", text)))
        der[-1] ^= 1
        (self.folder / f"{name}.pem").write_text("-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(der)).decode() + "-----END CERTIFICATE-----\n")
        (self.folder / f"{name}.key").write_bytes((self.folder / f"{original}.key").read_bytes())
        self.names.append(name)

    def crl(self, name, ca, revoked=(), *, begin=-DAY, end=DAY):
        certificate, key = self.made[ca]
        builder = (x509.CertificateRevocationListBuilder().issuer_name(certificate.subject).last_update(now() + begin).next_update(now() + end)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False))
        for one in revoked:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(self.made[one][0].serial_number)
                                                      .revocation_date(now() + begin).build())
        (self.folder / f"{name}.crl").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def serial(self, name):
        return f"{self.made[name][0].serial_number:x}"
