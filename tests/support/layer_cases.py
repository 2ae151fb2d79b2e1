"""One or a few small problems for every built-in layer type: what each must do alike on the CPU and on a GPU."""
import numpy as np
from caffe import TEST, TRAIN

from .one_layer import make_layer

RANDOM = np.random.RandomState(5)
MAPS = RANDOM.randn(2, 6, 7, 8)
ROWS, OTHER_ROWS = RANDOM.randn(5, 4), RANDOM.randn(5, 4)
LABELS = np.array([0, 3, 1, 2, 0.0])
IGNORING = np.array([0, -1, 1, 2, -1.0])
PROB = np.exp(ROWS) / np.exp(ROWS).sum(1, keepdims=True)
ROIS = np.array([[0, 0, 0, 40, 50], [1, 20, 16, 70, 60], [0, 50, 30, 90, 70], [1, 20, 16, 70, 60], [0, 500, 500, 600, 600.0]])
WEIGHTS = RANDOM.randint(0, 2, (5, 4)).astype(float)
SMALL_MAPS, SCORE_MAPS = RANDOM.randn(2, 3, 4, 5), RANDOM.randn(2, 12, 4, 5)     # Triton's interpreter is slow
POSITIVE = np.abs(MAPS) + 0.5
SEQUENCES, CONT = RANDOM.randn(4, 2, 5), np.array([[0, 1], [1, 1], [1, 0], [1, 1.0]])
STATIC, STATE = RANDOM.randn(2, 3), RANDOM.randn(1, 2, 3)

