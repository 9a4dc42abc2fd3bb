package dev.weir.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonPrimitive;
import com.google.protobuf.ByteString;
import dev.weir.plugin.v1.Action;
import dev.weir.plugin.v1.Body;
import dev.weir.plugin.v1.Event;
import dev.weir.plugin.v1.Header;
import dev.weir.plugin.v1.Start;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class SessionTest {
  private static Event headers(String... items) {
    var message = dev.weir.plugin.v1.Headers.newBuilder();
    for (int i = 0; i < items.length; i += 2) {
      message.addHeaders(Header.newBuilder().setName(items[i]).setValue(ByteString.copyFromUtf8(items[i + 1])));
    }
    return Event.newBuilder().setRequestHeaders(message).build();
  }

  private static Event body(String data, boolean end) {
    return Event.newBuilder()
        .setRequestBody(Body.newBuilder().setData(ByteString.copyFromUtf8(data)).setEndStream(end))
        .build();
  }

  private static Action run(Filter filter, Event... events) throws Exception {
    var session = new Session(filter, Start.getDefaultInstance());
    Action last = null;
    for (var event : events) last = session.run(event);
    return last;
  }

  private static String edits(Action action) {
    return action.getEditsList().stream()
        .map(edit -> edit.getOperation() + " " + edit.getName() + "=" + edit.getValue().toStringUtf8())
        .collect(Collectors.joining(", "));
  }

  private static Filter changing(Consumer<Headers> change) {
    return new Filter() {
      @Override
      public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
        change.accept(headers);
        return null;
      }
    };
  }

  @Test
  void editsSayWhatChanged() throws Exception {
    var cases =
        Map.<String, Consumer<Headers>>of(
            "", headers -> headers.set("a", "1"),
            "SET a=2", headers -> headers.set("A", "2"),
            "ADD a=2", headers -> headers.add("a", "2"),
            "REMOVE a=", headers -> headers.remove("a"),
            "SET new=1, ADD new=2",
                headers -> {
                  headers.add("new", "1");
                  headers.add("new", "2");
                });
    for (var one : cases.entrySet()) {
      assertEquals(one.getKey(), edits(run(changing(one.getValue()), headers("a", "1", "b", "1"))));
    }
  }

  @Test
  void heldHeadersMayBeEditedWithTheBody() throws Exception {
    var filter =
        new Filter() {
          @Override
          public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
            return Result.HOLD;
          }

          @Override
          public Result onRequestBody(Stream stream, byte[] data, boolean endStream) {
            if (!endStream) return Result.HOLD;
            stream.requestHeaders().set("x-length", String.valueOf(stream.requestBody().length));
            return Result.body(new String(stream.requestBody()).toUpperCase().getBytes());
          }
        };
    var action = run(filter, headers("a", "1"), body("he", false), body("llo", true));
    assertEquals("HELLO", action.getBody().toStringUtf8());
    assertEquals("SET x-length=5", edits(action));
  }

  @Test
  void repliesAndMetadata() throws Exception {
    var action =
        run(
            new Filter() {
              @Override
              public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
                stream.setMetadata("ns", "key", new JsonPrimitive(1));
                return Result.reply(403, Map.of("x", "y"), "no");
              }
            },
            headers());
    assertEquals(403, action.getReply().getStatus());
    assertEquals("no", action.getReply().getBody().toStringUtf8());
    assertEquals(Map.of("ns", "{\"key\":1}"), action.getMetadataMap());
  }
}
