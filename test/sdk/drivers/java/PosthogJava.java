import com.posthog.java.PostHog;
import com.posthog.java.PostHogLogger;
import java.util.Map;

/** com.posthog.java:posthog, the dormant one. It takes neither uuid nor time, sends no uuid, and knows no groups. */
public final class PosthogJava {
  public static void main(String[] args) throws Exception {
    String seed = args[4];
    PostHog client = new PostHog.Builder(args[1]).host(args[0]).logger(new Reports()).build();

    capture(client, "sdk rich", seed + "-ann", Script.rich());
    Map<String, Object> person = Script.map("email", "ann@example.com", "age", 41);
    client.identify(seed + "-ann", person);
    Script.claim("$identify", seed + "-ann", null, Script.map("$set", person));
    client.alias(seed + "-ann", seed + "-anonymous");
    Script.claim("$create_alias", seed + "-ann", null,
        Script.map("distinct_id", seed + "-ann", "alias", seed + "-anonymous"));
    capture(client, "événement 😀", seed + "-ünï😀", Script.map("n", -2));
    Script.burst(n -> capture(client, "sdk burst", seed + "-" + n, Script.map("n", n, "text", "é😀")));

    client.shutdown();
    Script.say(Script.map("done", true));
  }

  private static void capture(PostHog client, String event, String distinctId, Map<String, Object> properties) {
    client.capture(distinctId, event, properties);
    Script.claim(event, distinctId, null, properties);
  }

  private static final class Reports implements PostHogLogger {
    public void debug(String message) {}

    public void info(String message) {}

    public void warn(String message) {}

    public void error(String message) {
      Script.say(Script.map("failed", null, "because", message));
    }

    public void error(String message, Throwable cause) {
      Script.say(Script.map("failed", null, "because", message + ": " + cause));
    }
  }
}