# type -> [(what stands between the braces of layer { } behind the type, bottoms, number of tops)]
CASES = {
    "AbsVal": [("", [MAPS], 1)],
    "Accuracy": [("accuracy_param { top_k: 2 ignore_label: -1 }", [ROWS, IGNORING], 2)],
    "ArgMax": [("argmax_param { top_k: 2 axis: 1 }", [ROWS], 1)],
    "BNLL": [("", [MAPS], 1)],
    "BatchNorm": [("batch_norm_param { use_global_stats: false }", [MAPS], 1),
                  ("batch_norm_param { use_global_stats: true }", [MAPS], 1)],
    "BatchReindex": [("", [MAPS, np.array([1, 0, 1.0])], 1)],
    "Bias": [("bias_param { axis: 1 filler { type: 'constant' value: 2 } }", [MAPS], 1)],
    "BoxAnnotatorOHEM": [("box_annotator_ohem_param { roi_per_img: 1 }", [ROIS, np.abs(LABELS), LABELS, WEIGHTS], 2)],
    "Clip": [("clip_param { min: -0.5 max: 0.5 }", [MAPS], 1)],
    "Concat": [("concat_param { axis: 1 }", [MAPS, POSITIVE], 1)],
    "ContrastiveLoss": [("contrastive_loss_param { margin: 2 }", [ROWS, OTHER_ROWS, LABELS > 1], 1)],
    "Convolution": [("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 group: 2 weight_filler { type: 'xavier' } }", [MAPS], 1)],
    "Crop": [("crop_param { axis: 2 offset: 1 }", [MAPS, MAPS[:, :, :4, :5]], 1)],
    "Deconvolution": [("convolution_param { num_output: 4 kernel_size: 4 stride: 2 weight_filler { type: 'xavier' } }", [MAPS], 1)],
    "Dropout": [("dropout_param { dropout_ratio: 0.5 }", [MAPS], 1)],
    "DummyData": [("dummy_data_param { shape { dim: 3 } data_filler { type: 'constant' value: 2 } }", [], 1)],
    "ELU": [("", [MAPS], 1)],
    "Eltwise": [("eltwise_param { operation: %s }" % op, [MAPS, POSITIVE], 1) for op in ("SUM", "PROD", "MAX")],
    "Embed": [("embed_param { input_dim: 4 num_output: 3 weight_filler { type: 'xavier' } }", [LABELS], 1)],
    "EuclideanLoss": [("", [ROWS, OTHER_ROWS], 1)],
    "Exp": [("exp_param { base: 2 scale: 0.5 }", [MAPS], 1)],
    "Filter": [("", [MAPS, np.array([0, 1.0])], 1)],
    "Flatten": [("", [MAPS], 1)],
    "HingeLoss": [("hinge_loss_param { norm: L2 }", [ROWS, LABELS], 1)],
    "Im2col": [("convolution_param { kernel_size: 3 pad: 1 }", [MAPS], 1)],
    "InfogainLoss": [("loss_param { ignore_label: -1 }", [ROWS, IGNORING, RANDOM.rand(4, 4)], 2)],
    "InnerProduct": [("inner_product_param { num_output: 3 weight_filler { type: 'xavier' } }", [MAPS], 1)],
    "Input": [("input_param { shape { dim: 2 dim: 3 } }", [], 1)],
    "LSTM": [("recurrent_param { num_output: 3 }", [SEQUENCES, CONT], 1),
             ("recurrent_param { num_output: 3 expose_hidden: true }", [SEQUENCES, CONT, STATIC, STATE, STATE], 3)],
    "LSTMUnit": [("", [STATE, RANDOM.randn(1, 2, 12), CONT[:1]], 2)],
    "LRN": [("lrn_param { local_size: 5 alpha: 0.05 }", [MAPS], 1),
            ("lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }", [MAPS], 1)],
    "Log": [("", [POSITIVE], 1)],
    "MVN": [("", [MAPS], 1)],
    "MemoryData": [("memory_data_param { batch_size: 2 channels: 6 height: 7 width: 8 }", [], 2)],     # shows MAPS
    "MultinomialLogisticLoss": [("", [PROB, LABELS], 1)],
    "PReLU": [("", [MAPS], 1)],
    "PSROIPooling": [("psroi_pooling_param { output_dim: 3 group_size: 2 spatial_scale: 0.0625 }", [SCORE_MAPS, ROIS], 1)],
    "Parameter": [("parameter_param { shape { dim: 2 dim: 3 } }", [], 1)],
    "Pooling": [("pooling_param { pool: %s kernel_size: 3 stride: 2 pad: 1 }" % pool, [MAPS], 1) for pool in ("MAX", "AVE")],
    "Power": [("power_param { power: 2 scale: 0.5 shift: 1 }", [MAPS], 1)],
    "RNN": [("recurrent_param { num_output: 3 }", [SEQUENCES, CONT, STATIC], 1),
            ("recurrent_param { num_output: 3 expose_hidden: true }", [SEQUENCES, CONT, STATE], 2)],
    "ROIPooling": [("roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 }", [SMALL_MAPS, ROIS], 1)],
    "ReLU": [("relu_param { negative_slope: 0.1 }", [MAPS], 1)],
    "Reduction": [("reduction_param { operation: MEAN axis: 1 }", [MAPS], 1)],
    "Reshape": [("reshape_param { shape { dim: 0 dim: -1 } }", [MAPS], 1)],
    "SPP": [("spp_param { pyramid_height: 2 pool: %s }" % pool, [MAPS], 1) for pool in ("MAX", "AVE")],
    "Scale": [("scale_param { axis: 1 bias_term: true filler { type: 'constant' value: 2 } }", [MAPS], 1)],
    "Sigmoid": [("", [MAPS], 1)],
    "SigmoidCrossEntropyLoss": [("loss_param { ignore_label: -1 }", [ROWS, np.where(WEIGHTS, 1.0, -1)], 1)],
    "Silence": [("", [MAPS], 0)],
    "Slice": [("slice_param { axis: 1 slice_point: 2 }", [MAPS], 2)],
    "SmoothL1Loss": [("smooth_l1_loss_param { sigma: 2 }", [ROWS, OTHER_ROWS, WEIGHTS, WEIGHTS * 0.5], 1)],
    "SmoothL1LossOHEM": [("loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 }", [ROWS, OTHER_ROWS, WEIGHTS], 2)],
    "Softmax": [("", [MAPS], 1)],
    "SoftmaxWithLoss": [("loss_param { ignore_label: -1 }", [ROWS, IGNORING], 2)],
    "SoftmaxWithLossOHEM": [("loss_param { ignore_label: -1 }", [ROWS, IGNORING], 3)],
    "Split": [("", [MAPS], 2)],
    "Swish": [("swish_param { beta: 2 }", [MAPS], 1)],
    "TanH": [("", [MAPS], 1)],
    "Threshold": [("threshold_param { threshold: 0.2 }", [MAPS], 1)],
    "Tile": [("tile_param { axis: 1 tiles: 2 }", [MAPS], 1)],
}
NO_GRADIENT = {"Accuracy", "ArgMax", "DummyData", "Input", "MemoryData", "Threshold"}
ALL = [(kind, 'type: "%s" %s' % (kind, settings), bottoms, tops)
       for kind, cases in CASES.items() for settings, bottoms, tops in cases]
IDS = ["%s-%d" % (kind, i) for kind, cases in CASES.items() for i in range(len(cases))]


def make_case(kind, text, bottoms, tops, phase):
    """(layer, bottom, top) of a case, ready for forward."""
    layer, bottom, top = make_layer(text, bottoms, tops, phase)
    if kind == "MemoryData":
        layer.set_arrays(MAPS, LABELS[:2])
    return layer, bottom, top


def run_layer(kind, text, bottoms, tops):
    """Arrays of a pass on the current device: tops, bottom diffs, parameter diffs, tops of a pass without backward."""
    layer, bottom, top = make_case(kind, text, bottoms, tops, TEST if kind == "Dropout" else TRAIN)
    random = np.random.RandomState(1)
    for blob in layer.blobs:
        blob.data[...] = random.uniform(0.2, 1, blob.shape)
    layer.forward(bottom, top)
    arrays = [blob.data.copy() for blob in top]
    if kind in NO_GRADIENT:
        return arrays
    for blob in top:
        blob.diff[...] = random.randn(*blob.shape)
    layer.backward(top, [layer.allow_force_backward(i) for i in range(len(bottom))], bottom)
    arrays += [blob.diff.copy() for blob in bottom + layer.blobs]
    layer.needs_backward = False
    layer.forward(bottom, top)
    return arrays + [blob.data.copy() for blob in top]
