from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orchestration", "0002_archive"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="task",
            index=models.Index(condition=models.Q(("is_archived", False)), fields=["priority", "id"], name="task_list"),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("is_archived", False)),
                fields=["project", "priority", "id"],
                name="task_list_project",
            ),
        ),
    ]
