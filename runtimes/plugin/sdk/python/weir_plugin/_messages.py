"""The messages of weir.plugin.v1, from a descriptor: so they fit every version of protobuf."""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_files = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("weir_plugin.binpb").read_bytes())
_pool = descriptor_pool.DescriptorPool()
for _file in _files.file:
    _pool.Add(_file)


def _message(name):
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName("weir.plugin.v1." + name))


ConfigureRequest = _message("ConfigureRequest")
ConfigureResponse = _message("ConfigureResponse")
Event = _message("Event")
Action = _message("Action")
Edit = _message("Edit")
BalanceRequest = _message("BalanceRequest")
BalanceResponse = _message("BalanceResponse")
LogRequest = _message("LogRequest")
LogResponse = _message("LogResponse")
CertificateRequest = _message("CertificateRequest")
CertificateResponse = _message("CertificateResponse")
