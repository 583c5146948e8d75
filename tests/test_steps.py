"""What ./go and .ci/run say can be believed: failures are counted, shown and end in a status."""

import subprocess
from pathlib import Path

import pytest

REPORT = """<testsuite>
<testcase name="a"/>
<testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="no"/></testcase>
<testcase name="d"><skipped message="no model"/></testcase>
<testcase name="e"><skipped/><system-out>[ RUN ] e
/x/e_test.cpp:3: Skipped
this machine lacks amx

[  SKIPPED ] e (0 ms)</system-out></testcase>
</testsuite>"""


@pytest.fixture
def bash(root: Path, tmp_path: Path):
    (tmp_path / ".ci").symlink_to(root / ".ci")
    (tmp_path / "report.xml").write_text(REPORT)

    def run(script: str) -> tuple[int, list[str]]:
        script = f". .ci/steps.sh\n{script}"
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout.splitlines()

    return run


def test_a_passed_check_counts(bash):
    status, lines = bash("check one true; summary")
    assert (status, lines[-1]) == (0, "1 passed, 0 failed")


def test_a_failed_check_counts_and_shows_its_log(bash):
    status, lines = bash("check one true; check two bash -c 'echo the reason; exit 7'; summary")
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    assert "    | the reason" in lines


def test_running_nothing_is_a_failure(bash):
    assert bash("summary") == (1, ["", "0 passed, 0 failed"])


def test_the_tests_of_a_report_count_and_skips_are_named(bash):
    status, lines = bash("report=new.xml; step tests bash -c 'cp report.xml new.xml; exit 1'; summary")
    assert (status, lines[-1]) == (1, "1 passed, 2 failed")
    assert lines[1:3] == ["    skipped 1: no model", "    skipped 1: this machine lacks amx"]


@pytest.mark.parametrize("command", ["false", "true", "bash -c 'echo broken > report.xml'"])
def test_a_run_without_a_report_is_a_failure(bash, command: str):
    assert bash(f"report=report.xml; step tests {command}; summary")[1][-1] == "0 passed, 1 failed"


OFFERS = r"""
case "$*" in
  *__version__*) echo "$INSTALLED"; [ -n "$INSTALLED" ] ;;
  *--report*) echo "{\"install\": [{\"metadata\": {\"version\": \"$OFFERED\"}}]}" ;;
  *'pip install'*) echo "$@" >>installed ;;
  *'-m pip --version'*) ;;
  *) exec /usr/bin/python3 "$@" ;;
esac
"""


@pytest.mark.parametrize(
    "installed, offered, option, does",
    [
        ("2.13.0+cu130", "2.13.0+cpu", "", ""),
        ("", "2.13.0+cpu", "", "installs"),
        ("2.12.0", "2.13.0+cpu", "", "installs"),
        ("", "2.13.0", "", "skips"),
        ("", "2.13.0", "--with-torch", "installs"),
    ],
)
def test_torch_is_installed_if_it_is_small_or_asked_for(installed, offered, option, does, bash, tmp_path: Path):
    (tmp_path / "python").write_text(f"#!/bin/bash\nINSTALLED={installed} OFFERED={offered}\n{OFFERS}")
    (tmp_path / "python").chmod(0o755)
    status, lines = bash(f"python=$PWD/python; need_torch {option}")
    assert status == 0
    assert (tmp_path / "installed").exists() == (does == "installs")
    assert any("tests with torch will be skipped: pip offers 2.13.0;" in line for line in lines) == (does == "skips")
