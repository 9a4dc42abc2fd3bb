#!/usr/bin/env python3
"""Lets pass what has the headers that a file names: checker.py -c checkconf.json"""

import argparse
import json

from weir_plugin import Filter, Reply, serve

parser = argparse.ArgumentParser()
parser.add_argument("-c", default="checkconf.json")
with open(parser.parse_args().c) as file:
    wanted = json.load(file)


class Checker(Filter):
    def on_request_headers(self, stream, headers, end_stream):
        if any(headers.get(name) != value for name, value in wanted.items()):
            return Reply(403, body="forbidden by a plugin\n")


serve(filter=Checker)
