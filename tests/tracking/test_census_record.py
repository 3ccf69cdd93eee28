"""Every method and property that the census and the seeds name for recording, by name and by its arguments."""

import inspect

import pytest

import rollwright
from rollwright.config import context
from rollwright.config.settings import load_settings
from rollwright.errors import ConfigError, RecordError, UnknownSettingError
from rollwright.tracking.r import R

# One line for each: what it is, and the arguments a caller of Qlib's may give by name.
CENSUS = """
QlibRecorder start experiment_id experiment_name recorder_id recorder_name uri resume
QlibRecorder start_exp experiment_id experiment_name recorder_id recorder_name uri resume
QlibRecorder end_exp recorder_status
QlibRecorder get_exp experiment_id experiment_name create start
QlibRecorder get_recorder recorder_id recorder_name experiment_id experiment_name
QlibRecorder list_experiments
QlibRecorder list_recorders experiment_id experiment_name
QlibRecorder search_records experiment_ids filter_string run_view_type max_results order_by
QlibRecorder delete_exp experiment_id experiment_name
QlibRecorder delete_recorder recorder_id recorder_name
QlibRecorder get_uri
QlibRecorder set_uri uri
QlibRecorder uri_context uri
QlibRecorder save_objects local_path artifact_path
QlibRecorder load_object name
QlibRecorder log_params
QlibRecorder log_metrics step
QlibRecorder log_artifact local_path artifact_path
QlibRecorder download_artifact path dst_path
QlibRecorder set_tags
QlibRecorder suspend_exp
QlibRecorder exp_manager
MLflowExpManager default_uri
MLflowExpManager uri
MLflowExpManager client
MLflowExpManager active_experiment
MLflowExpManager start_exp experiment_id experiment_name recorder_id recorder_name uri resume
MLflowExpManager end_exp recorder_status
MLflowExpManager create_exp experiment_name
MLflowExpManager get_exp experiment_id experiment_name create start
MLflowExpManager search_records experiment_ids
MLflowExpManager list_experiments
MLflowExpManager delete_exp experiment_id experiment_name
MLflowExpManager suspend_exp
MLflowExperiment RT_D
MLflowExperiment RT_L
MLflowExperiment UNLIMITED
MLflowExperiment id
MLflowExperiment name
MLflowExperiment info
MLflowExperiment active_recorder
MLflowExperiment start recorder_id recorder_name resume
MLflowExperiment end recorder_status
MLflowExperiment suspend
MLflowExperiment create_recorder recorder_name
MLflowExperiment get_recorder recorder_id recorder_name create start
MLflowExperiment search_records filter_string run_view_type max_results order_by
MLflowExperiment delete_recorder recorder_id recorder_name
MLflowExperiment list_recorders rtype max_results status filter_string
MLflowRecorder STATUS_S
MLflowRecorder STATUS_R
MLflowRecorder STATUS_FI
MLflowRecorder STATUS_FA
MLflowRecorder id
MLflowRecorder name
MLflowRecorder experiment_id
MLflowRecorder status
MLflowRecorder start_time
MLflowRecorder end_time
MLflowRecorder info
MLflowRecorder uri
MLflowRecorder artifact_uri
MLflowRecorder get_artifact_uri
MLflowRecorder get_local_dir
MLflowRecorder set_recorder_name
MLflowRecorder start_run
MLflowRecorder end_run status
MLflowRecorder log_params
MLflowRecorder log_metrics step
MLflowRecorder set_tags
MLflowRecorder delete_tags
MLflowRecorder list_params
MLflowRecorder list_metrics
MLflowRecorder list_tags
MLflowRecorder list_artifacts artifact_path
MLflowRecorder log_artifact local_path artifact_path
MLflowRecorder download_artifact path dst_path
MLflowRecorder delete_artifact name
MLflowRecorder save_objects local_path artifact_path
MLflowRecorder load_object name
list_recorders - experiment rec_filter_func
auto_init - cur_path skip_if_reg
"""


@pytest.mark.parametrize("line", CENSUS.strip().splitlines())
def test_every_name_of_the_census_is_there_with_its_arguments(line):
    owner, member, *arguments = line.split()
    found = getattr(rollwright, owner)
    found = found if member == "-" else inspect.getattr_static(found, member)
    if arguments:
        assert set(arguments) <= set(inspect.signature(found).parameters)
    if callable(found):
        assert inspect.getdoc(found)


@pytest.mark.parametrize("base", ["ExpManager", "Experiment", "Recorder"])
def test_the_plain_names_are_the_bases_of_mlflows(base):
    assert issubclass(getattr(rollwright, f"MLflow{base}"), getattr(rollwright, base))


