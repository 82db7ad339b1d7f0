"""all-MiniLM-L6-v2: sentences to vectors whose angles tell how alike the sentences are.

A BERT encoder (Devlin et al., arXiv 1810.04805) of 6 layers and hidden size 384, distilled after
Wang et al. (arXiv 2002.10957), and the mean of the tokens' vectors (Reimers and Gurevych, arXiv
1908.10084). Written so that a front end reads it easily: one integer tensor in, one vector out.

`pretrained` loads the published weights into it.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention; `hidden` (items, tokens, width), `bias` (items, 1, 1, tokens)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            part(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        context = torch.softmax(scores + bias, dim=-1) @ value
        return self.dense(context.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and a feed-forward network, each added to its input and normalised."""

    def __init__(self, width: int, inner: int, heads: int, eps: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        hidden = self.attention_norm(hidden + self.attention(hidden, bias))
        return self.output_norm(hidden + self.narrow(nn.functional.gelu(self.widen(hidden))))


class Encoder(nn.Module):
    """Sentences as ids and mask, (items, 2, tokens) integers, to vectors (items, width).

    `config` holds the numbers of BERT's config.json. The mask is 1 for tokens and 0 for padding;
    every item needs at least one token.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps)
        self.layers = nn.ModuleList(
            Layer(width, config["intermediate_size"], config["num_attention_heads"], eps)
            for _ in range(config["num_hidden_layers"])
        )

    def forward(self, tokens: Tensor) -> Tensor:
        ids, mask = tokens[:, 0], (tokens[:, 1] != 0).to(self.words.weight.dtype)
        first = self.positions.weight[: ids.shape[1]] + self.types.weight[0]
        hidden = self.norm(self.words(ids) + first)
        bias = ((1.0 - mask) * -10_000.0)[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return (mask.unsqueeze(1) @ hidden).squeeze(1) / mask.sum(1, keepdim=True)
