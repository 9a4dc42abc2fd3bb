#!/usr/bin/env python3
"""A program written for MOSN: it knows the proto, the handshake and nothing of Weir. -c FILE names the headers that a request must have; with --cert
and --key it gives a certificate instead (MOSN's `loader`)."""

import argparse
import json
import sys
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# plugin.proto of MOSN, as a descriptor.
file = descriptor_pb2.FileDescriptorProto(name="plugin.proto", package="proto", syntax="proto3")
for name, fourth in (("Request", ("type", 9)), ("Response", ("status", 5))):
    message = file.message_type.add(name=name)
    for number, field in ((1, "header"), (2, "trailer")):
        entry = message.nested_type.add(name=field.capitalize() + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        entry.field.add(name="value", number=2, type=9, label=1)
        message.field.add(name=field, number=number, type=11, label=3, type_name=f".proto.{name}.{entry.name}")
    message.field.add(name="body", number=3, type=12, label=1)
    message.field.add(name=fourth[0], number=4, type=fourth[1], label=1)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Request = message_factory.GetMessageClass(pool.FindMessageTypeByName("proto.Request"))
Response = message_factory.GetMessageClass(pool.FindMessageTypeByName("proto.Response"))

parser = argparse.ArgumentParser()
parser.add_argument("-c", default="checkconf.json")
parser.add_argument("--cert")
parser.add_argument("--key")
arguments = parser.parse_args()


def check(request, _context):
    with open(arguments.c) as text:
        wanted = json.load(text)
    passed = all(request.header.get(name) == value for name, value in wanted.items())
    return Response(status=1 if passed else -1)


def load(_request, _context):
    with open(arguments.cert) as chain, open(arguments.key) as key:
        return Response(body=json.dumps({"cert_pem": chain.read(), "key_pem": key.read(), "ca_pem": ""}).encode())


handler = grpc.unary_unary_rpc_method_handler(
    load if arguments.cert else check, Request.FromString, Response.SerializeToString
)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("proto.Plugin", {"Call": handler}),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"1|1|tcp|127.0.0.1:{port}|grpc")
sys.stdout.flush()
while True:
    time.sleep(60)
