"""make_digits.py and pretrain_digits.py from outside."""


def test_make_digits_says_what_it_made_and_reuses_it(run, tmp_path):
    args = ("make_digits.py", "--out", tmp_path / "digits", "--train", "4", "--test", "2", "--workers", "1")
    first, second = run(*args), run(*args)
    assert first.returncode == 0 and "digits made in" in first.stdout
    assert "trainval 4 images" in first.stdout and "test     2 images" in first.stdout
    assert second.returncode == 0 and "reused" in second.stdout
    assert (tmp_path / "digits" / "classes.txt").is_file()


def test_make_digits_refuses_a_folder_in_use(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    result = run("make_digits.py", "--out", tmp_path, "--train", "1", "--test", "1")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: ") and "thesis.tex" in result.stderr


def test_pretrained_weights_fit_the_detector(run, voc_folder, exp_dir, tmp_path):
    weights = tmp_path / "DigitNet.caffemodel"
    result = run("pretrain_digits.py", "--out", weights, "--iters", "2", "--patches", "70")
    assert result.returncode == 0, result.stderr
    assert "Wrote %s" % weights in result.stdout
    result = run("train_net.py", "--gpu", "cpu", "--solver", "models/digits/DigitNet/fast_rcnn/solver.prototxt", "--imdb",
                 "voc:%s@trainval" % voc_folder, "--iters", "1", "--weights", weights, "--cfg",
                 "experiments/cfgs/DigitNet.yml", "--set", "EXP_DIR", exp_dir)
    assert result.returncode == 0, result.stderr
    assert "digitnet_fast_rcnn_iter_1.caffemodel" in result.stdout
