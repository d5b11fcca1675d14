"""Write tiny random models in Hugging Face's form: one that chats, one that ranks, one that classifies.

tiny_transformers.py FOLDER
"""

from __future__ import annotations

import string
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    ByteLevelBPETokenizer,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = "the a an of to in is and it for on with hello world sea sky wind rain red green blue token queue"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if m.content is string else m.content[0].text }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def ranking(folder: Path, names: list[str]) -> None:
    """A sequence classifier with a logit a name."""
    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    pieces = dict.fromkeys([*SPECIAL, *WORDS.split(), *letters, *("##" + letter for letter in letters)])
    words = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    form: dict[str, Any] = {f"{piece.strip('[]').lower()}_token": piece for piece in SPECIAL}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **form)
    config = BertConfig(
        id2label=dict(enumerate(names)),
        label2id={name: n for n, name in enumerate(names)},
        vocab_size=len(pieces),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,  # of 64: vLLM attends to no less on a CPU
        intermediate_size=128,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def chatting(folder: Path) -> None:
    """A Llama whose random text is words."""
    marks = ["<pad>", "<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator([WORDS] * 20, vocab_size=400, min_frequency=2, special_tokens=marks)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        model_max_length=2048,
    )
    tokenizer.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(pieces.get_vocab()),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=2,
        eos_token_id=5,
        pad_token_id=0,
        initializer_range=0.5,
    )
    llama = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        # Whole words win over bytes, which might not make text.
        for piece, n in pieces.get_vocab().items():
            if piece.startswith("Ġ") and piece != "Ġ":
                llama.lm_head.weight[n] *= 4
    llama.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(folder: Path) -> None:
    """Write them all."""
    torch.manual_seed(7)
    ranking(folder / "rank", ["rank"])
    ranking(folder / "classify", ["sad", "neutral", "happy"])
    chatting(folder / "chat")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
