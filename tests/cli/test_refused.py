"""One file or directory for every rule of the readers: each is refused by every verb, with the message of that rule."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "data/refused"
CASES = json.loads((FOLDER / "cases.json").read_text())


def test_every_case_stands_in_the_folder_and_the_reverse():
    assert {p.name for p in FOLDER.iterdir()} - {"make.py", "cases.json"} == set(CASES)
    assert len(set(CASES.values())) == len(CASES)


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_refused(mxfp4, tmp_path, name):
    path = FOLDER / name
    out = tmp_path / ("out.safetensors" if path.is_file() else "out")
    for command in (["inspect", path], ["quantize", path, out], ["dequantize", path, out], ["convert", path, out, "--format", "native"]):
        result = mxfp4(*command, "--json", status=3)
        error = json.loads(result.out)["error"]
        assert error["code"] == "corrupt_file"
        assert CASES[name] in error["message"], error["message"]
        places = (str(FOLDER), "model.safetensors: tensor '", "q-0.uqff: tensor '", f"in {name}")
        assert any(place in error["message"] for place in places)
    assert list(tmp_path.iterdir()) == []


def test_every_rule_has_its_own_words(mxfp4):
    messages = {}
    for name in CASES:
        message = json.loads(mxfp4("inspect", FOLDER / name, "--json", status=3).out)["error"]["message"]
        messages.setdefault(message.replace(name, ""), []).append(name)
    assert [names for names in messages.values() if len(names) > 1] == []
