"""Training a Fast R-CNN net: the solver, the roidb it learns from, snapshots that test nets can use, exact resume."""
import os
import signal
from contextlib import contextmanager, nullcontext

import caffe
import numpy as np
from datasets.check import tell_images_without_objects
from roi_data_layer import settings
from roi_data_layer.roidb import add_bbox_regression_targets, prepare_roidb
from roi_data_layer.sampling import has_candidates
from training.conditions import conditions_of, tell_changes
from training.fitting import fit_solver, net_field, shorten_schedule, snapshot_prefix
from training.folder_lock import only_training_in
from training.forecast import Forecast
from training.identity import identify, roidb_key
from training.ledger_source import LedgerSource
from training.log import DIVERGED_REMEDY, TrainingLog
from training.mining_stats import MiningStats
from training.own_layers import is_stateful, tell_no_statistics, tell_stateless, tell_unknown_mining
from training.pretrained import load_pretrained
from training.processes import agree_on_stop, seed_iteration, share_gradients
from training.record import describe_run, read_record
from training.resume import STATE, drop_other_states, load_resume, read_ledger, save_resume, stem_of
from training.run_folder import Run, begun, choose_state, drop_previous, record_folder
from training.stop_signals import StopSignals
from utils import caffe_extensions
from utils.caffe_extensions import LostProcess
from utils.errors import UserError
from utils.progress import progress

from fast_rcnn.class_names import write_class_names
from fast_rcnn.config import cfg, check_cfg
from fast_rcnn.finite import REMEDY, weights_not_finite
from fast_rcnn.prototxt import (
    annotator,
    find_bbox_pred,
    loss_blobs,
    own_choosers,
    python_classes,
    roi_scores,
    write_prototxt,
)

# {type of a layer that chooses the hard RoIs: settings file in experiments/cfgs that goes with it}
MINING_CFGS = {"OHEMDataLayer": "fast_rcnn_ohem", "BoxAnnotatorOHEM": "rfcn_end2end_ohem"}


def get_training_roidb(imdb):
    """The roidb of an imdb, with mirrored copies (cfg.TRAIN.USE_FLIPPED), ready for minibatches."""
    check_cfg("TRAIN")
    print("%s: %d images, %d classes: %s" % (imdb.name, imdb.num_images, imdb.num_classes, ", ".join(imdb.classes)))
    tell_images_without_objects(imdb, imdb.roidb, share=0.5)
    if cfg.TRAIN.USE_FLIPPED:
        imdb.append_flipped_images()
    prepare_roidb(imdb)
    return imdb.roidb


def filter_roidb(roidb):
    """The entries that have a foreground or a background RoI; UserError when none has."""
    sampling = settings.sampling()
    usable = [entry for entry in roidb if has_candidates(entry["max_overlaps"], sampling)]
    print("Filtered %d roidb entries: %d -> %d" % (len(roidb) - len(usable), len(roidb), len(usable)))
    if not usable:
        raise UserError("none of the %d training images has a RoI with IoU >= TRAIN.FG_THRESH (%g) or in [TRAIN."
                        "BG_THRESH_LO, BG_THRESH_HI) = [%g, %g); check the annotations and proposals" % (
                            len(roidb), cfg.TRAIN.FG_THRESH, cfg.TRAIN.BG_THRESH_LO, cfg.TRAIN.BG_THRESH_HI))
    return usable


