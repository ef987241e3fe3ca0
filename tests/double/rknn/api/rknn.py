"""The class that rkforge's legacy driver drives, strictly as documented for rknn-toolkit 1.7.5.

What the documentation leaves open is decided against the caller, so that the driver relies on nothing that
nobody knows: arguments by keyword only, target_platform as a list only, config before anything else.
"""

import importlib
import json
import os
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import dataset as datasets
from . import formats, hybrid, settings
from . import graph as graphs
from .log import Refused, call, say

NOTICE = "This is NOT an RKNN model but output of the rkforge test double of rknn-toolkit 1.7.5.\n"
MMSE_S_PER_ROW = 1.0
ERRORS = "%s\teculidean_norm=0.000000\tcosine_norm=1.000000\teculidean=0.000000\tcosine=1.000000\n"


class RKNN:
    """One conversion."""

    def __init__(self, verbose: bool = False, verbose_file: Optional[str] = None) -> None:
        say("W", "rkforge test double: this is NOT Rockchip's rknn-toolkit, it converts nothing")
        say("W", "rknn-toolkit version: 1.7.5")
        if verbose and verbose_file is None:
            say("W", "Verbose file path is invalid, debug info will not dump to file.")
        self.calls: List[Dict[str, Any]] = []
        self.settings: Optional[Dict[str, Any]] = None
        self.graph: Optional[graphs.Graph] = None
        self.built: Optional[Dict[str, Any]] = None
        self.calibrated = False
        self.released = False

    def __del__(self) -> None:
        """Without `release`, Python says that this was ignored, as people report."""
        if not self.released:
            raise AttributeError("'NoneType' object has no attribute 'FileHandler'")

    def config(
        self,
        *,
        reorder_channel: Optional[str] = None,
        mean_values: Any = None,
        std_values: Any = None,
        channel_mean_value: Optional[str] = None,
        epochs: int = -1,
        batch_size: int = 100,
        quantized_dtype: str = "asymmetric_affine-u8",
        quantized_algorithm: str = "normal",
        mmse_epoch: int = 3,
        optimization_level: int = 3,
        target_platform: Any = None,
        need_horizontal_merge: bool = False,
        quantize_input_node: bool = False,
        merge_dequant_layer_and_output_node: bool = False,
        model_pruning: bool = False,
        force_builtin_perm: bool = False,
        output_optimize: int = 0,
        do_sparse_network: bool = True,
        remove_tensorflow_output_permute: bool = False,
        inputs_scale_range: Any = None,
    ) -> None:
        """Take the settings; None is all it ever returns. How it fails is not documented: here it raises."""
        values = {name: value for name, value in locals().items() if name != "self"}
        self.calls.append({"call": "config", "arguments": values})
        settings.check(values)
        self.settings = values

    @call("loading onnx model: {model}")
    def load_onnx(
        self,
        *,
        model: str,
        inputs: Optional[List[str]] = None,
        input_size_list: Optional[List[List[int]]] = None,
        outputs: Optional[List[str]] = None,
    ) -> int:
        """Read a model; 0 or -1."""
        return self._load(graphs.read, model, inputs, input_size_list, outputs)

    @call("loading caffe model: {model}")
    def load_caffe(self, *, model: str, proto: str, blobs: Optional[str] = None) -> int:
        """Read a prototxt and its weights; 0 or -1."""
        return self._load(formats.caffe, model, proto, blobs)

    @call("loading darknet model: {model}")
    def load_darknet(self, *, model: str, weight: str) -> int:
        """Read a cfg and its weights; 0 or -1."""
        return self._load(formats.darknet, model, weight)

    @call("loading tensorflow model: {tf_pb}")
    def load_tensorflow(
        self,
        *,
        tf_pb: str,
        inputs: List[str],
        input_size_list: List[List[int]],
        outputs: List[str],
        predef_file: Optional[str] = None,
    ) -> int:
        """Read a frozen graph; 0 or -1."""
        if predef_file is not None:
            raise ValueError("the double knows no predef_file")
        return self._load(formats.tensorflow, tf_pb, inputs, input_size_list, outputs)

    @call("loading tflite model: {model}")
    def load_tflite(self, *, model: str) -> int:
        """Read a TensorFlow Lite model; 0 or -1."""
        return self._load(formats.tflite, model)

    @call("loading keras model: {model}")
    def load_keras(self, *, model: str) -> int:
        """Read a Keras model; 0 or -1."""
        return self._load(formats.keras, model)

    @call("loading pytorch model: {model}")
    def load_pytorch(self, *, model: str, input_size_list: List[List[int]]) -> int:
        """Read a traced network; 0 or -1."""
        return self._load(formats.pytorch, model, input_size_list)

    @call("loading mxnet model: {symbol}")
    def load_mxnet(self, *, symbol: str, params: str, input_size_list: List[List[int]]) -> int:
        """Read a symbol and its parameters; 0 or -1."""
        return self._load(formats.mxnet, symbol, params, input_size_list)

    @call("building RKNN model")
    def build(
        self,
        *,
        do_quantization: bool = True,
        dataset: str = "dataset.txt",
        pre_compile: bool = False,
        rknn_batch_size: int = -1,
    ) -> int:
        """Pretend to build; 0 or -1. Calibration files are really read."""
        self.built = None
        values, graph = self._configured(), self._loaded()
        if pre_compile:
            raise ValueError("pre_compile was removed from build")
        if type(rknn_batch_size) is not int or rknn_batch_size < -1 or rknn_batch_size == 0:
            raise ValueError("rknn_batch_size %r is no such number" % rknn_batch_size)
        rows = self._calibrate(dataset, graph) if do_quantization else []
        self.calibrated = do_quantization
        dtype = values["quantized_dtype"] if do_quantization else "float16"
        self.built = {"model_sha256": graph.sha256, "layers": graph.layers, "dtype": dtype, "dataset": rows}
        return 0

    @call("running hybrid quantization step1")
    def hybrid_quantization_step1(self, *, dataset: Optional[str] = None) -> int:
        """Write the three files of a first step into the current directory; 0 or -1."""
        values, graph = self._configured(), self._loaded()
        self._calibrate(dataset or "", graph)
        hybrid.write(graph, settings.DTYPES[values["quantized_dtype"]], self.calls)
        self.calibrated = True
        return 0

    @call("running hybrid quantization step2")
    def hybrid_quantization_step2(
        self,
        *,
        model_input: str,
        data_input: str,
        model_quantization_cfg: str,
        dataset: str,
        pre_compile: bool = False,
    ) -> int:
        """Pretend to build from a first step's files; 0 or -1. On an object that loaded a model it fails."""
        self.built = None
        values = self._configured()
        if self.graph is not None:
            raise ValueError("hybrid_quantization_step2 needs an object of its own")
        dtype = settings.DTYPES[values["quantized_dtype"]]
        graph, chosen, calls = hybrid.read(model_input, data_input, model_quantization_cfg, dtype)
        rows = self._calibrate(dataset, graph)
        self.built = {"model_sha256": graph.sha256, "layers": graph.layers, "dtype": dtype, "dataset": rows}
        self.built.update(chosen=chosen)
        self.calls = [*calls, *self.calls]
        self.graph, self.calibrated = graph, True
        return 0

    @call("exporting RKNN model")
    def export_rknn(self, *, export_path: str) -> int:
        """Write what is no model; 0 or -1."""
        if self.built is None:
            raise Refused(("E", "RKNN model data is None, please load model first!"))
        text = json.dumps({"built": self.built, "calls": self.calls}, indent=1, sort_keys=True)
        with open(export_path, "w") as stream:
            stream.write(NOTICE * 16 + text + "\n")
        return 0

    @call("exporting quantization parameters")
    def export_rknn_quant_params(self, *, model: str, only_io: bool = True) -> int:
        """Write {name}_quant_param.yml into the current directory; 0 or -1.

        What there is to say of models without zero points is not documented: here it fails.
        """
        with open(model) as stream:
            text = stream.read()
        if not text.startswith(NOTICE):
            raise ValueError("%s is no RKNN model" % model)
        built = json.loads(text[text.index("{") :])["built"]
        if not built["dtype"].startswith("asymmetric"):
            raise ValueError("no parameters: the model is of %s" % built["dtype"])
        name = os.path.splitext(os.path.basename(model))[0]
        with open(name + "_quant_param.yml", "w") as stream:
            stream.write("input:\n    scale: 0.00392157\n    zero_point: 0\n")
        return 0

    @call("doing accuracy analysis")
    def accuracy_analysis(
        self,
        *,
        inputs: str,
        output_dir: str = "./snapshot",
        calc_qnt_error: bool = True,
        target: Optional[str] = None,
        device_id: Optional[str] = None,
        dump_file_type: str = "tensor",
    ) -> int:
        """Write reports of no meaning for a quantized model and a list with one row; 0 or -1."""
        if not self.calibrated:
            raise ValueError("nothing is quantized")
        if target is not None:
            raise ValueError("no device")
        graph = self._loaded()
        rows = datasets.rows(inputs, graph)
        if len(rows) != 1:
            raise ValueError("accuracy_analysis takes one row, not %d" % len(rows))
        for folder in ("fp32", "entire_qnt", "individual_qnt"):
            os.makedirs(os.path.join(output_dir, folder))
        for kind in ("entire", "individual"):
            with open(os.path.join(output_dir, kind + "_qnt_error_analysis.txt"), "w") as stream:
                stream.write("".join(ERRORS % layer for layer, _ in graph.layers))
        return 0

    @call("init runtime")
    def init_runtime(
        self,
        *,
        target: Optional[str] = None,
        target_sub_class: Optional[str] = None,
        device_id: Optional[str] = None,
        perf_debug: bool = False,
        eval_mem: bool = False,
        async_mode: bool = False,
        rknn2precompile: bool = False,
    ) -> int:
        """-1: there is no simulator, and no device."""
        raise ValueError("target %s: the toolkit has no simulator, and there is no device" % target)

    @call("inference", failed=None)
    def inference(
        self,
        *,
        inputs: Any,
        data_type: Any = None,
        data_format: Any = None,
        inputs_pass_through: Any = None,
        get_frame_id: bool = False,
    ) -> None:
        """None: nothing runs here."""
        raise ValueError("the runtime is not initialized")

    @call("evaluating performance", failed=None)
    def eval_perf(
        self,
        *,
        inputs: Any = None,
        data_type: Any = None,
        data_format: Any = None,
        is_print: bool = True,
        loop_cnt: int = 1,
    ) -> None:
        """None: nothing runs here."""
        raise ValueError("the runtime is not initialized")

    @call("evaluating memory", failed=None)
    def eval_memory(self, *, is_print: bool = True) -> None:
        """None: nothing runs here."""
        raise ValueError("the runtime is not initialized")

    def list_devices(self) -> Tuple[List[str], List[str]]:
        """No device by ADB, none by NTB."""
        return [], []

    def release(self) -> None:
        """Forget everything."""
        self.calls, self.settings, self.graph, self.built = [], None, None, None
        self.released = True

    def _load(self, read: Callable[..., graphs.Graph], *arguments: Any) -> int:
        values = self._configured()
        graph = read(*arguments)
        settings.check_inputs(values, list(graph.inputs.values()))
        self.graph = graph
        return 0

    def _configured(self) -> Dict[str, Any]:
        if self.settings is None:
            raise ValueError("config was not called")
        return self.settings

    def _loaded(self) -> graphs.Graph:
        if self.graph is None:
            raise ValueError("no model is loaded")
        return self.graph

    def _calibrate(self, dataset: str, graph: graphs.Graph) -> List[Any]:
        importlib.import_module("tensorflow")
        rows = datasets.rows(dataset, graph)
        if self._configured()["quantized_algorithm"] == "mmse":
            time.sleep(MMSE_S_PER_ROW * len(rows))  # slow on purpose: to be interrupted
        return rows
