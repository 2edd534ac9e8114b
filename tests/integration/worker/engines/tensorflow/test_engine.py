"""TensorFlow's engine loads what people have, gives the answers that their model gives, and explains itself."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.models.small_models import run_graph, write_graph
from tests.support.photos import chelsea, chelsea_jpeg, china_jpeg, coffee_jpeg, encode, flower_jpeg
from worker.artifacts.preprocess_config import Preprocess
from worker.artifacts.source import ModelSource
from worker.engines.sample_images import sample_images
from worker.engines.selection.compare import compare
from worker.engines.selection.saved_choice import load_with, read_choice
from worker.engines.selection.select import open_model
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import ModelError, NotAnImage
from worker.images.decode import ImageSize, decode
from worker.inference.model import Model, load

with quiet_tensorflow():
    import keras
    import tensorflow as tf

    from worker.engines.tensorflow.optimized_graph import SessionEngine

# Keras 3 and NumPy 2 disagree on how arrays are copied, in Keras's own saving and training.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")

PHOTOS = (chelsea_jpeg(), coffee_jpeg(), china_jpeg(), flower_jpeg())


def named(**said: Any) -> ModelSource:
    """A model's source with TensorFlow asked for by name, so that nothing is compared."""
    return ModelSource(engine="tensorflow", **said)


def answers(model: Model, photos: tuple[bytes, ...] = PHOTOS) -> NDArray[np.float32]:
    return model.predict([model.decode(photo) for photo in photos])


def close(one: NDArray[Any], other: NDArray[Any], *, within: float = 1e-4) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() < within)


def stretched(photo: bytes, edge: int) -> NDArray[np.uint8]:
    """A photo as a model without wishes of its own gets it."""
    return decode(photo, size=ImageSize(edge, edge), max_pixels=10**7)


def small_network(
    *, size: int | None = 32, channels: int = 3, scaling: Any = None, classes: int = 3, end: str = "softmax"
) -> keras.Model:
    """A convolutional network with random weights that tells images apart."""
    keras.utils.set_random_seed(5)
    pixels = keras.Input((size, size, channels), name="pixels")
    x = scaling(pixels) if scaling else pixels
    x = keras.layers.Conv2D(8, 5, strides=3, activation="relu", kernel_initializer="random_normal")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    out = keras.layers.Dense(classes, activation=end, kernel_initializer="orthogonal")(x)
    return keras.Model(pixels, out)


def save(path: Path, function: Any, spec: Any, name: str = "serving_default") -> Path:
    """A SavedModel of one function."""
    whole = tf.Module()
    whole.function = tf.function(function, input_signature=[spec])
    tf.saved_model.save(whole, str(path), signatures={name: whole.function})
    return path


# The article's graph


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph like retrain.py's, which starts with its own JPEG decoder."""
    return write_graph(tmp_path_factory.mktemp("article") / "output_graph.pb")


@pytest.mark.parametrize("norm", ["scaled", "unscaled"])
def test_a_graph_of_2015_answers_as_it_did(tmp_path: Path, norm: str) -> None:
    """Inception's graph of the article's time normalizes with an operation that is gone; it runs all the same."""
    graph = write_graph(tmp_path / "graph.pb", norm=norm)
    model = load(named(graph=graph), name="old")
    decoded = [model.decode(photo) for photo in PHOTOS]
    wanted = np.concatenate([run_graph(graph, {"DecodeJpeg:0": image}) for image in decoded])
    assert close(answers(model), wanted)


@pytest.mark.parametrize("suffix", ["", ":0"])
def test_the_articles_graph_answers_as_label_image_does(article: Path, suffix: str) -> None:
    """Fed with the same JPEGs, the graph says here what it says when TensorFlow feeds it, with or without :0."""
    source = named(graph=article, input_layer=f"DecodeJpeg/contents{suffix}", output_layer=f"final_result{suffix}")
    found = answers(load(source, name="article"))
    # TensorFlow's decoder and Pillow's differ by a grey level; behind the decoder nothing differs.
    wanted = np.concatenate([run_graph(article, {"DecodeJpeg/contents:0": photo}) for photo in PHOTOS])
    assert close(found, wanted, within=0.03)
    assert np.ptp(wanted, axis=0).max() > 0.1
    decoded = [decode(photo, size=None, max_pixels=10**7) for photo in PHOTOS]
    assert close(found, np.concatenate([run_graph(article, {"DecodeJpeg:0": image}) for image in decoded]))