def train_net(solver_prototxt, roidb, output_dir, pretrained_model=None, max_iters=40000, resume=None, classes=None,
              run=None):
    """Train, as the only training in output_dir; returns the paths of the snapshots.

    roidb: of get_training_roidb.  pretrained_model: caffemodel to start from.  resume: solverstate of an earlier
    snapshot of this run to continue from, bit for bit, instead, or 'auto': of its last one, if any.
    classes: their names, the background first, which the snapshots carry.  run: training.run_folder.Run, what else
    there is to know.
    """
    check_cfg("TRAIN")
    roidb, run = filter_roidb(roidb), run or Run()
    solver_param, net_param, _ = fit_solver(solver_prototxt, roidb[0]["gt_overlaps"].shape[1])
    this = identify(net_param, solver_param, run.data_key or roidb_key(roidb), classes, cfg.RNG_SEED, pretrained_model)
    conditions = conditions_of(max_iters, solver_param, run.paths)
    os.makedirs(output_dir, exist_ok=True)
    nccl = caffe_extensions.join()
    with only_training_in(output_dir, nccl):
        prefix = snapshot_prefix(solver_param, cfg.TRAIN.SNAPSHOT_INFIX)
        state, this = choose_state(output_dir, prefix, this, resume, run)
        cfg.RNG_SEED = this["seed"]
        print("Training starts from %s" % (state or pretrained_model or "the net's fillers"), flush=True)
        if state:
            tell_changes(read_record(record_folder(state)).get("conditions", {}), conditions)
        nccl.mean([])       # all have looked at the folder before rank 0 changes it
        record = describe_run(identity=this, conditions=conditions, **run.facts)
        with nullcontext() if nccl.rank else begun(output_dir, record, goes_on=state is not None):
            nccl.mean([])   # rank 0 has put it in order before the others write there
            wrapper = SolverWrapper(solver_prototxt, roidb, output_dir, pretrained_model, state, max_iters, classes,
                                    this)
        return wrapper.train_model(max_iters)


