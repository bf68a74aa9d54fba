"""TLS, and the file with the address: a script can wait for a server and trust it."""

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from segctl.cli.main import execute
from segctl.emulator.errors import TlsFilesError
from segctl.emulator.server import published_url
from segctl.emulator.testing import running_emulator
from segctl.emulator.tls import TlsFiles, server_context


def write_key(file: Path, *, password: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Write a new private key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    return key


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Return a certificate for localhost, signed with its own key."""
    folder = tmp_path_factory.mktemp("tls")
    files = TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")
    key = write_key(files.key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return files


def test_the_service_is_served_over_tls(files: TlsFiles) -> None:
    trusted = ssl.create_default_context(cafile=str(files.certificate))
    with running_emulator(tls=files) as emulator:
        assert emulator.url.startswith("https://localhost:")
        with httpx.Client(verify=trusted, headers=emulator.headers) as http:
            assert http.get(f"{emulator.url}/emulator/v1/segments").json() == []


def test_segctl_reaches_it_with_ssl_cert_file(
    files: TlsFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running_emulator(tls=files) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.certificate))
        assert execute(["init", str(tmp_path)]) == 0
        assert execute(["apply", "--auto-approve", "-C", str(tmp_path)]) == 0
        assert emulator.app.state.service.stats(None)["segments"] > 0
    capsys.readouterr()


def missing(file: Path) -> None:
    file.unlink()


def other_key(file: Path) -> None:
    write_key(file)


def locked_key(file: Path) -> None:
    write_key(file, password=b"secret")


def text(file: Path) -> None:
    file.write_text("hello")


def broken_key(file: Path) -> None:
    file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (other_key, "is not the private key of"),
        (locked_key, "openssl pkey -in"),
        (text, "contains no private key"),
        (broken_key, "cannot be used"),
    ],
)
def test_a_key_that_does_not_work_is_named(
    files: TlsFiles, tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(files.key.read_bytes())
    damage(key)
    with pytest.raises(TlsFilesError, match=problem) as raised:
        server_context(TlsFiles(certificate=files.certificate, key=key))
    assert str(key) in str(raised.value)


@pytest.mark.parametrize("content", [b"hello", None])
def test_a_certificate_that_does_not_work_is_named(
    files: TlsFiles, tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = tmp_path / "cert.pem"
    if content is not None:
        certificate.write_bytes(content)
    arguments = ["--tls-cert", str(certificate), "--tls-key", str(files.key)]
    assert execute(["emulator", "--port", "0", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: the emulator cannot start: {certificate}")
    assert ("contains no certificate" if content else "No such file") in error


def test_a_certificate_without_its_key_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["emulator", "--tls-cert", "cert.pem"]) == 64
    assert "--tls-cert and --tls-key belong together" in capsys.readouterr().err


def test_the_address_is_in_a_file_while_the_server_can_be_reached(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("http://old")
    told: list[str] = []
    with published_url(file, told.append) as publish:
        assert not file.exists()
        publish("http://127.0.0.1:1")
        assert (file.read_text(), told) == ("http://127.0.0.1:1\n", ["http://127.0.0.1:1"])
    assert list(tmp_path.iterdir()) == []
