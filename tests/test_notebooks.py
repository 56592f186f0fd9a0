"""The notebooks keep the house rules, and the smoke profile runs them all and logs what the glossary promises."""

from __future__ import annotations

import ast
import re
import unicodedata
from math import isfinite
from pathlib import Path

import nbformat
import papermill
import pytest

from lib import pipeline, tracking
from lib.metrics import metric_key, stage_keys
from lib.stages import PARAMS
from lib.warm_kernel import warm_kernels

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETER_LINE = re.compile(r"\w+: (str|int|float|bool) = [^=#|]+  # [^=|]+")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def parameters_cell(path: Path) -> nbformat.NotebookNode:
    [cell] = [cell for cell in code_cells(path) if "parameters" in cell.metadata.get("tags", [])]
    return cell


def test_there_are_notebooks_and_each_is_named_as_a_stage():
    assert NOTEBOOKS, "notebooks/ is empty"
    assert {path.stem for path in NOTEBOOKS} <= {*pipeline.ON_REQUEST, *pipeline.STAGES}


def test_every_stage_of_the_pipeline_has_a_params_file_in_lab_and_smoke():
    stages = {path.stem for path in NOTEBOOKS} - set(pipeline.ON_REQUEST)
    for profile in ("lab", "smoke"):
        assert stages and stages <= {path.stem for path in (ROOT / "params" / profile).glob("*.yaml")}, profile


def test_the_readme_names_every_notebook():
    readme = (ROOT / "README.md").read_text()
    assert [path.stem for path in NOTEBOOKS if path.stem not in readme] == []


@pytest.mark.parametrize("path", NOTEBOOKS or [ROOT / "notebooks" / "missing.ipynb"], ids=lambda path: path.stem)
class TestNotebook:
    """Section by section, the rules of a notebook's form."""

    def test_it_opens_with_title_why_and_words(self, path: Path):
        opening = read(path).cells[:3]
        assert [cell.cell_type for cell in opening] == ["markdown"] * 3
        assert re.match(r"# \S.*\n+\S", opening[0].source), "the title, then one sentence: the question it answers"

    def test_it_is_committed_without_outputs(self, path: Path):
        assert [index for index, cell in enumerate(code_cells(path)) if cell.outputs or cell.execution_count] == []

    def test_its_kernel_is_python3(self, path: Path):
        assert read(path).metadata.kernelspec.name == "python3"

    def test_its_cells_are_few_and_short(self, path: Path):
        cells = [cell for cell in code_cells(path) if "parameters" not in cell.metadata.get("tags", [])]   # a line a parameter
        assert len(cells) <= 25
        assert [cell.source for cell in cells if len(cell.source.splitlines()) > 12] == []

    def test_it_holds_no_class_no_long_function_and_no_shell_line(self, path: Path):
        for cell in code_cells(path):
            assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), cell.source
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, ast.ClassDef), cell.source
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    assert (node.end_lineno or 0) - node.lineno < 3, cell.source

    def test_it_imports_lib_and_mlflow_first_and_nothing_without_a_reason(self, path: Path):
        first, *others = code_cells(path)
        for number, cell in enumerate((first, *others)):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    modules = [node.module] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
                    explained = "#" in cell.source.splitlines()[node.lineno - 1]
                    known = all(str(module).partition(".")[0] in ("lib", "mlflow") for module in modules)
                    assert number == 0, f"an import after the first cell: {ast.unparse(node)}"
                    assert known or explained, f"{ast.unparse(node)}: a comment on its line says why"

    def test_its_parameters_cell_reads_name_type_value_help(self, path: Path):
        for line in parameters_cell(path).source.splitlines():
            assert PARAMETER_LINE.fullmatch(line) or line.startswith("#"), line

    def test_papermill_sees_its_parameters_with_the_models_names_and_defaults(self, path: Path):
        seen = papermill.inspect_notebook(str(path))
        fields = PARAMS[path.stem].model_fields
        assert {name: ast.literal_eval(parameter["default"]) for name, parameter in seen.items()} == {
            name: field.default for name, field in fields.items()}
        assert [name for name, parameter in seen.items() if not parameter["help"]] == []

    def test_its_parameters_are_set_before_its_run_is_opened_and_its_last_code_cell_closes_it(self, path: Path):
        sources = [cell.source for cell in code_cells(path)]
        opened = next(index for index, source in enumerate(sources) if re.search(r"\bstart\(", source))
        assert sources.index(parameters_cell(path).source) < opened < len(sources) - 1
        assert re.search(r"\bfinish\(", sources[-1])

    def test_its_text_has_no_exclamation_marks_and_no_emoji(self, path: Path):
        for cell in read(path).cells:
            if cell.cell_type == "markdown":
                prose = re.sub(r"`[^`]*`|!\[", "", re.sub(r"(?s)```.*?```|\$.*?\$", "", cell.source))
                assert "!" not in prose, cell.source
                assert not any(unicodedata.category(letter) == "So" for letter in prose), cell.source


# --- the smoke profile, run once ---

@pytest.fixture(scope="session")
def smoke(store: Path) -> dict[str, str]:
    """Run id by stage of the smoke profile, from the first notebook to the last."""
    with warm_kernels():
        assert pipeline.main([str(ROOT / "params" / "smoke")]) == 0, "the message above says which notebook failed"
    stages = [path.stem for path in NOTEBOOKS if path.stem in pipeline.STAGES]
    return {stage: tracking.latest_run(stage, "smoke", 0) for stage in stages}


@pytest.mark.notebooks
def test_every_stage_logs_each_of_its_metrics_and_every_number_is_finite(smoke: dict[str, str]):
    for stage, run_id in smoke.items():
        logged = tracking.run_metrics(run_id)
        missing = set(stage_keys(stage)) - {metric_key(name) for name in logged}
        assert not missing, f"{stage} did not log {sorted(missing)}: log them, or drop them from METRICS"
        assert all(isfinite(value) for value in logged.values()), stage


@pytest.mark.notebooks
def test_every_stage_was_made_from_the_run_of_its_source(smoke: dict[str, str]):
    for stage, run_id in smoke.items():
        if pipeline.SOURCES.get(stage) in smoke:
            assert tracking.ancestor(run_id, pipeline.SOURCES[stage]) == smoke[pipeline.SOURCES[stage]]


@pytest.mark.notebooks
def test_the_smoke_profile_run_again_skips_every_stage(smoke: dict[str, str], capsys: pytest.CaptureFixture):
    assert pipeline.main([str(ROOT / "params" / "smoke")]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{stage}: skipped (run {run_id})" for stage, run_id in smoke.items()]
