"""How each source of a rule is known: read, run, quoted by others or derived. A citation is worth no more than that."""

from __future__ import annotations

from collections.abc import Mapping

#: paper or repository, as `Source.paper` says it -> how its rows came into the tables
PROVENANCE: Mapping[str, str] = {
    "derived": "derived for this project and held against measurements in tests/parameterization",
    "Tensor Programs V (arXiv 2203.03466)": "Table 8 from the code of microsoft/mup, whose unmodified optimizers the "
    "tests run",
    "Tensor Programs VI (arXiv 2310.02244)": "as recalled; it is alpha = 1/2 of CompleteP's family",
    "CompleteP (arXiv 2505.01618)": "Table 1 through the code of nanoGPT-mup, branch completep, and accounts of the "
    "paper",
    "Complete(d)P (arXiv 2512.22382)": "Table 1 through three implementations that cite it; not read in the paper",
    "Everett et al. (arXiv 2407.05872)": "rates derived from the paper's definitions of full alignment; that NTK is "
    "equivalent to the standard parameterization, mean-field to muP, and Adafactor's rate to itself in every gauge "
    "agrees with accounts of the paper",
    "spectral condition (arXiv 2310.17813)": "as recalled; one-step spectral norms are measured by the tests",
    "muP for mixtures of experts (arXiv 2508.09752)": "through accounts of the paper",
    "u-muP (arXiv 2407.17465)": "through the code of unit-scaling, which the tests run where it is installed",
    "unit-scaling": "code read and run",
    "microsoft/mup": "code read and run",
    "nanoGPT-mup, branch completep": "code read",
    "nanoGPT-mup master, Megatron-LM": "code read",
    "Megatron-LM": "code read",
    "arXiv 2510.15262": "through accounts of the paper",
    "arXiv 2512.05620": "through implementations that quote it",
}
