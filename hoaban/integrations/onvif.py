"""Events in the terms of ONVIF Profile M: topics of the rule engine, and the JSON that Profile M sends over MQTT.

Where ONVIF has no topic for what a rule finds, the topic is our own below RuleEngine/HoaBan. The payload follows the
ONVIF Core Specification, "Event broker": UtcTime, Source, Key, Data.
"""

from collections.abc import Mapping
from typing import Any

OWN = "RuleEngine/HoaBan"
TOPICS = {
    "hoaban.line_count": "RuleEngine/LineDetector/Crossed",
    "hoaban.intrusion": "RuleEngine/FieldDetector/ObjectsInside",
    "hoaban.loitering": "RuleEngine/LoiteringDetector/ObjectIsLoitering",
    "hoaban.face_watchlist": "RuleEngine/Recognition/Face",
    "hoaban.plate_watchlist": "RuleEngine/Recognition/LicensePlate",
}
"""by the type of the event; without the namespace, as over MQTT"""
FAULT_TOPICS = {
    "dark": "VideoSource/ImageTooDark/AnalyticsService",
    "blurred": "VideoSource/ImageTooBlurry/AnalyticsService",
    "covered": "VideoSource/GlobalSceneChange/AnalyticsService",
    "moved": "VideoSource/GlobalSceneChange/AnalyticsService",
    "offline": "VideoSource/SignalLoss",
    "stalled": "VideoSource/SignalLoss",
}
"""of a camera_health event, by its fault"""
_DATA = {
    "track": "ObjectId",
    "class": "ClassTypes",
    "direction": "Direction",
    "score": "Likelihood",
    "phase": "State",
    "fault": "Fault",
    "zone": "Field",
    "line": "Line",
}


def topic_of(document: Mapping[str, Any]) -> str:
    """The ONVIF topic of a CloudEvent, without namespace."""
    kind, data = str(document["type"]), document["data"]
    if kind == "hoaban.camera_health" and (topic := FAULT_TOPICS.get(str(data.get("fault")))):
        return topic
    name = "".join(word.capitalize() for word in kind.removeprefix("hoaban.").split("_"))
    return TOPICS.get(kind, f"{OWN}/{name}")


def as_onvif(document: Mapping[str, Any]) -> dict[str, Any]:
    """A CloudEvent as ONVIF's JSON. `Topic` and `Id` are ours: one for who has no MQTT topic, one to tell repeats."""
    data = document["data"]
    found = {name: data[key] for key, name in _DATA.items() if data.get(key) is not None}
    topic = topic_of(document)
    if topic.startswith("VideoSource/") and "phase" in data:
        found["State"] = data["phase"] == "start"
    if topic == TOPICS["hoaban.intrusion"]:
        found["IsInside"] = True
    return {
        "Id": document["id"],
        "Topic": f"tns1:{topic}",
        "UtcTime": document["time"],
        "Source": {"VideoSource": data["camera"], "Rule": data.get("rule")},
        "Key": {"ObjectId": data["track"]} if data.get("track") is not None else {},
        "Data": found,
    }
