"""Lock files: hashes everywhere, no address; a changed byte fails the install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.fast
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_with_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 50
    for block in blocks:
        assert re.match(r"[A-Za-z0-9_.-]+(\[[^]]+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


@pytest.mark.fast
def test_dev_lock_holds_the_runtime_lock() -> None:
    def pins(name: str) -> set[str]:
        return {
            line.split(" ")[0] for line in (ROOT / name).read_text().splitlines() if "==" in line and line[0] != " "
        }

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_one_changed_byte_fails_the_install(tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    import zipfile

    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("tiny.py", "")
        z.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        z.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        z.writestr(
            "tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\n"
        )
    import hashlib

    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wrong = ("0" if right[0] != "0" else "1") + right[1:]

    def install(digest: str) -> int:
        lock = tmp_path / "lock.txt"
        lock.write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
        return subprocess.run(
            [sys.executable, "-m", "pip", "install", "--isolated", "--no-index", "--find-links", str(tmp_path), "--no-deps",
             "--require-hashes", "--target", str(tmp_path / digest[:8]), "-r", str(lock)],
            capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert install(right) == 0
    assert install(wrong) != 0
