"""The jars of a Kafka broker, which Maven fetches once into the user's cache.

`jars.lock` pins every one of them (group:artifact:version:sha256), whatever Maven resolved: one that is missing, new
or different is an error that names it. A change of the version in `pom.xml` changes the lock by hand.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_TIMEOUT_S = 600.0


def locked_jars() -> dict[str, str]:
    """File names, each with its SHA-256."""
    pins = [line.split(":") for line in (FOLDER / "jars.lock").read_text().split()]
    return {f"{artifact}-{version}.jar": digest for _, artifact, version, digest in pins}


def fetch_jars() -> Path:
    """The folder that holds exactly the jars of the lock. Raises RuntimeError when it cannot be had."""
    wanted = locked_jars()
    key = hashlib.sha256("".join(sorted(wanted.values())).encode()).hexdigest()[:12]
    folder = Path.home() / ".cache" / "chronos" / f"kafka-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made whole elsewhere and moved, so that two test runs do not see each other's halves.
        fresh = Path(tempfile.mkdtemp(prefix="kafka-", dir=folder.parent))
        try:
            _copy_dependencies(fresh)
            _verify(fresh, wanted)
            if not folder.exists():
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _copy_dependencies(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="chronos-kafka-") as project:
        shutil.copy(FOLDER / "pom.xml", project)
        command = ["mvn", "-B", "-ntp", "-q", COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"Maven did not fetch Kafka: {(done.stdout + done.stderr)[-2000:]}")


def _verify(folder: Path, wanted: dict[str, str]) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    different = sorted({name for name, _ in found.items() ^ wanted.items()})
    if different:
        raise RuntimeError(f"Maven fetched other jars than jars.lock names: {', '.join(different)}")
