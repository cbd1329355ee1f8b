"""Infrastructure of the workflow on AWS, as data: template, permissions and alarms. Nothing here calls AWS.

``python -m scones_ml.infrastructure`` prints the SAM template.

The names that this package exports are public; its modules are internal and may change without notice.
"""

from __future__ import annotations

from scones_ml.infrastructure.parameters import TemplateSettings
from scones_ml.infrastructure.template import template, template_text

__all__ = ["TemplateSettings", "template", "template_text"]
