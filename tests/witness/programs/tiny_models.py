"""Write tiny models of random weights for llama.cpp: one that chats, one that embeds, one that ranks.

    tiny_models.py FOLDER       (needs gguf and numpy)

The words of the chatting one have large output rows, so its random text is made of whole words and ends
now and then. The same seed gives the same files.
"""

# mypy: ignore-errors

import sys
from pathlib import Path

import gguf
import numpy as np

WORDS = [
    "the",
    "of",
    "to",
    "and",
    "is",
    "it",
    "for",
    "on",
    "with",
    "this",
    "that",
    "you",
    "we",
    "model",
    "server",
    "request",
    "answer",
    "token",
    "stream",
    "queue",
    "hello",
    "world",
    "red",
    "green",
    "blue",
    "sun",
    "moon",
    "sea",
    "sky",
    "wind",
    "rain",
    "fire",
    "water",
    "light",
    "dark",
    "fast",
    "slow",
    "big",
    "small",
    "open",
    "close",
    "start",
    "stop",
    "left",
    "right",
    "good",
    "bad",
    "new",
    "old",
    "first",
    "last",
    "yes",
    "no",
]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
KIND = gguf.TokenType
WIDE, HEADS, INNER, LAYERS = 64, 4, 128, 2


def weights(rng, *shape, scale=0.3):
    """Random numbers."""
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def head(writer, name, context):
    """What both kinds of model say of themselves."""
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def finish(writer):
    """Write the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary():
    """Tokens with scores and kinds: bytes, characters, and words with all that they begin with."""
    rows = [(text, 0.0, KIND.CONTROL) for text in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")]
    rows = [("<unk>", 0.0, KIND.UNKNOWN), *rows]
    rows += [(f"<0x{byte:02X}>", 0.0, KIND.BYTE) for byte in range(256)]
    rows += [(chr(code), -1000.0 - code, KIND.NORMAL) for code in range(33, 127)]
    rows.append(("\u2581", -900.0, KIND.NORMAL))
    # Pieces are joined two by two, so each beginning of a word is a token.
    starts = dict.fromkeys("\u2581" + word[:end] for word in WORDS for end in range(1, len(word) + 1))
    whole = {"\u2581" + word for word in WORDS}
    rows += [(text, -5.0 + 4 * (text in whole) - n / 1000, KIND.NORMAL) for n, text in enumerate(starts)]
    return rows, [n for n, (text, _, _) in enumerate(rows) if text in whole]


def chatting(path):
    """A Llama that says words."""
    rng = np.random.default_rng(7)
    rows, words = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    head(writer, "tiny-random", 4096)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDE // HEADS)
    writer.add_vocab_size(len(rows))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in rows])
    writer.add_token_scores([score for _, score, _ in rows])
    writer.add_token_types([int(kind) for _, _, kind in rows])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT)
    output = weights(rng, len(rows), WIDE, scale=0.02)
    output[words] = weights(rng, len(words), WIDE, scale=1.0)
    output[4] = weights(rng, WIDE, scale=0.9)
    writer.add_tensor("token_embd.weight", weights(rng, len(rows), WIDE, scale=1.0))
    writer.add_tensor("output_norm.weight", np.ones(WIDE, np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDE, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(rng, WIDE, WIDE))
        for name, shape in (("gate", (INNER, WIDE)), ("up", (INNER, WIDE)), ("down", (WIDE, INNER))):
            writer.add_tensor(f"blk.{layer}.ffn_{name}.weight", weights(rng, *shape))
    finish(writer)


def understanding(path, *, ranks):
    """A BERT that embeds texts, or ranks pairs of them."""
    rng = np.random.default_rng(11)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'-"
    tokens = list(
        dict.fromkeys([*marks, *("\u2581" + c for c in letters), *letters, *("\u2581" + w for w in WORDS)])
    )
    writer = gguf.GGUFWriter(path, "bert")
    head(writer, "tiny-random", 512)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_vocab_size(len(tokens))
    writer.add_pooling_type(gguf.PoolingType.RANK if ranks else gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    kinds = [KIND.CONTROL, KIND.UNKNOWN, KIND.CONTROL, KIND.CONTROL, KIND.CONTROL]
    writer.add_token_types([int(kind) for kind in kinds] + [int(KIND.NORMAL)] * (len(tokens) - len(kinds)))
    writer.add_token_scores([-1000.0] * len(tokens))
    writer.add_token_type_count(2)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_unk_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)
    layers(writer, rng, len(tokens), ranks=ranks)
    finish(writer)


def layers(writer, rng, tokens, *, ranks):
    """The weights of a BERT."""
    writer.add_tensor("token_embd.weight", weights(rng, tokens, WIDE, scale=1.0))
    writer.add_tensor("position_embd.weight", weights(rng, 512, WIDE, scale=0.05))
    writer.add_tensor("token_types.weight", weights(rng, 2, WIDE, scale=0.05))
    norms = [
        "token_embd_norm",
        *(f"blk.{n}.{name}_norm" for n in range(LAYERS) for name in ("attn_output", "layer_output")),
    ]
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(WIDE, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(WIDE, np.float32))
    square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDE, WIDE))
    for layer in range(LAYERS):
        for name, shape in {**square, "ffn_up": (INNER, WIDE), "ffn_down": (WIDE, INNER)}.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(rng, *shape, scale=0.2))
            writer.add_tensor(f"blk.{layer}.{name}.bias", np.zeros(shape[0], np.float32))
    if ranks:
        for name, size in (("cls", WIDE), ("cls.output", 1)):
            writer.add_tensor(f"{name}.weight", weights(rng, size, WIDE, scale=0.2))
            writer.add_tensor(f"{name}.bias", np.zeros(size, np.float32))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chatting(str(folder / "chat.gguf"))
    understanding(str(folder / "embed.gguf"), ranks=False)
    understanding(str(folder / "rank.gguf"), ranks=True)