def test_the_articles_layers_are_found_without_being_named(article: Path) -> None:
    """Without flags the graph's decoder and final_result are taken, and its classes are numbers."""
    model = load(named(graph=article), name="article")
    assert model.labels == ("0", "1", "2", "3")
    assert model.describe()["platform"] == "tensorflow_graphdef"
    assert model.describe()["input"]["size"] is None


def test_the_articles_graph_takes_more_than_jpegs(article: Path) -> None:
    """Entered behind its decoder, the graph takes PNG and EXIF-turned images like every other model."""
    model = load(named(graph=article), name="article")
    from PIL import Image

    png = encode(Image.fromarray(chelsea()), "PNG")
    wanted = run_graph(article, {"DecodeJpeg:0": chelsea()})
    assert close(answers(model, (png,)), wanted, within=1e-4)
    with pytest.raises(NotAnImage):
        model.decode(encode(Image.fromarray(chelsea()), "TIFF"))


def test_the_articles_labels_are_read(article: Path, tmp_path: Path) -> None:
    """--labels names the classes, and a wrong number of names is an error that says both numbers."""
    labels = tmp_path / "output_labels.txt"
    labels.write_text("daisy\ndandelion\nroses\ntulips\n")
    assert load(named(graph=article, labels=labels), name="a").labels[1] == "dandelion"
    labels.write_text("daisy\ndandelion\nroses\n")
    with pytest.raises(ModelError, match="names 3 classes but the model has 4"):
        load(named(graph=article, labels=labels), name="a")


def test_the_article_graph_may_be_entered_further_in(article: Path) -> None:
    """`Mul`, the older retrain.py's input, takes images of 299 scaled by (x - 128) / 128, several at once."""
    model = load(named(graph=article, input_layer="Mul"), name="a")
    scaled = [(stretched(photo, 299)[np.newaxis] - 128.0) / 128 for photo in PHOTOS]
    assert close(answers(model), np.concatenate([run_graph(article, {"Mul:0": image}) for image in scaled]))
    assert model.describe()["input"] == {
        "size": [299, 299],
        "resize": "stretch",
        "pixels": "(pixel - 128) / 128, rgb",
        "batch": None,
    }


@pytest.mark.parametrize("batch", [True, False])
def test_a_placeholder_for_one_image_takes_several_if_that_changes_nothing(tmp_path: Path, batch: bool) -> None:
    """A [1, 224, 224, 3] placeholder is opened for batches, but not where the graph answers wrongly then."""
    graph = write_graph(tmp_path / "graph.pb", scale="placeholder", batch=batch)
    model = load(named(graph=graph, input_layer="input:0"), name="mobile")
    scaled = [stretched(photo, 224)[np.newaxis] / 127.5 - 1 for photo in PHOTOS]
    assert close(answers(model), np.concatenate([run_graph(graph, {"input:0": image}) for image in scaled]))
    assert model.engine.input.batch == (None if batch else 1)


def test_a_graphs_scaling_and_order_can_be_set(tmp_path: Path) -> None:
    """--mean, --std and --channels go before what is usual: input = (pixel - mean) / std, in that order."""
    graph = write_graph(tmp_path / "graph.pb", scale="placeholder")
    preprocess = Preprocess(mean=(104, 117, 123), std=(58,), channels="bgr")
    model = load(named(graph=graph, preprocess=preprocess), name="caffe")
    fed = [(stretched(p, 224)[np.newaxis, ..., ::-1] - np.array([104.0, 117, 123])) / 58 for p in PHOTOS]
    assert close(answers(model), np.concatenate([run_graph(graph, {"input:0": image}) for image in fed]))


def test_a_hub_graph_gets_pixels_of_0_to_1(tmp_path: Path) -> None:
    """A graph that does x * 2 - 1 itself, as those of TensorFlow Hub, is fed with 0..1."""
    graph = write_graph(tmp_path / "graph.pb", scale="own")
    model = load(named(graph=graph), name="hub")
    fed = np.stack([stretched(photo, 224) for photo in PHOTOS]) / 255
    assert close(answers(model), run_graph(graph, {"Placeholder:0": fed}))


