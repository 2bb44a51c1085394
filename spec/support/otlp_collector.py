"""A collector that takes OTLP over HTTP: OpenTelemetry's own messages (opentelemetry-proto), on Python's server.

POST …/v1/traces   takes spans, as a real collector does: what is no message, or of another type, is refused
GET /spans         all spans so far, as JSON, with their resource and scope
GET /headers       the headers of the last request with spans

A path that begins with /hang is never answered, and one that begins with /deny refused.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

spans, headers = [], {}


def value_of(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def attributes_of(message):
    return {pair.key: value_of(pair.value) for pair in message.attributes}


def read(request):
    """Each span as a dictionary: its fields, ids in hexadecimal digits."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                fields = MessageToDict(span, preserving_proto_field_name=True)
                fields["attributes"] = attributes_of(span)
                fields["trace_id"] = span.trace_id.hex()
                fields["span_id"] = span.span_id.hex()
                fields["parent_span_id"] = span.parent_span_id.hex()
                fields["links"] = [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links]
                fields["resource"] = attributes_of(resource.resource)
                fields["scope"] = {"name": scope.scope.name, "version": scope.scope.version}
                yield fields


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/hang"):
            threading.Event().wait()
        if self.path.startswith("/deny"):
            return self.answer(401, b"")
        if not self.path.endswith("/v1/traces"):
            return self.answer(404, b"")
        if self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(415, b"")
        request = ExportTraceServiceRequest()
        try:
            request.ParseFromString(body)
        except DecodeError:
            return self.answer(400, b"")
        spans.extend(read(request))
        headers.clear()
        headers.update({name.lower(): value for name, value in self.headers.items()})
        self.answer(200, ExportTraceServiceResponse().SerializeToString())

    def do_GET(self):
        self.answer(200, json.dumps(headers if self.path == "/headers" else spans).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector)
server.daemon_threads = True
server.serve_forever()
