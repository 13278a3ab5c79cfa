import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/** What both Java drivers share: the script's values and the lines they print (README.md in the folder above). */
final class Script {
  static final int LOT = 25;
  static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
  static final Instant BASE = Instant.now().truncatedTo(ChronoUnit.MILLIS).minus(1, ChronoUnit.DAYS);

  private Script() {}

  static Instant instantOf(int n) {
    return BASE.plusMillis(n * 1001L);
  }

  static Map<String, Object> map(Object... namesAndValues) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) map.put((String) namesAndValues[i], namesAndValues[i + 1]);
    return map;
  }

  /** No null at the top: both SDKs leave such a property out before they send. */
  static Map<String, Object> rich() {
    return map(
        "n", -1,
        "$ignore_sent_at", true,
        "text", "naïve 日本語 😀 \"quoted\" back\\slash \n line\ttab \u2028",
        "empty", "",
        "yes", true,
        "no", false,
        "zero", 0,
        "integer", -42,
        "largest", Long.MAX_VALUE,
        "smallest", Long.MIN_VALUE,
        "odd", 9007199254740993L,
        "float", 1.5,
        "third", 1.0 / 3,
        "tiny", 1e-7,
        "nested",
            map("list", Arrays.asList(1, "two", map("three", List.of(true, 0.25))), "empty", map(), "none", List.of(),
                "a.b c", "x"),
        "ключ", "значение");
  }

  static Map<String, Object> with(Map<String, Object> properties, String name, Object value) {
    Map<String, Object> more = new LinkedHashMap<>(properties);
    more.put(name, value);
    return more;
  }

  static void claim(String event, String distinctId, Instant timestamp, Map<String, Object> properties) {
    say(map("claim",
        map("event", event, "distinct_id", distinctId, "uuid", null, "timestamp",
            timestamp == null ? null : timestamp.toString(), "properties", properties)));
  }

  static void burst(IntConsumer capture) throws Exception {
    for (int n = 0; n < 250; n++) {
      if (n == 4 * LOT) say(map("half", true));
      if (n == 8 * LOT) INPUT.readLine();
      capture.accept(n);
      if (n % LOT == LOT - 1) Thread.sleep(60);
    }
  }

  static synchronized void say(Map<String, Object> line) {
    StringBuilder text = new StringBuilder();
    write(line, text);
    OUT.println(text);
  }

  /** JSON of its own, so that a fault of the SDK's JSON library cannot hide in what is claimed. */
  private static void write(Object value, StringBuilder out) {
    if (value instanceof Map) {
      String separator = "{";
      if (((Map<?, ?>) value).isEmpty()) out.append('{');
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        out.append(separator);
        write(entry.getKey(), out);
        out.append(':');
        write(entry.getValue(), out);
        separator = ",";
      }
      out.append('}');
    } else if (value instanceof List) {
      String separator = "[";
      if (((List<?>) value).isEmpty()) out.append('[');
      for (Object item : (List<?>) value) {
        out.append(separator);
        write(item, out);
        separator = ",";
      }
      out.append(']');
    } else if (value instanceof String) {
      out.append('"');
      for (char c : ((String) value).toCharArray()) {
        if (c == '"' || c == '\\') out.append('\\').append(c);
        else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
        else out.append(c);
      }
      out.append('"');
    } else {
      out.append(value);
    }
  }
}
