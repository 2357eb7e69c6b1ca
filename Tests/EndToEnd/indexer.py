"""A HEC whose token acknowledges (Splunk, "About HTTP Event Collector Indexer Acknowledgment")."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from peers import HEC, Reply, reply

EVENTS, QUESTIONS = "POST /services/collector/event ", "POST /services/collector/ack?"


@dataclass
class Indexer(HEC):
    """Gives each request a number on its channel, and calls each number true once."""

    plays_on: str = EVENTS
    numbers: Counter[str] = field(default_factory=Counter)
    # Whether it asks for less with every number it gives (code 24).
    is_busy: bool = False
    # Whether it calls anything true.
    confirms: bool = True
    # By channel, what was not called true yet.
    waiting: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def answer(self, method: str, path: str, fields: dict[str, str], body: bytes) -> Reply:
        """Questions, and events with a number in the answer."""
        place, _, channel = path.partition("?channel=")
        if place == "/services/collector/ack":
            asked = json.loads(body)["acks"]
            true = self.waiting[channel] & set(asked) if self.confirms else set()
            self.waiting[channel] -= true
            told = {str(number): number in true for number in asked}
            return reply(200, {"acks": told})
        status, content, more = super().answer(method, path, fields, body)
        if status != 200:
            return status, content, more
        channel = fields["x-splunk-request-channel"]
        number = self.numbers[channel]
        self.numbers[channel] += 1
        self.waiting[channel].add(number)
        said = ("Queue at capacity soon", 24) if self.is_busy else ("Success", 0)
        return reply(200, {"text": said[0], "code": said[1], "ackId": number})


@dataclass
class QuestionedIndexer(Indexer):
    """The same, with the plays on the questions for acknowledgements."""

    plays_on: str = QUESTIONS
