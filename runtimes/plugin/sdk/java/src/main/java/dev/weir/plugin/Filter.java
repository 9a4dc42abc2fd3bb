package dev.weir.plugin;

/**
 * The filter of one entry of a configuration; it serves all its streams, several at once. Weir sends what a class has a method for, and
 * nothing else. A method that throws is a failure, for which the entry's policy holds. {@code null}: it goes on.
 */
public interface Filter {
  default Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) throws Exception {
    return null;
  }

  default Result onRequestBody(Stream stream, byte[] data, boolean endStream) throws Exception {
    return null;
  }

  default Result onRequestTrailers(Stream stream, Headers trailers) throws Exception {
    return null;
  }

  default Result onResponseHeaders(Stream stream, Headers headers, boolean endStream) throws Exception {
    return null;
  }

  default Result onResponseBody(Stream stream, byte[] data, boolean endStream) throws Exception {
    return null;
  }

  default Result onResponseTrailers(Stream stream, Headers trailers) throws Exception {
    return null;
  }

  default void onComplete(Stream stream, int status) throws Exception {}
}
