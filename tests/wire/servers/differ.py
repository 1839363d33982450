"""Performs generated sequences of calls through boto3, and tells what was answered. Each sequence has resources of its own, so that many
of them go side by side; the calls of one go one after another.

    {"names": {"zone": "Z1"}, "seed": [call, ...], "watch": [call, ...], "calls": [call, ...]}

A call is {"service", "region", "operation", "params"}, and where it applies
"keep": {"zone": "HostedZone.Id"}      what of the answer has a name from now on: `{zone}` in params stands for it, and in answers it is
                                       told by that name, since each server names things in its own way
"busy": "a JMESPath"                   of a call to watch: true of its answer while something there has not come to rest
"pages": true                          all pages of it are asked for
"rest": true                           everything that is watched comes to rest after the call, and is told then
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.exceptions
import jmespath
from botocore.config import Config

SIDE_BY_SIDE = 8
PATIENCE_SECONDS = 20
# What is wrong with a request is for the server to say.
CARELESS = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30, parameter_validation=False, max_pool_connections=2 * SIDE_BY_SIDE)


def perform_all(sides):
    """Performs the sequences of each side, all sides at once: `[{"endpoint": url, "sequences": [...]}, ...]`."""
    with ThreadPoolExecutor(len(sides)) as pool:
        return list(pool.map(perform_side, sides))


def perform_side(side):
    sequences, clients = side["sequences"], {}
    for call in (call for sequence in sequences for part in ("seed", "watch", "calls") for call in sequence[part]):
        key = (call["service"], call["region"])
        if key not in clients:
            clients[key] = client(side["endpoint"], *key)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(lambda sequence: Performance(clients, sequence).play(), sequences))


def client(endpoint, service, region):
    session = boto3.session.Session()
    return session.client(
        service, region_name=region, endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", config=CARELESS
    )


class Performance:
    def __init__(self, clients, sequence):
        self.clients, self.sequence = clients, sequence
        self.names, self.patience = dict(sequence["names"]), PATIENCE_SECONDS

    def play(self):
        for call in self.sequence["seed"]:
            told = self.perform(call)
            if "answer" not in told:
                raise RuntimeError(f"the world cannot be made: {call}: {told}")
        self.come_to_rest()
        return [self.step(call) for call in self.sequence["calls"]]

    def step(self, call):
        told = self.perform(call)
        if call.get("rest"):
            told["at_rest"] = self.come_to_rest()
        return told

    def come_to_rest(self):
        limit = time.monotonic() + self.patience
        while True:
            told = [self.perform(call) for call in self.sequence["watch"]]
            busy = [
                number for number, call in enumerate(self.sequence["watch"])
                if call.get("busy") and jmespath.search(call["busy"], told[number].get("answer"))
            ]
            if busy and time.monotonic() > limit:
                self.patience = 0
                for number in busy:
                    told[number] = {"status": 0, "code": "NeverAtRest", "message": json.dumps(told[number])[:500]}
                return told
            if not busy:
                # What was looked at first may have changed until the last was found at rest.
                return [self.perform(call) for call in self.sequence["watch"]]
            time.sleep(0.05)

    def perform(self, call):
        params, method = self.spelled_out(call["params"]), getattr(self.clients[call["service"], call["region"]], call["operation"])
        if "busy" in call and "{" in str(params.get("Id", "")):
            return {"status": 0, "code": "NothingYet", "message": ""}
        try:
            answer = self.all_pages(call, params) if call.get("pages") else method(**params)
        except botocore.exceptions.ClientError as error:
            status, told = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]
            return {"status": status, "code": told.get("Code", ""), "message": told.get("Message", "")}
        except Exception as error:
            # No answer of AWS: a server that crashed, say, and sent a page of HTML.
            return {"status": 0, "code": type(error).__name__, "message": str(error)[:200]}
        answer.pop("ResponseMetadata", None)
        answer = json.loads(json.dumps(answer, default=str))
        for name, path in call.get("keep", {}).items():
            found = jmespath.search(path, answer)
            if found:
                self.names[name] = found
        return {"status": 200, "answer": self.named(answer)}

    def all_pages(self, call, params):
        pages = self.clients[call["service"], call["region"]].get_paginator(call["operation"]).paginate(**params)
        return pages.build_full_result()

    def spelled_out(self, value):
        return replaced(value, {"{" + name + "}": text for name, text in self.names.items()})

    def named(self, value):
        return replaced(value, {text: "{" + name + "}" for name, text in self.names.items()})


def replaced(value, texts):
    if isinstance(value, dict):
        return {key: replaced(part, texts) for key, part in value.items()}
    if isinstance(value, list):
        return [replaced(part, texts) for part in value]
    if isinstance(value, str):
        # The longest first, for one may be part of another.
        for text in sorted(texts, key=len, reverse=True):
            value = value.replace(text, texts[text])
    return value
