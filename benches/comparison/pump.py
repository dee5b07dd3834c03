"""Our own small program: the floor, the WebSocket nodes, and the loads that wrk cannot make."""

import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
FOLDER = os.path.join(REPOSITORY, "target", "pump")


def build():
    """Builds it, which takes seconds; the path, or why there is none."""
    cargo = shutil.which("cargo")
    if not cargo:
        return None, "cargo not found, which builds benches/pump"
    manifest = os.path.join(REPOSITORY, "benches", "pump", "Cargo.toml")
    argv = [cargo, "build", "--release", "--quiet", "--locked", "--manifest-path", manifest,
            "--target-dir", FOLDER]
    built = subprocess.run(argv, capture_output=True, text=True)
    if built.returncode:
        return None, f"benches/pump does not build:\n{built.stderr.rstrip()}"
    return os.path.join(FOLDER, "release", "pump"), None
