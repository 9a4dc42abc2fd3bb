"""python -m unittest discover -s tests"""

import asyncio
import unittest

from weir_plugin import HOLD, Filter, Headers, Reply
from weir_plugin import _messages as pb
from weir_plugin._server import _Session

OPERATIONS = ["SET", "ADD", "REMOVE"]


def headers_event(*items, part="request_headers", end=False):
    event = pb.Event()
    getattr(event, part).end_stream = end
    for name, value in items:
        getattr(event, part).headers.add(name=name, value=value.encode("latin-1"))
    return event


def body_event(data, end):
    event = pb.Event()
    event.request_body.data = data
    event.request_body.end_stream = end
    return event


def run(filter, *events):
    session = _Session()
    session.begin(filter, pb.Event().start)
    for event in events:
        action = asyncio.run(session.run(event))
    return action


def edits(action):
    return [f"{OPERATIONS[edit.operation]} {edit.name}={edit.value.decode('latin-1')}" for edit in action.edits]


class Change(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        return self.config(stream, headers)


class SessionTest(unittest.TestCase):
    def test_edits_say_what_changed(self):
        for change, wanted in [
            (lambda s, h: None, []),
            (lambda s, h: h.set("A", "2"), ["SET a=2"]),
            (lambda s, h: h.add("a", "2"), ["ADD a=2"]),
            (lambda s, h: h.remove("a"), ["REMOVE a="]),
            (lambda s, h: (h.add("new", "1"), h.add("new", "\u00e9"), None)[2], ["SET new=1", "ADD new=\u00e9"]),
            (lambda s, h: h.set("a", "1"), []),
        ]:
            self.assertEqual(edits(run(Change(change), headers_event(("a", "1"), ("b", "1")))), wanted)

    def test_held_headers_may_be_edited_with_the_body(self):
        class Late(Filter):
            def on_request_headers(self, stream, headers, end_stream):
                return HOLD

            async def on_request_body(self, stream, data, end_stream):
                if not end_stream:
                    return HOLD
                stream.request_headers.set("x-length", str(len(stream.request_body)))
                return stream.request_body.upper()

        action = run(Late(None), headers_event(("a", "1")), body_event(b"he", False), body_event(b"llo", True))
        self.assertEqual(action.body, b"HELLO")
        self.assertEqual(edits(action), ["SET x-length=5"])

    def test_replies_and_metadata(self):
        def change(stream, headers):
            stream.set_metadata("ns", "key", {"n": 1})
            return Reply(403, {"x": "y"}, "no", "because")

        action = run(Change(change), headers_event())
        self.assertEqual((action.reply.status, action.reply.body, action.reply.details), (403, b"no", "because"))
        self.assertEqual(dict(action.metadata), {"ns": '{"key": {"n": 1}}'})

    def test_a_wrong_result_is_a_failure(self):
        with self.assertRaisesRegex(TypeError, "a hook returned 42"):
            run(Change(lambda s, h: 42), headers_event())

    def test_headers_keep_order_and_repeated_ones(self):
        headers = Headers([("a", "1"), ("b", "2"), ("a", "3")])
        self.assertEqual(headers.get("A"), "1, 3")
        self.assertEqual(list(headers), [("a", "1"), ("b", "2"), ("a", "3")])
        self.assertNotIn("c", headers)


if __name__ == "__main__":
    unittest.main()
