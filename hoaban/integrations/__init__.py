"""Events that leave the system: to whom, what of them, and in which words."""

from hoaban.integrations.leaving import leaves
from hoaban.integrations.settings import IntegrationSettings, KafkaTarget, MqttTarget, Target, WebhookTarget

__all__ = ["IntegrationSettings", "KafkaTarget", "MqttTarget", "Target", "WebhookTarget", "leaves"]
