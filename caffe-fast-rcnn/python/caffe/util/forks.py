"""Which forks of Caffe have a layer type, a field or an enum value that this Caffe does not have.

The facts are from the forks' caffe.proto and layer sources.  To run a fork's layer later: add it to layer_types/ and
its message to caffe.proto, and delete it here (a test compares).
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Fork:
    """The additions of one fork.

    types   layer types
    fields  of LayerParameter, or Message.field of another message
    values  of enums
    """

    types: str = ""
    fields: str = ""
    values: str = ""


FORKS = {
    "SSD (weiliu89/caffe)": Fork(
        "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox VideoData",
        "annotated_data_param detection_evaluate_param detection_output_param multibox_loss_param norm_param "
        "permute_param prior_box_param video_data_param TransformationParameter.resize_param "
        "TransformationParameter.noise_param TransformationParameter.distort_param "
        "TransformationParameter.expand_param TransformationParameter.emit_constraint TransformationParameter.crop_h "
        "TransformationParameter.crop_w SolverParameter.eval_type SolverParameter.ap_version "
        "SolverParameter.plateau_winsize SolverParameter.show_per_class_result"),
    "Intel (intel/caffe)": Fork(
        "AnnotatedData ContinuationIndicator DetectionEvaluate DetectionOutput MnActivation MnParamGradCompress "
        "MultiBoxLoss Normalize Permute PriorBox SimplerNMS SpatialDropout VideoData",
        "engine multinode mn_activation_param mn_grad_compress_param quantization_param spatial_dropout_param "
        "continuation_indicator_param split_param annotated_data_param detection_evaluate_param "
        "detection_output_param multibox_loss_param norm_param permute_param prior_box_param video_data_param "
        "NetParameter.engine BatchNormParameter.engine BatchNormParameter.use_weight_bias "
        "BatchNormParameter.bias_term BatchNormParameter.filler BatchNormParameter.bias_filler "
        "BatchNormParameter.stats_batch_size BatchNormParameter.relu ConcatParameter.engine EltwiseParameter.engine "
        "LossParameter.label_smoothing TransformationParameter.random_resize_param "
        "TransformationParameter.random_aspect_ratio_param TransformationParameter.flow",
        "MKL2017 MKLDNN"),
    "NVIDIA (NVIDIA/caffe, DIGITS)": Fork(
        "DetectNetTransformation",
        "forward_type backward_type forward_math backward_math detectnet_groundtruth_param "
        "detectnet_augmentation_param NetParameter.default_forward_type NetParameter.default_backward_type "
        "NetParameter.default_forward_math NetParameter.default_backward_math NetParameter.global_grad_scale "
        "BatchNormParameter.scale_filler BatchNormParameter.bias_filler BatchNormParameter.engine "
        "ConvolutionParameter.cudnn_convolution_algo_seeker DataParameter.threads DataParameter.parser_threads "
        "DataParameter.cache DataParameter.shuffle"),
    "DeepLab (cdmh/deeplab-public)": Fork(
        "DenseCRF ImageSegData Interp MatRead MatWrite SegAccuracy UniqueLabel",
        "dense_crf_param interp_param mat_read_param mat_write_param seg_accuracy_param unique_label_param "
        "ConvolutionParameter.hole ConvolutionParameter.hole_h ConvolutionParameter.hole_w "
        "ImageDataParameter.label_type"),
    "PSPNet (hszhao/PSPNet)": Fork("BN ImageSegData Interp SegAccuracy", "bn_param interp_param seg_accuracy_param"),
    "OpenPose (CMU-Perceptual-Computing-Lab)": Fork(
        "CPMData ImResize Nms OPData OPVideo",
        "imresize_param nms_param op_transform_param cpm_transform_param"),
    "SegNet (alexgkendall/caffe-segnet)": Fork(
        "BN DenseImageData Upsample",
        "bn_param dense_image_data_param upsample_param LossParameter.weight_by_label_freqs "
        "SoftmaxParameter.class_weighting"),
    "ENet (TimoSaemann/ENet)": Fork(
        "BN DenseImageData SpatialDropout Upsample",
        "bn_param dense_image_data_param spatial_dropout_param upsample_param"),
    "TSN (yjxiong/caffe)": Fork("BN BatchReduction VideoData", "bn_param batch_reduction_param video_data_param"),
    "MobileNet (yonghenglh6/DepthwiseConvolution, farmingyard/caffe-mobilenet)": Fork(
        "ConvolutionDepthwise DepthwiseConvolution ReLU6"),
    "ShuffleNet (farmingyard/ShuffleNet)": Fork(
        "ConvolutionDepthwise ShuffleChannel", "shuffle_channel_param"),
    "SENet (hujie-frank/SENet)": Fork("Axpy"),
    "Mask R-CNN ports": Fork("ROIAlign", "roi_align_param"),
    "darknet2caffe (YOLO)": Fork("Mish Upsample", "mish_param upsample_param"),
    "MobileNet-YOLO (eric612/MobileNet-YOLO)": Fork(
        "DetectionEvaluate EvalDetection RegionLoss Reorg YoloDetectionOutput Yolov3 Yolov3DetectionOutput",
        "eval_detection_param region_loss_param reorg_param yolo_detection_output_param yolov3_param "
        "yolov3_detection_output_param"),
    "FlowNet (lmb-freiburg/flownet2)": Fork(
        "Correlation CustomData DataAugmentation Downsample FlowWarp L1Loss Resample",
        "augmentation_param coeff_schedule_param correlation_param downsample_param l1_loss_param mean_param "
        "reader_param resample_param writer_param"),
    "C3D (facebook/C3D)": Fork("Convolution3D Pooling3D VideoData"),
    "caffe-face (ydwen/caffe-face)": Fork("CenterLoss", "center_loss_param"),
    "SphereFace (wy1iu/sphereface)": Fork("MarginInnerProduct", "margin_inner_product_param"),
    "Ristretto (pmgysel/caffe)": Fork(
        "ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto", "quantization_param"),
    "CTC forks": Fork("CtcLoss LabelsequenceAccuracy Reverse Transpose", "ctc_loss_param reverse_param"),
    "synopsys-caffe (foss-for-synopsys-dwc-arc-processors)": Fork(
        "SqueezeConvolution SqueezeInnerProduct", "squeeze_convolution_param squeeze_inner_product_param"),
}


def forks_of_type(name: str) -> list[str]:
    """The forks that have layer type `name`; a name of V1's enum (PRIOR_BOX) stands for the type (PriorBox)."""
    wanted = name.replace("_", "").lower() if name.isupper() else name
    return [fork for fork, has in FORKS.items()
            if wanted in (has.types.lower().split() if name.isupper() else has.types.split())]


def forks_of_field(message: str, field: str) -> list[str]:
    """The forks whose message (LayerParameter, ...) has the field."""
    wanted = field if message in ("LayerParameter", "V1LayerParameter") else f"{message}.{field}"
    return [fork for fork, has in FORKS.items() if wanted in has.fields.split()]


def forks_of_value(value: str) -> list[str]:
    """The forks in which an enum has the value: an engine, or a layer type of V1."""
    return [fork for fork, has in FORKS.items() if value in has.values.split()] or forks_of_type(value)


def sentence_about(what: str, forks: list[str]) -> str:
    """What a message adds where forks are known; empty otherwise."""
    if not forks:
        return ""
    return (f"{what} belongs to a fork of Caffe: {', '.join(forks)}; this Caffe does not have it: "
            "use layers and fields of Caffe 1.0, or a Python layer")
