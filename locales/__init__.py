"""Every word a user reads: Rasa's response format with Jinja2 templates, one folder a language, one file a capability."""

from locales.render import Locale, LocaleError, Spoken

__all__ = ["Locale", "LocaleError", "Spoken"]
