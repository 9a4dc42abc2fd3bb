package dev.weir.plugin;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.weir.plugin.v1.StreamInfo;
import java.util.Map;
import java.util.TreeMap;

/** One request and its response. */
public final class Stream {
  StreamInfo info = StreamInfo.getDefaultInstance();
  JsonElement routeConfig;
  Map<String, JsonElement> metadata = Map.of();
  Headers requestHeaders;
  Headers responseHeaders;
  byte[] requestBody = new byte[0];
  byte[] responseBody = new byte[0];
  final Map<String, JsonObject> left = new TreeMap<>();
  private Object state;

  /** Facts that Weir sends along. */
  public StreamInfo info() {
    return info;
  }

  /** The settings of the route for this filter; {@code null} when there are none. */
  public JsonElement routeConfig() {
    return routeConfig;
  }

  /** What filters before this one left, by namespace. */
  public Map<String, JsonElement> metadata() {
    return metadata;
  }

  /** Leaves a value for other filters and the access log. */
  public void setMetadata(String namespace, String key, JsonElement value) {
    left.computeIfAbsent(namespace, name -> new JsonObject()).add(key, value);
  }

  /** {@code null} until the plugin has seen them. Changes count in the hook that gets them, and in body hooks while they are held. */
  public Headers requestHeaders() {
    return requestHeaders;
  }

  /** As {@link #requestHeaders}. */
  public Headers responseHeaders() {
    return responseHeaders;
  }

  /** The pieces of the body that came while they were held, the one of the running hook included. */
  public byte[] requestBody() {
    return requestBody;
  }

  /** As {@link #requestBody}. */
  public byte[] responseBody() {
    return responseBody;
  }

  /** For the filter's own use. */
  public Object state() {
    return state;
  }

  public void setState(Object state) {
    this.state = state;
  }
}
