"""A dialog that asks for a few words."""

from __future__ import annotations

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from security.admin.base import DialogForm


class WordsForm(DialogForm):
    words = forms.CharField(label="In your words", widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}))
