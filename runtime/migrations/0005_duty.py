from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runtime', '0004_run_credential'),
    ]

    operations = [
        migrations.CreateModel(
            name='Duty',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('owner', models.CharField(blank=True, max_length=64)),
                ('until', models.DateTimeField()),
                ('due_at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'duties',
                'ordering': ['name'],
            },
        ),
    ]
