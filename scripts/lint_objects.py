"""Holds every certificate and every CRL in the folders against pkilint's rules of RFC 5280. Prints what it finds
once a rule, with the first object; exits with 1 if any of it is an ERROR or FATAL."""

import collections
import concurrent.futures
import os
import pathlib
import re
import sys

from pkilint import loader, pkix
from pkilint.pkix import certificate, crl, extension, name
from pkilint.validation import ValidationFindingSeverity as Severity

PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----\n?", re.DOTALL)


def certificate_rules():
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def crl_rules():
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


def objects(folder):
    """Each object once, as (kind, bytes, file)."""
    seen = set()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        blocks = [(m[1], m[0]) for m in PEM.finditer(content)]
        if path.suffix == ".crl" and not blocks:
            blocks = [(b"X509 CRL", content)]
        for kind, block in blocks:
            if block not in seen:
                seen.add(block)
                yield kind.decode(), block, path.name


def lint(batch):
    found = []
    rules = {"CERTIFICATE": certificate_rules(), "X509 CRL": crl_rules()}
    loaders = {
        "CERTIFICATE": loader.RFC5280CertificateDocumentLoader(),
        "X509 CRL": loader.RFC5280CertificateListDocumentLoader(),
    }
    for kind, block, where in batch:
        load = loaders[kind]
        load = load.load_pem_document if block.startswith(b"-----") else load.load_der_document
        text = block.decode() if block.startswith(b"-----") else block
        try:
            document = load(text, where)
        except ValueError as error:
            found.append((Severity.FATAL, "unreadable", str(error), where))
            continue
        for result in rules[kind].validate(document.root):
            for finding in result.finding_descriptions:
                found.append((finding.finding.severity, finding.finding.code, finding.message, where))
    return found


def main(folders):
    every = []
    for folder in folders:
        found = [o for o in objects(folder) if o[0] in ("CERTIFICATE", "X509 CRL")]
        kinds = collections.Counter(kind for kind, _, _ in found)
        if not kinds["CERTIFICATE"] or not kinds["X509 CRL"]:
            sys.exit(f"{folder} holds no certificates or no CRLs; run `make test rehearse` first")
        every += found
    kinds = collections.Counter(kind for kind, _, _ in every)
    batches = [every[i : i + 50] for i in range(0, len(every), 50)]
    rules = {}
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lint, batches):
            for severity, code, message, where in found:
                rules.setdefault((severity, code), [0, message, where])[0] += 1
    worst = min((severity for severity, _ in rules), default=Severity.DEBUG)
    for (severity, code), (count, message, where) in sorted(rules.items()):
        print(f"{severity.name:8} {count:6} x {code}: {message or ''} ({where})")
    print(f"{kinds['CERTIFICATE']} certificates and {kinds['X509 CRL']} CRLs; the worst is {worst.name}")
    return 1 if worst <= Severity.ERROR else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
