"""Rules that are awake at certain hours only."""

from pydantic import Field

from hoaban.events import Event, Finding
from hoaban.lasting import Remembering
from hoaban.rules.base import Rule, RuleConfig, Site
from hoaban.scene import Scene
from hoaban.schedule import Hours, Schedule


class ScheduledRuleConfig(RuleConfig):
    """A rule with hours. Without any it is always awake."""

    schedule: tuple[Hours, ...] = Field((), description="the rule is silent outside; always awake without")

    def on_schedule(self, rule: Rule, site: Site) -> Rule:
        """The rule, asleep outside the schedule."""
        return Scheduled(rule, Schedule(self.schedule, site.timezone)) if self.schedule else rule


class Scheduled:
    """A rule that sees nothing outside its hours: whoever is there when they begin arrives, for it, at that moment."""

    def __init__(self, rule: Rule, schedule: Schedule) -> None:
        self.name, self.views = rule.name, rule.views
        self._rule, self._schedule = rule, schedule

    def remember(self, event: Event, scene: Scene) -> None:
        if isinstance(self._rule, Remembering):
            self._rule.remember(event, scene)

    def update(self, scene: Scene) -> list[Finding]:
        return self._rule.update(scene) if self._schedule.awake(scene.now_s) else []
