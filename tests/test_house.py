"""What holds for the repository as a whole: light imports, their direction, pins, documents."""

import ast
import re
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "videowino"

# Each part may import itself, the parts of the lines above, and the leaves; a leaf only leaves.
LEAVES = {"compat", "timing", "fastest", "cli", "files"}
ORDER = [
    {"winograd"},
    {"kernels", "multiplications"},
    {"report", "environment"},
    {"choice"},
    {"surgery"},
    {"deployment"},
    {"latency", "tiles"},
    {"models"},
    {"data"},
    {"plots", "preparing"},
    {"training"},
    {"callbacks"},
    {"evaluation"},
]
HEAVY = ["pytorch_lightning", "torchvision", "torchmetrics", "wandb", "decord", "av", "matplotlib"]


def part_of(module: str) -> str:
    """``videowino.data.sampling`` -> ``data``; the package itself -> ``""``."""
    return module.split(".")[1] if "." in module else ""


def level_of(part: str) -> int:
    return next(i for i, parts in enumerate(ORDER) if part in parts)


def imports_of(path: Path) -> set[str]:
    """The modules of videowino that a file imports, also inside functions."""
    relative = path.relative_to(ROOT).with_suffix("")
    package = ".".join(relative.parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found.add(base)
            if base == "videowino":
                found |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "videowino"}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in sum(extras, project["dependencies"])]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = (Requirement(line) for line in lines if line and not line.startswith("#"))
    return {canonical(requirement.name): requirement for requirement in found}


def test_import_is_light():
    """Inference must not need the training stack."""
    code = f"import sys, videowino; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_part_has_its_place():
    parts = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == LEAVES | set.union(*ORDER)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_one_way(path):
    own = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    imported = imports_of(path)
    programs = {module for module in imported if module.endswith(".command")}
    assert not programs, "command.py is the body of a program, which only the program imports"
    if own == "__init__" or path.name == "command.py":
        return  # the package's own exports; the top of everything
    others = {part_of(module) for module in imported} - {own, "", "__init__"} - LEAVES
    allowed = set().union(*ORDER[: level_of(own)]) if own not in LEAVES else set()
    assert others <= allowed


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_range(requirement):
    specifiers = [str(s) for s in pins()[canonical(requirement.name)].specifier]
    assert len(specifiers) == 1 and specifiers[0].startswith("==")
    version = specifiers[0].removeprefix("==")
    assert requirement.specifier.contains(version)
    assert "+" not in version, "a local suffix would exclude the other torch builds"


def test_the_malicious_releases_are_excluded():
    excluded = pins()["lightning"].specifier
    assert not excluded.contains("2.6.2") and not excluded.contains("2.6.3")
    assert "lightning" not in {canonical(r.name) for r in requirements()}


@pytest.mark.parametrize(
    "document", ["README.md", "docs/method.md", "docs/architecture.md", "docs/data.md"]
)
def test_files_that_the_documents_name_exist(document):
    path = ROOT / document
    text = path.read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    folders = "configs|docs|datasets|videowino|tests"
    named = re.findall(rf"\b(?:{folders})/[\w/.-]+\.(?:py|md|yaml)\b", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_makefile_has_the_targets_that_the_readme_names():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named and named <= targets


@pytest.mark.parametrize("document", ["README.md", "docs/method.md"])
def test_python_in_the_documents_runs(document, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, document, "exec"), {})
