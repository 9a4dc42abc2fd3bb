package dev.weir.plugin;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/** What a hook says; {@code null} says that the part goes on. */
public sealed interface Result {
  /** Keeps the part, and what follows it on its side, until a later hook of that side continues. */
  Result HOLD = new Hold();

  /** An answer that Weir gives itself. */
  static Result reply(int status, Map<String, String> headers, String body) {
    return new Reply(status, headers, body.getBytes(StandardCharsets.UTF_8), "");
  }

  /** An answer that Weir gives itself. */
  static Result reply(int status, String body) {
    return reply(status, Map.of(), body);
  }

  /** Takes the place of the body that is held, or else of this piece. */
  static Result body(byte[] body) {
    return new Body(body);
  }

  /** See {@link #HOLD}. */
  record Hold() implements Result {}

  /** {@code details} are for the access log. */
  record Reply(int status, Map<String, String> headers, byte[] body, String details) implements Result {}

  /** See {@link #body}. */
  record Body(byte[] bytes) implements Result {}
}
