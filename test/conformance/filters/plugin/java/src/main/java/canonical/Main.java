package canonical;

import com.google.gson.JsonElement;
import dev.weir.plugin.Filter;
import dev.weir.plugin.Headers;
import dev.weir.plugin.Plugin;
import dev.weir.plugin.Result;
import dev.weir.plugin.Stream;
import dev.weir.plugin.v1.Endpoint;
import dev.weir.plugin.v1.LogEntry;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The canonical conformance filters with the SDK for Java; {@code config: { case: NAME }} chooses one. */
public final class Main {
  static class AddHeader implements Filter {
    @Override
    public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
      headers.add("x-request-mark", "seen");
      return null;
    }

    @Override
    public Result onResponseHeaders(Stream stream, Headers headers, boolean endStream) {
      headers.add("x-response-mark", "seen");
      return null;
    }
  }

  static class LocalReply implements Filter {
    @Override
    public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
      if (headers.get("user").filter("admin"::equals).isPresent()) return null;
      return Result.reply(403, Map.of("x-reason", "not admin"), "denied");
    }

    @Override
    public Result onResponseHeaders(Stream stream, Headers headers, boolean endStream) {
      headers.add("x-response-mark", "seen");
      return null;
    }
  }

  static class RewriteBody implements Filter {
    private static Result upper(byte[] body, boolean end) {
      if (!end) return Result.HOLD;
      String text = new String(body, StandardCharsets.UTF_8);
      return Result.body(text.toUpperCase(Locale.ROOT).getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
      return endStream ? null : Result.HOLD;
    }

    @Override
    public Result onRequestBody(Stream stream, byte[] data, boolean endStream) {
      return upper(stream.requestBody(), endStream);
    }

    @Override
    public Result onRequestTrailers(Stream stream, Headers trailers) {
      return upper(stream.requestBody(), true);
    }

    @Override
    public Result onResponseHeaders(Stream stream, Headers headers, boolean endStream) {
      return endStream ? null : Result.HOLD;
    }

    @Override
    public Result onResponseBody(Stream stream, byte[] data, boolean endStream) {
      return upper(stream.responseBody(), endStream);
    }

    @Override
    public Result onResponseTrailers(Stream stream, Headers trailers) {
      return upper(stream.responseBody(), true);
    }
  }

  static class Trailers implements Filter {
    @Override
    public Result onRequestTrailers(Stream stream, Headers trailers) {
      trailers.add("x-request-mark", "seen");
      return null;
    }

    @Override
    public Result onResponseTrailers(Stream stream, Headers trailers) {
      trailers.add("x-response-mark", "seen");
      return null;
    }
  }

  static class RouteConfig implements Filter {
    @Override
    public Result onResponseHeaders(Stream stream, Headers headers, boolean endStream) {
      JsonElement config = stream.routeConfig();
      headers.set("x-greeting", config == null ? "none" : config.getAsJsonObject().get("greeting").getAsString());
      return null;
    }
  }

  static class Throw implements Filter {
    @Override
    public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
      throw new IllegalStateException("thrown on purpose");
    }
  }

  private static Filter create(JsonElement config) {
    String name = config.isJsonObject() ? config.getAsJsonObject().get("case").getAsString() : "";
    return switch (name) {
      case "add-header" -> new AddHeader();
      case "local-reply" -> new LocalReply();
      case "rewrite-body" -> new RewriteBody();
      case "trailers" -> new Trailers();
      case "route-config" -> new RouteConfig();
      case "throw" -> new Throw();
      default -> throw new IllegalArgumentException("unknown case " + name);
    };
  }

  /** Writes to {@code config: { file }}. */
  private static void log(List<LogEntry> entries, JsonElement config) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (LogEntry entry : entries) {
      String path = "";
      for (var header : entry.getRequestHeadersList()) if (header.getName().equals(":path")) path = header.getValue().toStringUtf8();
      lines.append(entry.getComplete().getStatus()).append(' ').append(path).append(' ').append(entry.getInfo().getListener()).append('\n');
    }
    Path file = Path.of(config.getAsJsonObject().get("file").getAsString());
    Files.writeString(file, lines, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** All requests go to the endpoint with the metadata {@code chosen}. */
  private static List<Integer> balance(List<Endpoint> endpoints, JsonElement config) {
    return endpoints.stream().map(endpoint -> endpoint.getMetadata().contains("chosen") ? 7 : 0).toList();
  }

  public static void main(String[] arguments) throws Exception {
    new Plugin().filter(Main::create).accessLog(Main::log).loadBalancer(Main::balance).serve();
  }
}
