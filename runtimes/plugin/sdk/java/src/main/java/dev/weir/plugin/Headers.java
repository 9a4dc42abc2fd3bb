package dev.weir.plugin;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Headers or trailers in their order, repeated ones kept. Names are in lower case, values are text of the code points 0 to 255. */
public final class Headers {
  private final List<Map.Entry<String, String>> fields = new ArrayList<>();

  /** The values of that name, joined by a comma and a blank. */
  public Optional<String> get(String name) {
    List<String> values = values(name);
    return values.isEmpty() ? Optional.empty() : Optional.of(String.join(", ", values));
  }

  /** All values of that name. */
  public List<String> values(String name) {
    String wanted = lower(name);
    return fields.stream().filter(field -> field.getKey().equals(wanted)).map(Map.Entry::getValue).toList();
  }

  /** Puts one value in the place of all. */
  public void set(String name, String value) {
    remove(name);
    add(name, value);
  }

  public void add(String name, String value) {
    fields.add(Map.entry(lower(name), value));
  }

  public void remove(String name) {
    String wanted = lower(name);
    fields.removeIf(field -> field.getKey().equals(wanted));
  }

  /** In their order. */
  public List<Map.Entry<String, String>> entries() {
    return List.copyOf(fields);
  }

  /** The values of each name. */
  Map<String, List<String>> groups() {
    Map<String, List<String>> groups = new LinkedHashMap<>();
    for (var field : fields) groups.computeIfAbsent(field.getKey(), name -> new ArrayList<>()).add(field.getValue());
    return groups;
  }

  private static String lower(String name) {
    return name.toLowerCase(Locale.ROOT);
  }
}
