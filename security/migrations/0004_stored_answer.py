from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('security', '0003_access'),
    ]

    operations = [
        migrations.AddField(
            model_name='idempotentcommand',
            name='headers',
            field=models.JSONField(default=dict),
        ),
        migrations.AlterField(
            model_name='idempotentcommand',
            name='body',
            field=models.TextField(blank=True, default=''),
        ),
    ]