def test_logits_become_probabilities(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Outputs that are no probabilities get a softmax, and the log says so in one line."""
    caplog.set_level(logging.INFO)
    logits = load(named(graph=write_graph(tmp_path / "l.pb", scale="placeholder", logits=True)), name="l")
    assert sum("softmax is applied" in line for line in caplog.messages) == 1
    probable = load(named(graph=write_graph(tmp_path / "p.pb", scale="placeholder")), name="p")
    assert close(answers(logits), answers(probable))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"input_layer": "Nonsense:0"}, r"no layer 'Nonsense:0' for --input-layer; it has DecodeJpeg/contents, "),
        ({"output_layer": "result"}, r"no layer 'result' for --output-layer; it has final_result, "),
        ({"input_layer": "a:b:c"}, "no layer 'a:b:c'"),
        ({"input_layer": "DecodeJpeg/contents:7"}, "no layer 'DecodeJpeg/contents:7'"),
        ({"input_layer": "final_training_ops"}, r"\[1, 4\]; only \[n, height, width, 3\]"),
    ],
)
def test_wrong_layers_are_answered_with_those_that_exist(article: Path, layers: Any, message: str) -> None:
    """A wrong layer name is an error that lists the likely ones first."""
    with pytest.raises(ModelError, match=message):
        load(named(graph=article, **layers), name="a")


def test_an_output_before_the_input_is_an_error(article: Path) -> None:
    """An output that does not depend on the input is refused, not answered with something constant."""
    with pytest.raises(ModelError, match="does not depend"):
        load(named(graph=article, input_layer="Mul", output_layer="Sub"), name="a")


@pytest.mark.parametrize("content", [b"", b"not a graph", bytes(1000)])
def test_what_is_no_graph_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    """A --graph file of another kind is an error that names it."""
    (tmp_path / "g.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"g\.pb"):
        load(named(graph=tmp_path / "g.pb"), name="a")


# SavedModels and Keras files


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_files_answer_as_keras_does(tmp_path: Path, suffix: str) -> None:
    """A .keras or .h5 file with a Rescaling layer gets pixels of 0..255 and answers as Keras does."""
    network = small_network(scaling=keras.layers.Rescaling(1 / 255))
    network.compile(optimizer="adam", loss="categorical_crossentropy")
    network.save(tmp_path / f"model{suffix}")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    model = load(named(path=tmp_path / f"model{suffix}"), name="keras")
    fed = np.stack([stretched(photo, 32) for photo in PHOTOS])
    assert close(answers(model), network.predict_on_batch(fed))
    assert model.labels == ("a", "b", "c")
    assert model.describe()["platform"] == "keras"


@pytest.mark.parametrize(
    ("scaling", "divisor"),
    [
        (None, 255),
        (keras.layers.Rescaling(1 / 127.5, -1.0), 1),
        (keras.layers.Rescaling(2.0, -1.0), 255),
        (keras.layers.Normalization(mean=[120.0, 110, 100], variance=[3000.0] * 3), 1),
        (keras.applications.resnet.preprocess_input, 1),
        (keras.applications.mobilenet_v2.preprocess_input, 1),
    ],
    ids=["none", "rescaling", "rescaling of 0..1", "normalization", "resnet", "mobilenet"],
)
def test_the_range_of_pixels_is_found(
    tmp_path: Path, scaling: Any, divisor: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A model gets pixels as its own scaling wants them, and 0..1 if it has none; the log says which."""
    caplog.set_level(logging.INFO)
    network = small_network(scaling=scaling)
    network.export(tmp_path / "m", verbose=False)
    model = load(named(path=tmp_path / "m"), name="m")
    fed = np.stack([stretched(photo, 32) for photo in PHOTOS]) / divisor
    assert close(answers(model), network.predict_on_batch(fed))
    assert any("--mean and --std change it" in line for line in caplog.messages)


def test_grey_models_see_brightness(tmp_path: Path) -> None:
    """A model of one channel gets the luminance of each pixel."""
    network = small_network(size=28, channels=1)
    network.save(tmp_path / "m.keras")
    model = load(named(path=tmp_path / "m.keras"), name="grey")
    grey = [stretched(photo, 28) @ np.array([0.2989, 0.587, 0.114]) / 255 for photo in PHOTOS]
    assert close(answers(model), network.predict_on_batch(np.stack(grey)[..., np.newaxis]), within=1e-3)


def test_a_model_of_any_size_gets_images_as_they_are(tmp_path: Path) -> None:
    """Without a size in the model images keep theirs and go in one by one; --size sets one."""
    network = small_network(size=None)
    network.save(tmp_path / "m.keras")
    model = load(named(path=tmp_path / "m.keras"), name="any")
    assert close(answers(model, PHOTOS[:1]), network.predict_on_batch(model.decode(PHOTOS[0])[np.newaxis] / 255))
    assert answers(model).shape == (4, 3)
    sized = load(named(path=tmp_path / "m.keras", preprocess=Preprocess(size=(40, 50))), name="any")
    assert sized.decode(PHOTOS[0]).shape == (40, 50, 3)


def test_a_model_that_decodes_by_itself_gets_encoded_images(tmp_path: Path) -> None:
    """A signature of encoded strings is fed with the decoded image, encoded anew: EXIF and WebP work there too."""
    network = small_network(scaling=keras.layers.Rescaling(1 / 255))

    def serve(encoded: Any) -> Any:
        def one(content: Any) -> Any:
            return tf.image.resize(tf.io.decode_image(content, channels=3, expand_animations=False), (32, 32))

        return {"scores": network(tf.map_fn(one, encoded, fn_output_signature=tf.float32))}

    whole = tf.Module()
    whole.network, whole.serve = network.variables, tf.function(serve)
    signature = whole.serve.get_concrete_function(tf.TensorSpec([None], tf.string))
    tf.saved_model.save(whole, str(tmp_path / "m"), signatures=signature)
    model = load(named(path=tmp_path / "m"), name="strings")
    wanted = np.concatenate([serve(tf.constant([photo]))["scores"].numpy() for photo in PHOTOS])
    assert close(answers(model), wanted, within=0.01)


def test_the_newest_complete_version_is_loaded(tmp_path: Path) -> None:
    """The highest number that holds a model is taken and is the version; labels may stand beside the numbers."""
    for number, classes in (("2", 3), ("10", 4)):
        small_network(classes=classes).export(tmp_path / number, verbose=False)
    (tmp_path / "11").mkdir()
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    model = load(named(path=tmp_path), name="versions")
    assert (model.version, model.labels) == ("10", ("a", "b", "c", "d"))


def test_model_toml_says_how_to_prepare_images(tmp_path: Path) -> None:
    """model.toml beside a model sets what flags leave open."""
    small_network().export(tmp_path, verbose=False)
    (tmp_path / "model.toml").write_text('[preprocess]\nresize = "crop"\nmean = 10\nstd = [5]\n')
    flags = Preprocess(mean=(20,))
    described = load(named(path=tmp_path, preprocess=flags), name="m").describe()["input"]
    assert (described["resize"], described["pixels"]) == ("crop", "(pixel - 20) / 5, rgb")


def test_among_several_outputs_one_is_named(tmp_path: Path) -> None:
    """A signature of two outputs needs --output-layer, and the error lists them."""

    def two(images: Any) -> Any:
        mean = tf.reduce_mean(images, (1, 2))
        return {"scores": tf.nn.softmax(mean), "features": tf.nn.softmax(mean * 2)}

    path = save(tmp_path / "m", two, tf.TensorSpec([None, 8, 8, 3], tf.float32))
    with pytest.raises(ModelError, match=r"--output-layer must name one of these .*: features, scores"):
        load(named(path=path), name="two")
    assert load(named(path=path, output_layer="features:0"), name="two").engine.classes == 3


def test_a_savedmodel_without_a_usual_signature_names_those_it_has(tmp_path: Path) -> None:
    """One signature of another name is taken; with several, the error names them."""
    spec = tf.TensorSpec([None, 8, 8, 3], tf.float32)
    path = save(tmp_path / "one", lambda images: {"s": tf.reduce_mean(images, (1, 2))}, spec, name="predict")
    assert load(named(path=path), name="one").engine.classes == 3
    whole = tf.Module()
    whole.f = tf.function(lambda images: {"s": tf.reduce_mean(images, (1, 2))}, input_signature=[spec])
    tf.saved_model.save(whole, str(tmp_path / "many"), signatures={"b": whole.f, "a": whole.f})
    with pytest.raises(ModelError, match=r"no signature serving_default \(it has a, b\): name one with --signature"):
        load(named(path=tmp_path / "many"), name="many")
    with pytest.raises(ModelError, match=r"no signature c \(it has a, b\)"):
        load(named(path=tmp_path / "many", signature="c"), name="many")
    assert load(named(path=tmp_path / "many", signature="b"), name="many").engine.classes == 3


def test_the_signature_is_part_of_the_choice_and_converted_with_it(tmp_path: Path) -> None:
    """Of a model with two signatures the named one answers, in the engine that its conversion is for, too."""
    spec = tf.TensorSpec([None, 8, 8, 3], tf.float32)
    whole = tf.Module()
    whole.up = tf.function(lambda images: {"s": tf.nn.softmax(tf.reduce_mean(images, (1, 2)))}, input_signature=[spec])
    whole.down = tf.function(
        lambda images: {"s": tf.nn.softmax(-tf.reduce_mean(images, (1, 2)))}, input_signature=[spec]
    )
    tf.saved_model.save(whole, str(tmp_path / "m"), signatures={"serving_default": whole.up, "down": whole.down})
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    for signature, best in ((None, 0), ("down", 1)):
        cache = tmp_path / "cache"
        source = ModelSource(path=tmp_path / "m", signature=signature, engine="openvino", cache=cache)
        assert load(source, name="m").predict(red)[0].argmax() == best


def test_a_signature_of_tf_examples_is_told_from_one_of_images(tmp_path: Path) -> None:
    """A string input that is parsed as a tf.Example is no encoded image, and the error says so."""

    def serve(examples: Any) -> Any:
        parsed = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return {"scores": tf.zeros([tf.size(parsed["image/encoded"]), 3])}

    path = save(tmp_path / "m", serve, tf.TensorSpec([None], tf.string))
    with pytest.raises(ModelError, match=r"takes tf\.Example messages, not images"):
        load(named(path=path), name="m")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_inputs_of_keras_beside_the_one_that_is_named_get_zeros(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """--input-layer and --output-layer choose among a Keras model's inputs and outputs; the other inputs get zeros."""
    network = small_network()
    switch = keras.Input((3,), name="switch")
    switched = keras.layers.Add(name="switched")([network.output, switch])
    path = tmp_path / f"model{suffix}"
    keras.Model([network.input, switch], [network.output, switched]).save(path)
    network.save(tmp_path / f"plain{suffix}")
    with pytest.raises(ModelError, match=r"--input-layer must name one of these of the model: pixels, switch"):
        load(named(path=path), name="m")
    with pytest.raises(ModelError, match=r"--output-layer must name one of these of the model: dense\w*, switched"):
        load(named(path=path, input_layer="pixels"), name="m")
    with caplog.at_level("INFO"):
        model = load(named(path=path, input_layer="pixels", output_layer="switched"), name="m")
    assert "other input switch gets zeros" in caplog.text
    assert model.engine.input.batch is None
    assert close(answers(model), answers(load(named(path=tmp_path / f"plain{suffix}"), name="m")))


def test_placeholders_of_a_graph_beside_the_one_that_is_named_get_zeros(tmp_path: Path) -> None:
    """A frozen graph with a switch for training answers as with the switch off."""
    path = write_graph(tmp_path / "plain.pb", scale="own")
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
        switch = tf.compat.v1.placeholder(tf.float32, [None, 4], name="switch")
        tf.add(graph.get_tensor_by_name("final_result:0"), switch, name="switched")
    switched = tmp_path / "switched.pb"
    switched.write_bytes(graph.as_graph_def().SerializeToString())
    model = load(named(graph=switched, input_layer="Placeholder", output_layer="switched"), name="m")
    assert close(answers(model), answers(load(named(graph=path), name="m")))


def test_a_file_of_keras_2_is_read(tmp_path: Path) -> None:
    """Keras 2 wrote `groups: 1` into depthwise convolutions, which Keras 3 refuses; other numbers stay an error."""
    images = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.DepthwiseConv2D(3)(images))
    network = keras.Model(images, keras.layers.Dense(2, activation="softmax")(pooled))
    network.save(tmp_path / "model.h5")
    for groups in (1, 2):
        with h5py.File(tmp_path / "model.h5", "r+") as file:
            config = json.loads(file.attrs["model_config"])
            for layer in config["config"]["layers"]:
                if layer["class_name"] == "DepthwiseConv2D":
                    layer["config"]["groups"] = groups
            file.attrs["model_config"] = json.dumps(config)
        if groups == 1:
            assert load(named(path=tmp_path / "model.h5"), name="m").engine.classes == 2
    with pytest.raises(ModelError, match="2 groups"):
        load(named(path=tmp_path / "model.h5"), name="m")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 5, 32, 32), r"shape \[None, 5, 32, 32\]; only \[n, height, width, 3\]"),
        ((None, 10), r"shape \[None, 10\]"),
    ],
)
def test_inputs_that_are_no_images_are_refused(tmp_path: Path, shape: Any, message: str) -> None:
    """A model of other data, or of another order of dimensions, is an error that shows the shape."""
    path = save(tmp_path / "m", lambda x: {"s": tf.reshape(x, [tf.shape(x)[0], -1])}, tf.TensorSpec(shape))
    with pytest.raises(ModelError, match=message):
        load(named(path=path), name="m")


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    """One output, a size that contradicts the model, damaged and unknown files: each a sentence of its own."""
    network = small_network(classes=1, end="sigmoid")
    network.save(tmp_path / "one.keras")
    with pytest.raises(ModelError, match="one number an image"):
        load(named(path=tmp_path / "one.keras"), name="m")
    small_network().save(tmp_path / "good.keras")
    with pytest.raises(ModelError, match=r"--device gpu: TensorFlow sees none of this machine's GPUs"):
        load(named(path=tmp_path / "good.keras", device="gpu"), name="m")
    with pytest.raises(ModelError, match="32 x 32 pixels, so --size cannot be 64 x 64"):
        load(named(path=tmp_path / "good.keras", preprocess=Preprocess(size=(64, 64))), name="m")
    (tmp_path / "bad.keras").write_bytes(b"bad")
    with pytest.raises(ModelError, match=r"bad\.keras cannot be loaded"):
        load(named(path=tmp_path / "bad.keras"), name="m")
    (tmp_path / "m.xyz").write_bytes(b"")
    with pytest.raises(ModelError, match=r"of no kind that is known here: --model wants a SavedModel"):
        load(named(path=tmp_path / "m.xyz"), name="m")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"bad")
    with pytest.raises(ModelError, match="saved cannot be loaded"):
        load(named(path=tmp_path / "saved"), name="m")
    with pytest.raises(ModelError, match="use --model"):
        load(named(graph=tmp_path / "saved" / "saved_model.pb"), name="m")


