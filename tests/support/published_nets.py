"""Nets in the structure that was published, by NetSpec.

Each function enters its layers into a NetSpec whose data (and label) are there already, from whatever data layer.
"""
import caffe
from caffe import layers as L
from caffe import params as P

TWO_RATES = [dict(lr_mult=1), dict(lr_mult=2)]
XAVIER = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="constant"))


def accuracy(score, label, **settings):
    return L.Accuracy(score, label, include=dict(phase=caffe.TEST), **settings)


def lenet(n):
    """LeNet of Caffe's MNIST example, after LeCun et al. 1998.  data (N, 1, 28, 28)."""
    n.conv1 = L.Convolution(n.data, param=TWO_RATES, num_output=20, kernel_size=5, **XAVIER)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.conv2 = L.Convolution(n.pool1, param=TWO_RATES, num_output=50, kernel_size=5, **XAVIER)
    n.pool2 = L.Pooling(n.conv2, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.ip1 = L.InnerProduct(n.pool2, param=TWO_RATES, num_output=500, **XAVIER)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, param=TWO_RATES, num_output=10, **XAVIER)
    n.accuracy = accuracy(n.ip2, n.label)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)


def alexnet(n):
    """AlexNet (Krizhevsky et al. 2012), normalisation before pooling.  data (N, 3, 227, 227)."""
    def conv(bottom, outputs, size, bias, **settings):
        return L.Convolution(bottom, num_output=outputs, kernel_size=size, weight_filler=dict(type="gaussian", std=0.01),
                             bias_filler=dict(type="constant", value=bias), **settings)

    def full(bottom, outputs, std, bias):
        return L.InnerProduct(bottom, num_output=outputs, weight_filler=dict(type="gaussian", std=std),
                              bias_filler=dict(type="constant", value=bias))

    pool = dict(pool=P.Pooling.MAX, kernel_size=3, stride=2)
    norm = dict(local_size=5, alpha=0.0001, beta=0.75)
    n.conv1 = conv(n.data, 96, 11, 0, stride=4)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(L.LRN(n.relu1, **norm), **pool)
    n.conv2 = conv(n.pool1, 256, 5, 0.1, pad=2, group=2)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(L.LRN(n.relu2, **norm), **pool)
    n.conv3 = conv(n.pool2, 384, 3, 0, pad=1)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.conv4 = conv(n.relu3, 384, 3, 0.1, pad=1, group=2)
    n.relu4 = L.ReLU(n.conv4, in_place=True)
    n.conv5 = conv(n.relu4, 256, 3, 0.1, pad=1, group=2)
    n.relu5 = L.ReLU(n.conv5, in_place=True)
    n.pool5 = L.Pooling(n.relu5, **pool)
    n.fc6 = full(n.pool5, 4096, 0.005, 0.1)
    n.drop6 = L.Dropout(L.ReLU(n.fc6, in_place=True), in_place=True)
    n.fc7 = full(n.drop6, 4096, 0.005, 0.1)
    n.drop7 = L.Dropout(L.ReLU(n.fc7, in_place=True), in_place=True)
    n.fc8 = full(n.drop7, 1000, 0.01, 0)
    n.accuracy = accuracy(n.fc8, n.label)
    n.loss = L.SoftmaxWithLoss(n.fc8, n.label)


# 1x1; 1x1 before 3x3, 3x3; 1x1 before 5x5, 5x5; 1x1 after pooling (table 1 of Szegedy et al. 2014)
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(n):
    """GoogLeNet (Szegedy et al. 2014) with both auxiliary classifiers.  data (N, 3, 224, 224)."""
    def conv(bottom, outputs, size, **settings):
        filler = dict(weight_filler=dict(type="xavier"), bias_filler=dict(type="constant", value=0.2))
        top = L.Convolution(bottom, num_output=outputs, kernel_size=size, pad=size // 2, **filler, **settings)
        return L.ReLU(top, in_place=True)

    def inception(bottom, name):
        one, before3, three, before5, five, after_pool = INCEPTION[name]
        pooled = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=1, pad=1)
        n["inception_" + name] = L.Concat(conv(bottom, one, 1), conv(conv(bottom, before3, 1), three, 3),
                                          conv(conv(bottom, before5, 1), five, 5), conv(pooled, after_pool, 1))
        return n["inception_" + name]

    def classifier(bottom, name, weight):
        pooled = L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=5, stride=3)
        hidden = L.ReLU(L.InnerProduct(conv(pooled, 128, 1), num_output=1024, **XAVIER), in_place=True)
        score = L.InnerProduct(L.Dropout(hidden, dropout_ratio=0.7, in_place=True), num_output=1000, **XAVIER)
        n[name] = L.SoftmaxWithLoss(score, n.label, loss_weight=weight)

    pool = dict(pool=P.Pooling.MAX, kernel_size=3, stride=2)
    norm = dict(local_size=5, alpha=0.0001, beta=0.75)
    n.pool1 = L.Pooling(conv(n.data, 64, 7, stride=2), **pool)
    n.conv2 = conv(conv(L.LRN(n.pool1, **norm), 64, 1), 192, 3)
    top = L.Pooling(L.LRN(n.conv2, **norm), **pool)
    for name in INCEPTION:
        top = inception(top, name)
        if name in ("3b", "4e"):
            top = L.Pooling(top, **pool)
        if name in ("4a", "4d"):
            classifier(top, "loss1" if name == "4a" else "loss2", 0.3)
    pooled = L.Pooling(top, pool=P.Pooling.AVE, kernel_size=7, stride=1)
    n.score = L.InnerProduct(L.Dropout(pooled, dropout_ratio=0.4, in_place=True), num_output=1000, **XAVIER)
    n.loss3 = L.SoftmaxWithLoss(n.score, n.label, loss_weight=1)
    n.top1 = accuracy(n.score, n.label)
    n.top5 = accuracy(n.score, n.label, accuracy_param=dict(top_k=5))


