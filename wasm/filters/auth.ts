/** Lets requests pass that have the header `user: admin`; others get 403. */
import { Status, Stream } from "../assembly/weir";

export function onRequestHeaders(stream: Stream, endStream: bool): Status {
  if (stream.requestHeaders.get("user") != "admin") stream.respond(403, "forbidden\n");
  return Status.Continue;
}
