from train.audit.audit import Finding
from train.audit.page import write
from train.data.prepared_set import Prepared


def test_the_page_shows_every_kind_and_escapes_names(
    troubled: Prepared, findings: list[Finding]
) -> None:
    write(troubled, [*findings, Finding(findings[0].path, "label", 1.0, "<script>", "")])
    text = (troubled.folder / "audit.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count("data:image/webp;base64,") >= len(findings)
    assert "http" not in text.replace("http-equiv", "")