def cifar10_quick(n):
    """The quick net of Caffe's CIFAR-10 example.  data (N, 3, 32, 32)."""
    def conv(bottom, outputs, std):
        return L.Convolution(bottom, param=TWO_RATES, num_output=outputs, kernel_size=5, pad=2,
                             weight_filler=dict(type="gaussian", std=std), bias_filler=dict(type="constant"))

    def full(bottom, outputs):
        return L.InnerProduct(bottom, param=TWO_RATES, num_output=outputs,
                              weight_filler=dict(type="gaussian", std=0.1), bias_filler=dict(type="constant"))

    size = dict(kernel_size=3, stride=2)
    n.conv1 = conv(n.data, 32, 0.0001)
    n.pool1 = L.Pooling(n.conv1, pool=P.Pooling.MAX, **size)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.conv2 = conv(n.relu1, 32, 0.01)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, pool=P.Pooling.AVE, **size)
    n.conv3 = conv(n.pool2, 64, 0.01)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.pool3 = L.Pooling(n.relu3, pool=P.Pooling.AVE, **size)
    n.ip1 = full(n.pool3, 64)
    n.ip2 = full(n.ip1, 10)
    n.accuracy = accuracy(n.ip2, n.label)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)


def mnist_autoencoder(n):
    """Hinton and Salakhutdinov's autoencoder as Caffe's example has it: two layers called loss.  data (N, 1, 28, 28)."""
    def full(bottom, outputs):
        filler = dict(weight_filler=dict(type="gaussian", std=1, sparse=15), bias_filler=dict(type="constant"))
        return L.InnerProduct(bottom, param=[dict(decay_mult=1), dict(decay_mult=0)], num_output=outputs, **filler)

    n.flatdata = L.Flatten(n.data)
    top = n.data
    for i, outputs in enumerate((1000, 500, 250), 1):
        n["encode%d" % i] = full(top, outputs)
        n["encode%dneuron" % i] = top = L.Sigmoid(n["encode%d" % i])
    n.encode4 = top = full(top, 30)
    for i, outputs in zip((4, 3, 2), (250, 500, 1000)):
        n["decode%d" % i] = full(top, outputs)
        n["decode%dneuron" % i] = top = L.Sigmoid(n["decode%d" % i])
    n.decode1 = full(top, 784)
    n.cross_entropy_loss = L.SigmoidCrossEntropyLoss(n.decode1, n.flatdata, name="loss", loss_weight=1)
    n.decode1neuron = L.Sigmoid(n.decode1)
    n.l2_error = L.EuclideanLoss(n.decode1neuron, n.flatdata, name="loss", loss_weight=0)


def siamese(n):
    """Two LeNets that share their weights (Hadsell et al. 2006; Caffe's example).  pair_data (N, 2, 28, 28), sim (N)."""
    def branch(data, suffix):
        def named(name):
            return [dict(name=name + "_w", lr_mult=1), dict(name=name + "_b", lr_mult=2)]

        pool = dict(pool=P.Pooling.MAX, kernel_size=2, stride=2)
        conv1 = n["conv1" + suffix] = L.Convolution(data, param=named("conv1"), num_output=20, kernel_size=5, **XAVIER)
        conv2 = n["conv2" + suffix] = L.Convolution(L.Pooling(conv1, **pool), param=named("conv2"), num_output=50,
                                                    kernel_size=5, **XAVIER)
        ip1 = n["ip1" + suffix] = L.InnerProduct(L.Pooling(conv2, **pool), param=named("ip1"), num_output=500, **XAVIER)
        ip2 = n["ip2" + suffix] = L.InnerProduct(L.ReLU(ip1, in_place=True), param=named("ip2"), num_output=10, **XAVIER)
        feat = n["feat" + suffix] = L.InnerProduct(ip2, param=named("feat"), num_output=2, **XAVIER)
        return feat

    n.left, n.right = L.Slice(n.pair_data, slice_param=dict(slice_dim=1, slice_point=1), ntop=2)
    first = branch(n.left, "")
    n.loss = L.ContrastiveLoss(first, branch(n.right, "_p"), n.sim, contrastive_loss_param=dict(margin=1))


# name: (function, shape of an image, name of the images, name of the labels, labels from 0 to, parameters in all)
NETS = {
    "LeNet": (lenet, (1, 28, 28), "data", "label", 9, 431_080),
    "AlexNet": (alexnet, (3, 227, 227), "data", "label", 999, 60_965_224),
    "GoogLeNet": (googlenet, (3, 224, 224), "data", "label", 999, 13_378_280),
    "cifar10-quick": (cifar10_quick, (3, 32, 32), "data", "label", 9, 145_578),
    "mnist autoencoder": (mnist_autoencoder, (1, 28, 28), "data", None, 0, 2_837_314),
    "Siamese": (siamese, (2, 28, 28), "pair_data", "sim", 1, 431_102),
}


def published_net(name, source):
    """The NetParameter of a net; source(shape of an image, largest label or None) gives the tops of a data layer."""
    function, shape, data, label, largest, _ = NETS[name]
    n = caffe.NetSpec()
    if label is None:
        n[data] = source(shape, None)
    else:
        n[data], n[label] = source(shape, largest)
    function(n)
    return n.to_proto()