class SolverWrapper:
    """A Caffe solver whose snapshots predict boxes in pixels, not in normalised targets.

    The box predictor learns targets normalised by class (t - mean) / std; snapshots fold mean and std into its weights
    and bias, so that test nets need neither.  max_iters: what cfg.TRAIN.STEP_FRACTION is a part of.
    identity: of the run (training.identity), which its states carry.
    """

    def __init__(self, solver_prototxt, roidb, output_dir, pretrained_model=None, resume=None, max_iters=None,
                 classes=None, identity=None):
        self.classes, self._identity = classes, identity
        self.output_dir = os.path.abspath(output_dir)
        os.makedirs(self.output_dir, exist_ok=True)
        self.solver_param, net_param = self._fitted(solver_prototxt, roidb[0]["gt_overlaps"].shape[1], max_iters)
        check_settings(net_param)
        check_rpn_settings(net_param)
        losses, self._net_name = loss_blobs(net_param), net_param.name
        self._bbox_pred = self.bbox_means = self.bbox_stds = None
        if cfg.TRAIN.BBOX_REG:
            self.bbox_means, self.bbox_stds = add_bbox_regression_targets(roidb)
            if cfg.TRAIN.AGNOSTIC:      # the same for all classes, as BBOX_NORMALIZE_TARGETS_PRECOMPUTED has them
                self.bbox_means, self.bbox_stds = self.bbox_means[:8], self.bbox_stds[:8]
            if cfg.TRAIN.BBOX_NORMALIZE_TARGETS:
                self._bbox_pred = find_bbox_pred(net_param, self.bbox_means.size)
        self.solver = caffe.get_solver(os.path.join(self.output_dir, "solver.prototxt"))
        if pretrained_model is not None and resume is None:
            load_pretrained(self.solver.net, pretrained_model, classes)
            self._require_finite_weights("weights %s cannot be trained on: " % pretrained_model, REMEDY)
        self._data_layers = self._find_data_layers()
        tell_stateless(self._data_layers)
        self._feed(roidb, lambda layer: is_stateful(layer) or resume is None)
        self._warming_layers = [layer for layer in self.solver.net.layers if hasattr(layer, "set_iteration")]
        self._seed = cfg.RNG_SEED
        if resume is not None:
            self._restore(resume)
            self._feed(roidb, lambda layer: not is_stateful(layer))     # from the restored random state
        self._ask_samplers()
        self._nccl = share_gradients(self.solver)
        print("Training on %d images%s; output goes to %s" % (
            len(roidb), " in %d processes" % self._nccl.count if self._nccl.count > 1 else "", self.output_dir),
            flush=True)
        self._mining = MiningStats(self.solver.net, annotator(net_param))
        self._ledger = self._make_ledger(net_param, roidb, resume)
        if cfg.TRAIN.USE_OHEM and not self._mining.is_told:
            tell_no_statistics()
        self._log = TrainingLog(os.path.join(self.output_dir, "metrics.csv"), self.solver_param.display,
                                losses, self._nccl, self._mining, self.solver.iter, cfg.TRAIN.TENSORBOARD)

    def train_model(self, max_iters):
        """Train up to iteration max_iters, with a snapshot every cfg.TRAIN.SNAPSHOT_ITERS and at the end.

        Ctrl-C and SIGTERM, to any process, finish the iteration, snapshot, and exit with 130 or 143.  A process that
        ends leaves a snapshot too, and a LostProcess.  Returns the snapshots' paths.
        """
        paths, agreed, solver, every = [], None, self.solver, cfg.TRAIN.SNAPSHOT_ITERS
        caffe_extensions.log("Solving %s" % self._net_name)    # the line from which log parsers count seconds
        with StopSignals(patient=self._nccl.count > 1) as stop, self._rescued():
            forecast = Forecast(solver.iter, max_iters)
            for _ in progress(range(solver.iter, max_iters), "Training", unit="iterations"):
                self._iterate()
                forecast.add(solver.iter)
                agreed = agree_on_stop(self._nccl, stop.received)   # a signal that comes meanwhile: the next time
                if solver.iter == max_iters or agreed or (every > 0 and solver.iter % every == 0):
                    paths.append(self.snapshot())
                if agreed:
                    break
            # Once more for the last snapshot; and the first process that leaves ends the others, under torchrun.
            agreed = agree_on_stop(self._nccl, stop.received) or agreed
        if agreed:
            print("Stopped by %s after iteration %d; go on with --resume %s_iter_%d%s" % (
                signal.Signals(agreed).name, solver.iter, self.solver_param.snapshot_prefix, solver.iter, STATE),
                flush=True)
            raise SystemExit(128 + agreed)
        return paths or [self.snapshot()]

    def _iterate(self):
        for layer in self._warming_layers:
            layer.set_iteration(self.solver.iter)
        seed_iteration(self._seed, self.solver.iter)
        self.solver.step(1)
        self._ask_samplers()
        self._mining.add_iteration()
        if self._ledger:
            self._ledger.add_iteration()
        self._log.add(self.solver.iter, self.solver.net)

    @contextmanager
    def _rescued(self):
        """Within it, when another process ends, one of those that are left writes down the last whole iteration."""
        start = self.solver.iter
        try:
            yield
        except LostProcess as e:
            if self._nccl.rank != e.first_left or self.solver.iter == start:
                raise
            stem = self._write_snapshot(self._ledger and self._ledger.ledger.arrays())
            if e.ranks:     # else others may be left that write too
                drop_other_states(self.solver_param.snapshot_prefix, stem)
            raise LostProcess("%s; %d iterations are done, go on with --resume %s%s"
                              % (e, self.solver.iter, stem, STATE), e.ranks) from e

    def snapshot(self):
        """Write <prefix>[_<SNAPSHOT_INFIX>]_iter_<n>.caffemodel and the state to resume from; returns its path.

        The resume state of the snapshot before goes; its caffemodel stays.  Of several processes rank 0 writes.
        """
        ledger = self._ledger.take(self._nccl) if self._ledger else None
        if self._nccl.rank:
            return self._stem() + ".caffemodel"
        stem = self._write_snapshot(ledger)
        drop_other_states(self.solver_param.snapshot_prefix, stem)
        print("Wrote snapshot to: %s.caffemodel" % stem, flush=True)
        return stem + ".caffemodel"

    def _stem(self):
        return "%s_iter_%d" % (self.solver_param.snapshot_prefix, self.solver.iter)

    def _write_snapshot(self, ledger):
        """Write the files of a snapshot after the last whole iteration; returns their common stem.

        ledger: arrays of the loss ledger, or None.
        """
        self._require_finite_weights("training diverged: after iteration %d " % self.solver.iter, DIVERGED_REMEDY)
        if self._asked_at != self.solver.iter:      # a fork's own train_model
            self._ask_samplers()
        with self._unnormalized() as raw:
            self.solver.snapshot()
        write_class_names(self._stem() + ".caffemodel", self.classes)
        save_resume(self._stem(), raw, self._sampler_states, self._seed, self._identity, ledger)
        drop_previous(self.output_dir)
        return self._stem()

    def _fitted(self, solver_prototxt, num_classes, max_iters):
        """Write the solver that runs into output_dir, with its net where the class count had to change.

        Returns (SolverParameter, NetParameter).
        """
        solver_param, net_param, changed = fit_solver(solver_prototxt, num_classes)
        if solver_param.snapshot_format == solver_param.HDF5:
            raise UserError("solver %s asks for snapshots in HDF5, and test nets and --resume need caffemodels; remove "
                            "snapshot_format: HDF5" % solver_prototxt)
        if changed:
            path = os.path.join(self.output_dir, "train.prototxt")
            print("The net is fitted to %d classes: %s" % (num_classes, path))
            write_prototxt(net_param, path)
            setattr(solver_param, net_field(solver_param), path)
        prefix = snapshot_prefix(solver_param, cfg.TRAIN.SNAPSHOT_INFIX)
        solver_param.snapshot_prefix = os.path.join(self.output_dir, prefix)
        shorten_schedule(solver_param, max_iters, cfg.TRAIN.STEP_FRACTION)
        check_schedule(solver_param, max_iters)
        write_prototxt(solver_param, os.path.join(self.output_dir, "solver.prototxt"))
        return solver_param, net_param

    def _find_data_layers(self):
        """The net's data layers, which are those with set_roidb."""
        layers = [layer for layer in self.solver.net.layers if hasattr(layer, "set_roidb")]
        if not layers:
            raise UserError("the train net in %s/solver.prototxt has no layer that takes a roidb; its data layer must "
                            "be the Python layer roi_data_layer.layer.RoIDataLayer" % self.output_dir)
        return layers

    def _make_ledger(self, net_param, roidb, resume):
        """The LedgerSource of this training, or None where the settings or the net have none."""
        mines, net = annotator(net_param), self.solver.net
        if not (cfg.TRAIN.LOSS_LEDGER and LedgerSource.fits(net, mines)):
            return None
        source = LedgerSource(net, roidb, mines, roi_scores(net_param))
        arrays = read_ledger(resume) if resume is not None and self._nccl.rank == 0 else {}
        if arrays:
            source.ledger.restore(arrays)
        return source

    def _feed(self, roidb, chosen):
        """Hand the roidb to the data layers for which chosen(layer)."""
        for layer in filter(chosen, self._data_layers):
            layer.set_roidb(roidb)

    def _restore(self, solverstate):
        resumed = load_resume(solverstate)
        self.solver.restore(str(solverstate))
        self.solver.net.copy_from(stem_of(solverstate) + ".caffemodel")     # wherever learned_net says they are
        if resumed:
            raw, samplers, self._seed = resumed
            for k, blob in enumerate(self._bbox_blobs()):
                blob.data[...] = raw[str(k)]
            for layer, state in zip(self._data_layers, samplers):
                if state and is_stateful(layer):
                    layer.set_sampler_state(state)
        print("Resumed from %s at iteration %d, with seed %d" % (solverstate, self.solver.iter, self._seed),
              flush=True)

    def _ask_samplers(self):
        """Note where the data layers stand after this iteration; {} for one that does not tell."""
        self._asked_at = self.solver.iter
        self._sampler_states = [layer.sampler_state() if is_stateful(layer) else {} for layer in self._data_layers]

    def _bbox_blobs(self):
        return list(self.solver.net.params[self._bbox_pred]) if self._bbox_pred else []

    @contextmanager
    def _unnormalized(self):
        """Within it the box predictor gives un-normalised targets; gives {"0": weights, "1": bias} as they were."""
        blobs = self._bbox_blobs()
        raw = [blob.data.copy() for blob in blobs]
        try:
            if blobs:
                weights, bias = blobs
                # R-FCN's score maps: one after the other those of the parts of the same number
                means, stds = (np.repeat(a, len(raw[1]) // len(a)) for a in (self.bbox_means, self.bbox_stds))
                weights.data[...] = raw[0] * stds.reshape((-1,) + (1,) * (raw[0].ndim - 1))
                bias.data[...] = raw[1] * stds + means
            yield {str(k): array for k, array in enumerate(raw)}
        finally:
            for blob, array in zip(blobs, raw):
                blob.data[...] = array

    def _require_finite_weights(self, what, remedy):
        layer = weights_not_finite(self.solver.net)
        if layer:
            raise UserError("%slayer %s has weights that are not finite; %s" % (what, layer, remedy))


def check_schedule(solver_param, max_iters):
    """UserError if the solver's rate reaches zero, or grows again, before the last iteration."""
    ends = solver_param.lr_policy == "poly" and solver_param.power
    if ends and max_iters is not None and max_iters > solver_param.max_iter:
        raise UserError("the solver's lr_policy poly ends at its max_iter, %d, before the %d iterations requested; "
                        "set max_iter to %d in the solver, or request fewer"
                        % (solver_param.max_iter, max_iters, max_iters))


def check_settings(net_param):
    """UserError for settings that contradict the net or each other, such as those that switch mining off unseen."""
    mines, train = mining_layer(net_param), cfg.TRAIN
    own = own_choosers(net_param)
    if train.USE_OHEM and not mines and own:
        tell_unknown_mining(own)
    elif train.USE_OHEM and not mines:
        raise UserError("TRAIN.USE_OHEM is True, but the net %s has no OHEMDataLayer, so nothing would be mined; train "
                        "a fast_rcnn_ohem model, or set TRAIN.USE_OHEM False" % net_param.name)
    if mines and not train.USE_OHEM:
        print("The net %s mines (%s), but TRAIN.USE_OHEM is False: it chooses among sampled RoIs, %s. If that is a "
              "mistake, add --cfg experiments/cfgs/%s.yml" % (
                  net_param.name, mines, "all there are" if train.BATCH_SIZE < 0 else
                  "at most %d of a minibatch" % train.BATCH_SIZE, MINING_CFGS[mines]), flush=True)


def mining_layer(net_param):
    """Type of the layer that chooses the hard RoIs, None in a net that takes a sample of them."""
    types = python_classes(net_param) + [layer.type for layer in net_param.layer]
    return next((name for name in MINING_CFGS if name in types), None)


def check_rpn_settings(net_param):
    """As check_settings, for what concerns nets that propose their RoIs themselves."""
    end_to_end, train = "ProposalTargetLayer" in python_classes(net_param), cfg.TRAIN
    unknown_scale = train.BBOX_NORMALIZE_TARGETS and not train.BBOX_NORMALIZE_TARGETS_PRECOMPUTED
    if end_to_end and (unknown_scale or not train.BBOX_REG):
        raise UserError("the net %s makes the box targets of its own proposals, whose statistics nobody knows "
                        "beforehand; set TRAIN.BBOX_REG True and TRAIN.BBOX_NORMALIZE_TARGETS_PRECOMPUTED True, as "
                        "experiments/cfgs/faster_rcnn_end2end.yml does" % net_param.name)
    if train.AGNOSTIC and not end_to_end:
        raise UserError("TRAIN.AGNOSTIC is for nets with a ProposalTargetLayer, such as rfcn_end2end, and the net %s "
                        "has none; set it to False" % net_param.name)
    if train.OHEM_WARMUP_ITERS and not (end_to_end and train.USE_OHEM):
        raise UserError("TRAIN.OHEM_WARMUP_ITERS is %d, but the net %s does not mine its own proposals; set it to 0, "
                        "or train a faster_rcnn_end2end_ohem model" % (train.OHEM_WARMUP_ITERS, net_param.name))