def test_constants_do_not_change_the_answers(tmp_path: Path) -> None:
    """With variables turned to constants a model of several layers answers as Keras does, alone and in batches."""
    network = small_network(size=64, scaling=keras.layers.Rescaling(1 / 255), classes=7)
    network.export(tmp_path, verbose=False)
    model = load(named(path=tmp_path), name="m")
    images = [model.decode(photo) for photo in PHOTOS] * 3
    wanted = network.predict_on_batch(np.stack(images))
    assert close(model.predict(images), wanted)
    assert close(np.concatenate([model.predict([image]) for image in images]), wanted)


def test_a_closed_model_says_so(article: Path) -> None:
    """After close no answer is given."""
    model = load(named(graph=article), name="a")
    image = model.decode(PHOTOS[0])
    model.close()
    with pytest.raises(ModelError, match="closed"):
        model.predict([image])


# What a trial leaves for the process that serves


def test_what_is_kept_answers_as_the_model_does(tmp_path: Path) -> None:
    """The graph that a trial leaves is what TensorFlow loads next, and gives the model's answers, also one by one."""
    network = small_network(scaling=keras.layers.Rescaling(1 / 64, -2.0), end="linear")
    network.save(tmp_path / "m.keras")
    source = named(path=tmp_path / "m.keras")
    (tmp_path / "kept").mkdir()
    compare(source, names=("tensorflow",), folder=tmp_path / "kept")
    choice, options = read_choice(tmp_path / "kept")
    assert (choice.chosen, options.file) == ("tensorflow", "model.session")
    wanted, found = open_model(source)[0], load_with(source, "tensorflow", options, tmp_path / "kept")
    assert (found.input, found.platform, found.classes) == (
        replace(wanted.input, preprocess=found.input.preprocess),
        wanted.platform,
        wanted.classes,
    )
    images = sample_images(wanted.input, 3)
    assert close(found.predict(images), wanted.predict(images))
    assert close(found.predict(images[:1]), wanted.predict(images[:1]))
    found.close()
    with pytest.raises(ModelError, match="closed"):
        found.predict(images)


def test_a_kept_file_that_is_damaged_is_told(tmp_path: Path) -> None:
    """What is kept may be damaged: an error that says which file, so that the model is loaded anew."""
    (tmp_path / "model.session").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"model\.session is not a graph"):
        SessionEngine(tmp_path / "model.session", Preprocess())
