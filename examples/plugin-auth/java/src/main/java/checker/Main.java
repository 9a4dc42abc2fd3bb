package checker;

import com.google.gson.JsonParser;
import dev.weir.plugin.Filter;
import dev.weir.plugin.Headers;
import dev.weir.plugin.Plugin;
import dev.weir.plugin.Result;
import dev.weir.plugin.Stream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Lets pass what has the headers that a file names: checker -c checkconf.json */
public final class Main {
  public static void main(String[] arguments) throws Exception {
    String file = arguments.length == 2 && arguments[0].equals("-c") ? arguments[1] : "checkconf.json";
    var wanted = JsonParser.parseString(Files.readString(Path.of(file))).getAsJsonObject().asMap();
    new Plugin()
        .filter(
            config ->
                new Filter() {
                  @Override
                  public Result onRequestHeaders(Stream stream, Headers headers, boolean endStream) {
                    boolean pass =
                        wanted.entrySet().stream()
                            .allMatch(entry -> headers.values(entry.getKey()).contains(entry.getValue().getAsString()));
                    return pass ? null : Result.reply(403, "forbidden by a plugin\n");
                  }
                })
        .serve();
  }
}
