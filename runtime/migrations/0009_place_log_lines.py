from django.db import migrations


def place_lines(apps, schema_editor):
    """Give the lines there are their project, agent and level; run by run, so that others may write in between."""
    run_log, runs = apps.get_model("runtime", "RunLog"), apps.get_model("runtime", "TaskRun")
    for pk, agent_id, project_id in list(runs.objects.values_list("pk", "agent_id", "task__project_id")):
        lines = run_log.objects.filter(run_id=pk)
        lines.filter(project_id=None).update(project_id=project_id, agent_id=agent_id)
        lines.filter(kind="stderr").update(level=40)
        lines.filter(kind="tool_result", body__is_error=True).update(level=30)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("runtime", "0008_log_queries"),
    ]

    operations = [
        migrations.RunPython(place_lines, migrations.RunPython.noop, elidable=True),
    ]
