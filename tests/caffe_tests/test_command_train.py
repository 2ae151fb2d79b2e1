"""caffe train, test, time and the upgrades: what they do and log, and what signals do to training."""
import csv
import re

import caffe
import numpy as np
import pytest
from caffe import common
from caffe.commands.flags import Flags
from caffe.commands.train_processes import started
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from support.caffe_command import NET, signal_layer, write_solver
from support.ranks import run_ranks
from support.train_command_ranks import note_rank, train_until_one_stops


def messages(err):
    """The log without its prefixes."""
    return re.findall(r"^I\d{4} [\d:.]+ +\d+ \S+\] (.*)", err, re.M)


def test_train_logs_as_caffe_and_ends_with_a_snapshot(run_caffe, tmp_path):
    code, _, err = run_caffe("train", "--solver=%s" % write_solver(tmp_path))
    said = messages(err)
    assert code == 0 and said[-1] == "Optimization Done."
    order = ["Use CPU.", "Starting Optimization", "Solving Small", "Learning Rate Policy: step",
             "Iteration 0, Testing net (#0)", "Iteration 0, lr = 0.1", "Iteration 4, lr = 0.01",
             "Snapshotting to binary proto file %s_iter_8.caffemodel" % (tmp_path / "s"),
             "Snapshotting solver state to binary proto file %s_iter_8.solverstate" % (tmp_path / "s")]
    places = [said.index(line) for line in order]
    assert places == sorted(places)
    last = next(i for i, line in enumerate(said) if line.startswith("Iteration 8, loss = "))
    assert said[last + 1] == "Iteration 8, Testing net (#0)"       # as Caffe: the last loss comes without outputs
    assert (tmp_path / "s_iter_8.solverstate").exists()


def test_train_resumes_a_snapshot_and_starts_from_weights(run_caffe, tmp_path):
    path = write_solver(tmp_path, more="snapshot: 4")
    run_caffe("train", "-solver", path)
    whole = (tmp_path / "s_iter_8.caffemodel").read_bytes()
    (tmp_path / "s_iter_8.caffemodel").unlink()
    code, _, err = run_caffe("train", "-solver", path, "-snapshot", tmp_path / "s_iter_4.solverstate")
    assert code == 0 and "Resuming from %s" % (tmp_path / "s_iter_4.solverstate") in err
    assert (tmp_path / "s_iter_8.caffemodel").read_bytes() == whole
    code, _, err = run_caffe("train", "-solver", path, "-weights", "%s,%s" % ((tmp_path / "s_iter_8.caffemodel",) * 2))
    assert code == 0 and err.count("Copying source layer ip") == 4       # each file, into the train net and the test net


def test_level_and_stage_choose_layers(run_caffe, tmp_path):
    net = NET + """layer { name: "silent" type: "Silence" bottom: "ip" include { phase: TRAIN stage: "extra" min_level: 2 } }
                   layer { name: "wrong" type: "Reshape" bottom: "ip" top: "wrong" reshape_param { shape { dim: 7 } }
                           include { phase: TRAIN stage: "break" } }"""
    path = write_solver(tmp_path, net)
    assert run_caffe("train", "-solver", path, "-level", 2, "-stage", "extra")[0] == 0
    code, _, err = run_caffe("train", "-solver", path, "-stage=extra,break")
    assert code == 1 and "layer wrong" in err


@pytest.mark.parametrize("name, flags, iterations, said", [
    ("SIGINT", (), 3, "Optimization stopped early."), ("SIGHUP", ("-sighup_effect", "stop"), 3, "Optimization stopped early."),
    ("SIGINT", ("-sigint_effect=snapshot",), 8, "Optimization Done."), ("SIGHUP", (), 8, "Optimization Done."),
    ("SIGINT", ("-sigint_effect", "none"), 8, "Optimization Done.")])
def test_signals_stop_or_snapshot(run_caffe, tmp_path, name, flags, iterations, said):
    path = write_solver(tmp_path, signal_layer(name) + NET)
    code, _, err = run_caffe("train", "-solver", path, *flags)
    assert code == 0 and said in messages(err)
    snapshots = sorted(p.name for p in tmp_path.glob("*.solverstate"))
    wanted = {iterations} | ({3} if "none" not in flags else set())
    assert snapshots == ["s_iter_%d.solverstate" % n for n in sorted(wanted)]


def test_a_gpu_that_the_solver_asks_for_and_is_not_there_is_named(run_caffe, tmp_path):
    import torch
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code, _, err = run_caffe("train", "-solver", write_solver(tmp_path, more="solver_mode: GPU"))
    assert code == 1 and "has solver_mode: GPU, which cannot be used" in err and "set solver_mode: CPU there" in err


