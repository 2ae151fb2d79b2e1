"""The schema of Caffe's files; `caffe_pb2` is generated from caffe.proto when caffe is built."""
