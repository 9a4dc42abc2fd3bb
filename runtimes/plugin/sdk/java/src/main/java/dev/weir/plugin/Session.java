package dev.weir.plugin;

import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import dev.weir.plugin.v1.Action;
import dev.weir.plugin.v1.Body;
import dev.weir.plugin.v1.Edit;
import dev.weir.plugin.v1.Event;
import dev.weir.plugin.v1.Header;
import dev.weir.plugin.v1.Reply;
import dev.weir.plugin.v1.Start;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One stream, as its events come. */
final class Session {
  private final Stream stream = new Stream();
  private final Filter filter;
  /** The headers of a side as Weir has them, while they are held; request, response. */
  private final List<Map<String, List<String>>> held = new ArrayList<>(java.util.Arrays.asList(null, null));

  Session(Filter filter, Start start) {
    this.filter = filter;
    stream.info = start.getInfo();
    if (!start.getRouteConfig().isEmpty()) stream.routeConfig = JsonParser.parseString(start.getRouteConfig());
    Map<String, JsonElement> metadata = new HashMap<>();
    start.getMetadataMap().forEach((namespace, text) -> metadata.put(namespace, JsonParser.parseString(text)));
    stream.metadata = metadata;
  }

  /** {@code null}: the event has no answer. */
  Action run(Event event) throws Exception {
    switch (event.getPartCase()) {
      case REQUEST_HEADERS -> {
        Headers headers = read(event.getRequestHeaders());
        var before = headers.groups();
        stream.requestHeaders = headers;
        return onHeaders(
            0, filter.onRequestHeaders(stream, headers, event.getRequestHeaders().getEndStream()), before, headers);
      }
      case RESPONSE_HEADERS -> {
        Headers headers = read(event.getResponseHeaders());
        var before = headers.groups();
        stream.responseHeaders = headers;
        return onHeaders(
            1, filter.onResponseHeaders(stream, headers, event.getResponseHeaders().getEndStream()), before, headers);
      }
      case REQUEST_BODY -> {
        Body body = event.getRequestBody();
        stream.requestBody = joined(stream.requestBody, body.getData());
        Result result = filter.onRequestBody(stream, body.getData().toByteArray(), body.getEndStream());
        if (result != Result.HOLD) stream.requestBody = new byte[0];
        return onBody(0, result, stream.requestHeaders);
      }
      case RESPONSE_BODY -> {
        Body body = event.getResponseBody();
        stream.responseBody = joined(stream.responseBody, body.getData());
        Result result = filter.onResponseBody(stream, body.getData().toByteArray(), body.getEndStream());
        if (result != Result.HOLD) stream.responseBody = new byte[0];
        return onBody(1, result, stream.responseHeaders);
      }
      case REQUEST_TRAILERS -> {
        Headers trailers = read(event.getRequestTrailers());
        var before = trailers.groups();
        return action(filter.onRequestTrailers(stream, trailers), edits(before, trailers));
      }
      case RESPONSE_TRAILERS -> {
        Headers trailers = read(event.getResponseTrailers());
        var before = trailers.groups();
        return action(filter.onResponseTrailers(stream, trailers), edits(before, trailers));
      }
      case COMPLETE -> filter.onComplete(stream, event.getComplete().getStatus());
      default -> {}
    }
    return null;
  }

  private Action onHeaders(int side, Result result, Map<String, List<String>> before, Headers headers) {
    held.set(side, result == Result.HOLD ? headers.groups() : null);
    return action(result, edits(before, headers));
  }

  private Action onBody(int side, Result result, Headers headers) {
    var before = held.get(side);
    List<Edit> edited = before == null ? List.of() : edits(before, headers);
    held.set(side, before != null && result == Result.HOLD ? headers.groups() : null);
    return action(result, edited);
  }

  private Action action(Result result, List<Edit> edited) {
    Action.Builder action = Action.newBuilder().addAllEdits(edited);
    stream.left.forEach((namespace, values) -> action.putMetadata(namespace, values.toString()));
    stream.left.clear();
    if (result instanceof Result.Hold) {
      action.getHoldBuilder();
    } else if (result instanceof Result.Body body) {
      action.setBody(ByteString.copyFrom(body.bytes()));
    } else if (result instanceof Result.Reply given) {
      Reply.Builder reply =
          Reply.newBuilder()
              .setStatus(given.status())
              .setBody(ByteString.copyFrom(given.body()))
              .setDetails(given.details());
      given.headers().forEach((name, value) -> reply.addHeaders(header(name, value)));
      action.setReply(reply);
    }
    return action.build();
  }

  private static Headers read(dev.weir.plugin.v1.Headers message) {
    Headers headers = new Headers();
    for (Header header : message.getHeadersList()) {
      headers.add(header.getName(), header.getValue().toString(StandardCharsets.ISO_8859_1));
    }
    return headers;
  }

  private static Header header(String name, String value) {
    return Header.newBuilder().setName(name).setValue(ByteString.copyFrom(value, StandardCharsets.ISO_8859_1)).build();
  }

  private static byte[] joined(byte[] first, ByteString second) {
    return ByteString.copyFrom(first).concat(second).toByteArray();
  }

  /** What turns the headers as they came into what they are now. */
  private static List<Edit> edits(Map<String, List<String>> before, Headers headers) {
    var now = headers.groups();
    List<Edit> list = new ArrayList<>();
    for (String name : before.keySet()) {
      if (!now.containsKey(name)) list.add(Edit.newBuilder().setOperation(Edit.Operation.REMOVE).setName(name).build());
    }
    now.forEach(
        (name, values) -> {
          List<String> old = before.getOrDefault(name, List.of());
          if (old.equals(values)) return;
          boolean grown = !old.isEmpty() && old.size() <= values.size() && values.subList(0, old.size()).equals(old);
          for (int i = grown ? old.size() : 0; i < values.size(); i++) {
            var operation = i == 0 ? Edit.Operation.SET : Edit.Operation.ADD;
            var value = ByteString.copyFrom(values.get(i), StandardCharsets.ISO_8859_1);
            list.add(Edit.newBuilder().setOperation(operation).setName(name).setValue(value).build());
          }
        });
    return list;
  }
}
