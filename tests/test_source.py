"""Source shown in a notebook is that of the function."""

import IPython.display

from facedeblur_utils import study
from facedeblur_utils.training import losses


def test_the_shown_source_is_the_function_s_own(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    study.show_source(losses.restorer_terms, losses.weighted_sum)
    first, second = (item.data for item in shown)
    assert isinstance(shown[0], IPython.display.Markdown)
    assert 'return {"l1": F.l1_loss(output.float(), target)}\n```' in first
    assert first.startswith("`facedeblur_utils.training.losses`\n\n```python\ndef restorer_terms(")
    assert "def weighted_sum(" in second
