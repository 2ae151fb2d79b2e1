"""Settings and JSON that no program should have to read: each is one line."""
import pytest
from datasets.text_files import load_json
from fast_rcnn.config import cfg_from_file, cfg_from_list
from utils.errors import UserError

FILES = {
    "brackets": ("TRAIN: " + "[" * 20000, "cannot be read"),
    "braces": ("{TRAIN: " * 20000, "cannot be read"),
    "pairs": ("TRAIN: {SCALES: " + "[" * 900 + "]" * 900 + "}", "bad.yml"),
    "holds itself": ("TRAIN: &t {BATCH_SIZE: 1, BATCH_SIZE: *t}", "holds itself"),
    "list in itself": ("TRAIN: {SCALES: &s [1, *s]}", "TRAIN.SCALES"),
    "digits": ("TRAIN: {BATCH_SIZE: " + "9" * 10000 + "}", "cannot be read"),
    "fewer digits": ("TRAIN: {BATCH_SIZE: " + "9" * 4000 + "}", "TRAIN.BATCH_SIZE"),
    "hexadecimal": ("TRAIN: {BATCH_SIZE: 0x" + "9" * 10000 + "}", "TRAIN.BATCH_SIZE"),
    "digits of a float": ("TRAIN: {FG_FRACTION: " + "9" * 4000 + "}", "TRAIN.FG_FRACTION"),
    "seed": ("RNG_SEED: -1", "RNG_SEED .* 0 to 4294967295"),
    "iter_size": ("TRAIN: {ITER_SIZE: 100000000000}", "ITER_SIZE .* 0 to 2147483647"),
}
WORDS = {"TRAIN.BATCH_SIZE": "9" * 10000, "TRAIN.SCALES": "[" * 20000, "TRAIN.FG_FRACTION": "-" * 20000 + "1",
         "TRAIN.FG_THRESH": "9" * 4000, "RNG_SEED": "-1", "TRAIN.ITER_SIZE": "100000000000"}


@pytest.mark.parametrize("name", FILES)
def test_of_a_file(tmp_path, name):
    text, words = FILES[name]
    (tmp_path / "bad.yml").write_text(text)
    with pytest.raises(UserError, match=words) as error:
        cfg_from_file(tmp_path / "bad.yml")
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("key", WORDS)
def test_of_the_command_line(key):
    with pytest.raises(UserError, match=key) as error:
        cfg_from_list([key, WORDS[key]])
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("text", ["[" * 200000, '{"a": ' * 200000], ids=["list", "object"])
def test_json_without_end(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match="nested too deep"):
        load_json(tmp_path / "bad.json")
