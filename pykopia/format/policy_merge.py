"""The policy that holds for a source, merged from those of its target and the targets above (format 05 §3.2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pykopia.dataclass import dataclass
from pykopia.format.policy import DEFAULT_POLICY, Policy, TimeOfDay
from pykopia.format.policy_fields import Kind, Merge, PolicyField, Section, fields_of
from pykopia.format.policy_target import DefinedPolicy, policies_for
from pykopia.format.source import SourceInfo
from pykopia.html_table import html_table


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EffectivePolicy:
    """The effective policy of a source, with the origin of each value."""

    target: SourceInfo
    """The source."""
    policy: Policy
    """All values; without those that nothing sets, not even the built-in defaults."""
    origins: Mapping[str, SourceInfo]
    """The target that set a value, by the name of its field, such as ``retention.keep_latest``.

    Of a list that unites several it is the most general one, as in Kopia. Fields that no policy sets are missing, so that
    a built-in default can be told from a value of the global policy. Folder actions and the flags that stop a union are
    never in it.
    """
    sources: tuple[DefinedPolicy, ...]
    """The policies that bear on the source, the most specific first; what follows one with ``no_parent`` was not used."""

    def __repr__(self) -> str:
        return f"<EffectivePolicy of {self.target}: {self.policy!r}>"

    def _repr_html_(self) -> str:
        rows = ((name, value, self.origins.get(name, "built-in default")) for name, value in self.policy.values_set())
        return html_table(("field", "value", "from"), rows, caption=str(self.target))


def effective_policy(source: SourceInfo, defined: Iterable[DefinedPolicy]) -> EffectivePolicy:
    """Return the policy that holds for a source.

    Args:
        source: What is to be snapshotted; a source without path, or host alone, is one as well.
        defined: All policies there are, oldest first.
    """
    return merge_policies(source, policies_for(source, defined))


def merge_policies(target: SourceInfo, policies: Sequence[DefinedPolicy]) -> EffectivePolicy:
    """Merge policies, the most specific first, and behind them the built-in defaults.

    A policy with ``no_parent`` ends it at once: then not even the built-in defaults are used, and no folder actions.

    Args:
        target: What the result is for.
        policies: The first is that of the target itself.
    """
    values: dict[str, Any] = {}
    origins: dict[str, SourceInfo] = {}
    for each in policies:
        _add(values, each.policy, each.target, origins)
        if each.policy.no_parent:
            policy = _built(Policy, values)
            break
    else:
        _add(values, DEFAULT_POLICY, None, origins)
        policy = _built(Policy, values)
        if policies:
            own = policies[0].policy.actions
            actions = replace(policy.actions, before_folder=own.before_folder, after_folder=own.after_folder)
            policy = replace(policy, actions=actions)
    return EffectivePolicy(target=target, policy=policy, origins=origins, sources=tuple(policies))


def _add(
    values: dict[str, Any],
    section: Section,
    origin: SourceInfo | None,
    origins: dict[str, SourceInfo],
    prefix: str = "",
) -> None:
    """Fill up the values that more specific policies have left unset."""
    for known in fields_of(type(section)):
        value = getattr(section, known.attribute)
        name = prefix + known.attribute
        if known.kind is Kind.SECTION:
            _add(values.setdefault(known.attribute, {}), value, origin, origins, name + ".")
            continue
        used = False
        if known.merge is Merge.UNION:
            if not values.get(known.stopped_by):
                used = known.is_set(value)
                values[known.attribute] = _united(known, values.get(known.attribute), value)
                values[known.stopped_by] = getattr(section, known.stopped_by)
        elif known.merge is Merge.FIRST and not known.is_set(values.get(known.attribute)):
            used = known.is_set(value)
            values[known.attribute] = value
        if used and origin is not None:
            origins[name] = origin


def _united(known: PolicyField, first: Any, second: Any) -> Any:  # noqa: ANN401 -- lists of either kind
    both = (*(first or ()), *(second or ()))
    if known.section is TimeOfDay:
        times: dict[tuple[int, int], TimeOfDay] = {}
        for time in both:
            times.setdefault((time.hour, time.minute), time)
        return tuple(times[key] for key in sorted(times))
    return tuple(sorted(set(both)))


def _built(section: type[Any], values: dict[str, Any]) -> Any:  # noqa: ANN401 -- an object of that class
    arguments = {}
    for known in fields_of(section):
        value = values.get(known.attribute)
        if isinstance(value, dict):
            assert known.section is not None
            arguments[known.attribute] = _built(known.section, value)
        elif known.is_set(value):
            arguments[known.attribute] = value
    return section(**arguments)


__all__ = ["EffectivePolicy", "effective_policy", "merge_policies"]