@pytest.mark.usefixtures("project")
class TestTheRest:
    def test_list_recorders_filters_and_creates_nothing(self, name):
        for place in range(3):
            with R.start(experiment_name=name, recorder_name=f"r{place}"):
                R.log_metrics(ic=place)
        found = rollwright.list_recorders(name)
        assert found == R.get_exp(experiment_name=name).list_recorders()
        chosen = rollwright.list_recorders(R.get_exp(experiment_name=name), lambda item: item.list_metrics()["ic"] > 0)
        assert {recorder.name for recorder in chosen.values()} == {"r1", "r2"}
        assert list(chosen) == [key for key in found if key in chosen]
        assert rollwright.list_recorders(f"{name}x") == {}
        assert f"{name}x" not in R.list_experiments()

    def test_a_suspended_run_goes_on_wherever_it_is_taken_up(self, name):
        with R.start(experiment_name=name, recorder_name="r") as recorder:
            R.log_params(a=1)
            R.suspend_exp()
            assert R.exp_manager.active_experiment is None
        suspended = R.get_recorder(recorder_id=recorder.id)
        assert (suspended.status, suspended.end_time) == ("SCHEDULED", None)
        assert suspended.list_params() == {"a": "1"}
        with R.start(experiment_name=name, recorder_id=recorder.id, resume=True) as again:
            assert again.status == "RUNNING"
            R.log_metrics(ic=1)
            with pytest.raises(RecordError, match="already"):
                R.log_params(a=2)
            again_started = again.start_time
        done = R.get_recorder(recorder_id=recorder.id)
        assert (done.status, done.start_time, done.list_metrics()) == ("FINISHED", again_started, {"ic": 1.0})
        R.suspend_exp()  # none is active: nothing happens
        experiment = R.start_exp(experiment_name=name, recorder_name="s")
        experiment.suspend()
        assert experiment.get_recorder(recorder_name="s").status == "SCHEDULED"

    def test_a_run_inside_another_knows_its_parent(self, name):
        with R.start(experiment_name=name) as outer:
            with R.start(experiment_name=name) as inner:
                pass
            with R.start(experiment_name=name, uri="memory:elsewhere") as elsewhere:
                pass
        assert R.get_recorder(recorder_id=inner.id).parent_id == outer.id
        assert (outer.parent_id, elsewhere.parent_id) == (None, None)
        assert inner.list_tags() == {}

    def test_a_manager_starts_a_run_elsewhere(self, name):
        before = R.get_uri()
        experiment = R.exp_manager.start_exp(experiment_name=name, uri="memory:there")
        R.end_exp()
        assert R.get_uri() == before
        assert name not in R.list_experiments()
        assert len(experiment.list_recorders()) == 1

    def test_where_it_is_recorded_is_told_without_a_password(self, name):
        with R.start(experiment_name=name) as recorder:
            pass
        assert recorder.get_artifact_uri() == recorder.artifact_uri
        assert recorder.uri in R.get_uri() or recorder.uri == "sqlite:///.rollwright/mlflow.db"


def test_mlflows_client_is_there_for_what_mlflow_keeps(mlflow_project, memory_project, name):
    with pytest.raises(RecordError, match="no client"):
        _ = R.exp_manager.client
    context.install(mlflow_project)
    with R.start(experiment_name=name) as recorder:
        R.log_params(a=1)
    assert R.exp_manager.client.get_run(recorder.id).data.params == {"a": "1"}


class TestAutoInit:
    def test_the_project_is_found_upwards_and_a_set_context_is_left(self, tmp_path):
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "rollwright.toml").write_text("[pool]\nmax_attempts = 7\n")
        settings = rollwright.auto_init(cur_path=tmp_path / "a/b", region="us")
        assert (settings.root, settings.pool.max_attempts, settings.data.region) == (tmp_path, 7, "us")
        assert context.current_settings() is settings
        assert rollwright.auto_init(region="cn") is settings
        assert rollwright.auto_init(skip_if_reg=False, region="tw").data.region == "tw"

    def test_bad_input_changes_nothing(self, tmp_path):
        settings = load_settings(start=tmp_path, environ={})
        context.install(settings)
        with pytest.raises(UnknownSettingError, match="unknown name `rgion`"):
            rollwright.auto_init(rgion="us")
        with pytest.raises(ConfigError, match="no folder"):
            rollwright.auto_init(cur_path=tmp_path / "absent", skip_if_reg=False)
        assert context.current_settings() is settings
