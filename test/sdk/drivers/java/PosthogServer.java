import com.posthog.server.PostHog;
import com.posthog.server.PostHogCaptureOptions;
import com.posthog.server.PostHogConfig;
import com.posthog.server.PostHogInterface;
import java.time.Instant;
import java.util.Map;

/** com.posthog:posthog-server. It makes its uuids itself and tells nobody. */
public final class PosthogServer {
  public static void main(String[] args) throws Exception {
    String seed = args[4];
    PostHogInterface client = PostHog.with(PostHogConfig.builder(args[1]).host(args[0]).build());

    capture(client, "sdk rich", seed + "-ann", Script.rich(), null);
    Map<String, Object> person = Script.map("email", "ann@example.com", "age", 41);
    client.identify(seed + "-ann", person);
    Script.claim("$identify", seed + "-ann", null, Script.map("$set", person));
    client.alias(seed + "-ann", seed + "-anonymous");
    Script.claim("$create_alias", seed + "-ann", null, Script.map("alias", seed + "-anonymous"));
    client.group(seed + "-ann", "company", seed + "-acme", Script.map("size", 7));
    Script.claim("$groupidentify", seed + "-ann", null,
        Script.map("$group_type", "company", "$group_key", seed + "-acme", "$group_set", Script.map("size", 7)));
    capture(client, "événement 😀", seed + "-ünï😀", Script.map("n", -2), seed + "-acme");
    Script.burst(n -> capture(client, "sdk burst", seed + "-" + n, Script.map("n", n, "text", "é😀"), null));

    // A call sends one batch of up to 100 and puts it back when it is refused; close sends nothing, and nothing tells
    // when the queue is empty.
    Script.say(Script.map("sent", true));
    while (!Script.INPUT.ready()) {
      client.flush();
      Thread.sleep(100);
    }
    client.close();
    Script.say(Script.map("done", true));
    System.exit(0); // its timer threads would keep the program alive
  }

  private static void capture(
      PostHogInterface client, String event, String distinctId, Map<String, Object> properties, String group) {
    int n = (Integer) properties.get("n");
    PostHogCaptureOptions.Builder options = PostHogCaptureOptions.builder().properties(properties);
    Instant timestamp = n < 0 || n % 2 == 0 ? Script.instantOf(n) : null;
    if (timestamp != null) options.timestamp(timestamp);
    if (group != null) options.group("company", group);
    client.capture(distinctId, event, options.build());
    Map<String, Object> claimed =
        group == null ? properties : Script.with(properties, "$groups", Script.map("company", group));
    Script.claim(event, distinctId, timestamp, claimed);
  }
}
