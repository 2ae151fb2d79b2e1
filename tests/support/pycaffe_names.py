"""pycaffe 1.0's public names: those of the package, and of the objects that it gives."""
PACKAGE = frozenset("""
    Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver NCCL Timer init_log log
    set_mode_cpu set_mode_gpu set_device set_random_seed Layer get_solver layer_type_list solver_count set_solver_count
    solver_rank set_solver_rank set_multiprocess has_nccl TRAIN TEST Classifier Detector io layers params NetSpec
    to_proto proto __version__
    """.split())
# What the older pycaffe of py-faster-rcnn's caffe-fast-rcnn lacks of them.
NEWER = frozenset("""
    NCCL Timer init_log log solver_count set_solver_count solver_rank set_solver_rank set_multiprocess has_nccl
    """.split())
NET = frozenset("""
    blobs blob_loss_weights params layers layer_dict inputs outputs top_names bottom_names forward backward forward_all
    forward_backward_all set_input_arrays reshape clear_param_diffs copy_from share_with save save_hdf5 load_hdf5
    before_forward after_forward before_backward after_backward
    """.split())
SOLVER = frozenset("""
    net test_nets iter param solve step restore snapshot add_callback share_weights apply_update
    """.split())
BLOB = frozenset("data diff shape num channels height width count reshape".split())
LAYER = frozenset("blobs type param_str phase setup reshape forward backward".split())
