"""What every group of settings can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from easyseg.config.plain import is_plain, to_plain
from easyseg.config.words import complaint, expectation, explain, takes
from easyseg.errors import ConfigError, unknown_name


class Settings(BaseModel):
    """A group of settings: immutable, checked when made, strangers refused with the nearest name."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check `values` and return the settings.

        Raises:
            ConfigError: a value is of the wrong type or out of range; the message names setting, value and help.
            UnknownNameError: a name is no setting of this group.
        """
        for name in values:
            if name not in cls.model_fields:
                raise unknown_name("setting", name, cls.model_fields)
        cls.refuse_switches(values)
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(explain(cls.model_fields, values, error)) from None

    @classmethod
    def refuse_switches(cls, values: Mapping[str, Any]) -> None:
        """Refuse True and False where a number belongs: Python takes True for 1, but whoever writes it does not.

        Raises:
            ConfigError: there is such a value.
        """
        for name, value in values.items():
            if isinstance(value, bool) and not takes(cls.model_fields[name].annotation, bool):
                raise ConfigError(complaint(name, value, cls.model_fields[name]))

    @classmethod
    def collect(cls, scope: Mapping[str, Any]) -> Self:
        """Pick this group's settings out of a function's arguments (`locals()`) and check them."""
        return cls.of({name: scope[name] for name in cls.model_fields if name in scope})

    @classmethod
    def help(cls, name: str) -> str:
        """Return the help text of one setting."""
        return cls.model_fields[name].description or ""

    def changed(self) -> dict[str, Any]:
        """Return, as plain values, the settings that differ from their defaults."""
        default = type(self)().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != default[name]}

    @classmethod
    def expects(cls, name: str) -> str:
        """Return in words what values a setting takes, such as "a whole number of at least 1 or 'auto'"."""
        return expectation(cls.model_fields[name])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML can hold; objects (a loss function, a transform) become their repr."""
        return {name: to_plain(getattr(self, name)) for name in type(self).model_fields}

    def objects(self) -> dict[str, Any]:
        """Return the settings that hold Python objects, such as a loss function, which YAML has no words for."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if not is_plain(value)}