def test_test_prints_batches_and_means(run_caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    code, _, err = run_caffe("test", "-model", tmp_path / "net.prototxt", "-weights", tmp_path / "w.caffemodel", "-iterations", 3)
    said = messages(err)
    losses = [float(line.split(" = ")[1]) for line in said if re.match(r"Batch \d, loss", line)]
    assert code == 0 and len(losses) == 3 and "Running for 3 iterations." in said
    mean = re.search(r"^loss = (\S+) \(\* 1 = (\S+) loss\)$", "\n".join(said), re.M)
    np.testing.assert_allclose([float(mean[1]), float(mean[2])], np.mean(losses), rtol=1e-4)
    assert "Loss: %s" % mean[1] in said and any(re.match(r"accuracy = \S+$", line) for line in said)


def test_time_tells_forward_and_backward_of_each_layer(run_caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    code, _, err = run_caffe("time", "-model", tmp_path / "net.prototxt", "-iterations", 2)
    said = messages(err)
    assert code == 0 and "Testing for 2 iterations." in said and said[-1] == "*** Benchmark ends ***"
    for name in ("data", "ip", "loss"):
        for way in ("forward", "backward"):
            assert sum(bool(re.fullmatch(r"%10s\t%s: [\d.e-]+ ms\." % (name, way), line)) for line in said) == 1
    sums = [float(re.search(r"%s: (\S+) ms" % what, err)[1])
            for what in ("Average Forward pass", "Average Backward pass", "Average Forward-Backward")]
    np.testing.assert_allclose(sums[0] + sums[1], sums[2], rtol=1e-4)
    assert "accuracy" not in err and "accuracy" in run_caffe("time", "-model", tmp_path / "net.prototxt", "-phase", "TEST")[2]


V0 = """name: "v0" input: "data" input_dim: 2 input_dim: 3 input_dim: 12 input_dim: 12
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 5 stride: 2 biasterm: false blobs_lr: 3
                 weight_filler { type: "gaussian" std: 0.1 } } bottom: "pad1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv1" top: "pool1" }
layers { layer { name: "ip" type: "innerproduct" num_output: 5 weight_filler { type: "xavier" } } bottom: "pool1" top: "ip" }
layers { layer { name: "prob" type: "softmax" } bottom: "ip" top: "prob" }
"""


def test_nets_of_2013_are_upgraded_and_run(run_caffe, tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(V0)
    assert run_caffe("upgrade_net_proto_text", old, new)[0] == 0
    net = text_format.Parse(new.read_text(), caffe_pb2.NetParameter())
    assert [layer.type for layer in net.layer] == ["Input", "Convolution", "Pooling", "InnerProduct", "Softmax"]
    conv = net.layer[1]
    assert conv.bottom == ["data"] and conv.convolution_param.pad == [2] and conv.convolution_param.kernel_size == [5]
    assert conv.param[0].lr_mult == 3 and not conv.convolution_param.bias_term
    assert net.layer[2].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    shapes = [{name: blob.shape for name, blob in caffe.Net(str(path), caffe.TEST).blobs.items()} for path in (old, new)]
    assert tuple(shapes[0]["pool1"]) == (2, 4, 3, 3) and shapes[0] == shapes[1]
    assert "already in latest proto format" in run_caffe("upgrade_net_proto_text", new, old)[2]


def test_data_settings_of_old_nets_become_transform_param(run_caffe, tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    v0 = 'layers { layer { name: "d" type: "data" source: "db" batchsize: 8 scale: 0.5 cropsize: 27 mirror: true } top: "x" }'
    v1 = 'layers { name: "d" type: DATA data_param { source: "db" batch_size: 8 scale: 0.5 crop_size: 27 mirror: true } top: "x" }'
    for text in (v0, v1):
        old.write_text(text)
        assert run_caffe("upgrade_net_proto_text", old, new)[0] == 0
        layer, = text_format.Parse(new.read_text(), caffe_pb2.NetParameter()).layer
        assert layer.type == "Data" and (layer.data_param.source, layer.data_param.batch_size) == ("db", 8)
        moved = layer.transform_param
        assert (moved.scale, moved.crop_size, moved.mirror) == (0.5, 27, True) and not layer.data_param.HasField("scale")


def test_caffemodels_and_solvers_are_upgraded(run_caffe, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    v1 = caffe_pb2.NetParameter(name="v1")
    v1.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT).blobs.add(data=[1, 2], shape={"dim": [2]})
    old.write_bytes(v1.SerializeToString())
    assert run_caffe("upgrade_net_proto_binary", old, new)[0] == 0
    layer, = caffe_pb2.NetParameter.FromString(new.read_bytes()).layer
    assert layer.type == "InnerProduct" and list(layer.blobs[0].data) == [1, 2]
    old.write_text("base_lr: 1 solver_type: ADAGRAD")
    assert run_caffe("upgrade_solver_proto_text", old, new)[0] == 0
    assert 'type: "AdaGrad"' in new.read_text() and "solver_type" not in new.read_text()


def columns_of_parse_log_sh(log):
    """What the shell parser takes: the iterations of lines with ', loss = ', their ninth words, those of ', lr = '."""
    lines = log.splitlines()
    losses = [line for line in lines if ", loss = " in line]
    iterations = [re.search(r"Iteration (\d+)", line)[1] for line in losses]
    return iterations, [line.split()[8] for line in losses], [line.split()[8] for line in lines if ", lr = " in line]


def test_log_parsers_read_the_log_of_training(run_caffe, tmp_path):
    log = tmp_path / "train.log"
    log.write_text("a program's own print: Iteration 7\n" + run_caffe("train", "-solver", write_solver(tmp_path))[2])
    assert run_caffe("parse_log", log, tmp_path)[0] == 0
    train, test = (list(csv.DictReader(open("%s.%s" % (log, what), encoding="utf-8"))) for what in ("train", "test"))
    assert list(train[0]) == ["NumIters", "Seconds", "LearningRate", "loss"]
    assert [float(row["NumIters"]) for row in train] == [0, 2, 4, 6]
    assert [float(row["LearningRate"]) for row in train] == [0.1, 0.1, 0.1, 0.01]     # the one logged before
    assert [float(row["NumIters"]) for row in test] == [0, 4, 8] and {"accuracy", "loss"} < set(test[0])
    seconds = [float(row["Seconds"]) for row in train]
    assert 0 <= seconds[0] and seconds == sorted(seconds)
    iterations, losses, rates = columns_of_parse_log_sh(log.read_text())
    assert iterations == ["0", "2", "4", "6", "8"] and rates == ["0.1", "0.1", "0.01", "0.01"]
    assert losses[0] == train[0]["loss"] and all(float(loss) > 0 for loss in losses)
    assert re.search(r"\] Solving ", log.read_text())


def test_parse_log_reads_real_caffes_forms(run_caffe, tmp_path):
    """Iterations a second in the line, numbers that are none, a new year, another delimiter."""
    log = tmp_path / "c.log"
    log.write_text("""I1231 23:59:58.000000  9 solver.cpp:289] Solving Small
I1231 23:59:58.500000  9 solver.cpp:347] Iteration 0, Testing net (#0)
I1231 23:59:58.500000  9 solver.cpp:414]     Test net output #0: acc = 0.5
Iteration 4 of a print
I1231 23:59:59.000000  9 solver.cpp:239] Iteration 0 (-1.4013e-45 iter/s, 0s/2 iters), loss = 0.859884
I1231 23:59:59.000000  9 solver.cpp:258]     Train net output #0: a/loss = 8.5e-05 (* 1 = 8.5e-05 loss)
I1231 23:59:59.000000  9 sgd_solver.cpp:112] Iteration 0, lr = 0.1
I0101 00:00:01.250000  9 solver.cpp:239] Iteration 2 (2 iter/s, 0s/2 iters), loss = nan
I0101 00:00:01.250000  9 solver.cpp:258]     Train net output #0: a/loss = nan (* 1 = nan loss)
I0101 00:00:01.250000  9 sgd_solver.cpp:112] Iteration 2, lr = 1e-05
""")
    assert run_caffe("parse_log", log, tmp_path, "--delimiter", ";", "--verbose")[0] == 0
    assert (tmp_path / "c.log.train").read_text().split() == [
        "NumIters;Seconds;LearningRate;a/loss", "0.0;1.0;0.1;8.5e-05", "2.0;3.25;0.1;nan"]
    assert (tmp_path / "c.log.test").read_text().split()[1] == "0.0;0.5;nan;0.5"


def test_several_processes_stop_together(tmp_path):
    codes, said, err = run_ranks(2, train_until_one_stops, tmp_path)
    assert codes == [0, 0], err
    assert sorted(said.split("\n")[:2]) == ["0 5", "1 5"]
    states = sorted(path.name for path in tmp_path.glob("rank*/*.solverstate"))
    assert states == ["s_iter_2.solverstate", "s_iter_5.solverstate"] and not list(tmp_path.glob("rank1/*.solverstate"))


def test_every_gpu_gets_a_process(tmp_path, monkeypatch):
    for setting in ("solver_count", "solver_rank", "multiprocess"):
        monkeypatch.setattr(common._State, setting, getattr(common._State, setting))
    monkeypatch.setenv("NOTES", str(tmp_path))
    with started(note_rank, Flags(sigint_effect="stop", sighup_effect="none"), None, [0, 1]) as uid:
        assert uid.startswith(b"tcp://") and caffe.solver_count() == 2
    assert (tmp_path / "rank1").read_text() == "1 of 2, tcp://"
    with started(note_rank, None, None, [0]) as uid:
        assert uid is None
