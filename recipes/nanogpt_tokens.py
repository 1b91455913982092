"""Text as nanoGPT's token files, for nanogpt-tokens.yaml: a BPE of 4,096 entries and what it makes of the text.

`python nanogpt_tokens.py [FOLDER]` trains the tokenizer on the sources of Python's standard library, so nothing is
downloaded, and writes `train.bin` and `val.bin` (uint16 without a header, as nanoGPT's data/*/prepare.py writes them)
and `tokenizer.json` into FOLDER, by default `nanogpt-tokens` beside this file. Put your own text in place of `texts`.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
#: every tenth file validates
HELD_OUT = 10


def texts() -> list[str]:
    """The standard library's top-level modules, in the order of their names."""
    folder = Path(sysconfig.get_path("stdlib"))
    names = sorted(path for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names)
    return [path.read_text(encoding="utf-8") for path in names]


def trained(train: list[str]) -> Tokenizer:
    """A byte-level BPE, as GPT-2's: every text has tokens, and tokens give the text back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(train, trainer)
    return tokenizer


def main(folder: Path) -> None:
    """Write the three files, and say what is in them."""
    folder.mkdir(parents=True, exist_ok=True)
    every = texts()
    parts = {
        "train": [text for number, text in enumerate(every) if number % HELD_OUT],
        "val": [text for number, text in enumerate(every) if number % HELD_OUT == 0],
    }
    tokenizer = trained(parts["train"])
    end = tokenizer.token_to_id("<|endoftext|>")
    for name, part in parts.items():
        tokens = [token for text in part for token in (*tokenizer.encode(text).ids, end)]
        np.array(tokens, dtype=np.uint16).tofile(folder / f"{name}.bin")
        size = sum(len(text.encode()) for text in part)
        print(
            f"{folder / f'{name}.bin'}: {len(tokens):,} tokens of {size:,} bytes, {size / len(tokens):.2f} bytes each"
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    print(f"{tokenizer.get_vocab_size():,} entries in the vocabulary")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "nanogpt-tokens")
