"""The kernels' compilation: lazy, cached, healed after corruption, and safe options."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from assets.cascade import compilation, kernel, kernel_accounts, kernel_dynamic


@pytest.mark.fast
def test_importing_the_replay_does_not_import_numba() -> None:
    program = "import sys, assets.cascade.frames, assets.cascade.simulate; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.fast
def test_compiled_code_lives_in_kernel_modules_that_share_nothing(project_root: Path) -> None:
    users = {p: _imported(p) for p in sorted((project_root / "assets").rglob("*.py"))}
    users = {p: names for p, names in users.items() if any(name.split(".")[0] == "numba" for name in names)}
    assert "kernel.py" in {p.name for p in users}
    for path, names in users.items():
        assert path.name.startswith("kernel"), f"{path.name} imports numba: keep compiled code in a kernel module"
        # A compiled helper of another module would leave a stale cached caller behind when it changes.
        ours = {name for name in names if name.startswith(("assets", "pipelines", "quality"))}
        assert ours <= {"assets.cascade.params"}, f"{path.name} must be self-contained, it imports {ours}"


@pytest.mark.fast
def test_kernels_have_no_hazardous_options() -> None:
    for function in (*kernel.KERNELS, *kernel_accounts.KERNELS, *kernel_dynamic.KERNELS):
        options = getattr(function, "targetoptions", {"nogil": True})  # a plain function where the compiler is off
        assert options["nogil"]
        assert not options.get("fastmath")
        assert not options.get("parallel")


@pytest.mark.fast
def test_warmup_forgets_the_cache_once_and_then_gives_up_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def child(function: str) -> str | None:
        asked.append(function)
        return "pickle data was truncated" if function == "compile_static" else None

    monkeypatch.setattr(compilation, "_in_child", child)
    with pytest.raises(RuntimeError, match="pickle data was truncated"):
        compilation.warmup()
    shares = ["compile_accounts", "compile_dynamic", "compile_static"]
    assert [sorted(asked[:3]), asked[3], sorted(asked[4:])] == [shares, "forget_cache", shares]


def test_warmup_heals_a_truncated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(compilation, "_SHARES", (compilation.compile_static,))  # one share proves it for all
    stranger = tmp_path / "kernel.notes.txt"
    stranger.write_text("not ours to delete")
    compilation.warmup()
    cached = sorted(tmp_path.rglob("kernel.merge_scenarios*.nbc"))
    assert cached, "the kernels were not cached where the caller said"
    for file in cached:
        file.write_bytes(file.read_bytes()[:-2000])
    assert compilation._in_child("compile_static") is not None, (
        "the truncated file was not noticed: this test proves nothing"
    )
    compilation.warmup()
    assert compilation._in_child("compile_static") is None
    assert stranger.exists()


def test_a_changed_inner_loop_leaves_no_stale_caller(project_root: Path, tmp_path: Path) -> None:
    module = tmp_path / "kernel.py"
    module.write_text((project_root / "assets" / "cascade" / "kernel.py").read_text())
    # Two buckets, the first exactly at the mark after the shock: inclusive triggers reach it, strict ones do not.
    program = """
import numpy as np, kernel
states = np.zeros((1, 5), dtype=np.int64)
prefix, book = np.array([0, 3, 7]), (np.array([0.95, 0.5]), np.array([100, 200]))
kernel.merge_scenarios(np.array([990.0, 900.0]), prefix, *book, np.array([[990.0, 1000.0, 1.0]]), states)
print(states[0, kernel.REACHED])
"""

    def reached() -> str:
        environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert [reached(), reached()] == ["1", "1"]
    changed = module.read_text().replace("triggers[high] >= mark", "triggers[high] > mark")
    module.write_text(changed.replace("triggers[middle] >= mark", "triggers[middle] > mark"))
    assert reached() == "0"
