//! posthog-rs, its blocking client. See README.md two folders above.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration as Pause;

use chrono::{DateTime, Duration, SecondsFormat, SubsecRound, Utc};
use posthog_rs::{CaptureCompression, Client, ClientOptionsBuilder, Event, PostHogError};
use serde_json::{json, Map, Value};
use uuid::Uuid;

const BURST: i64 = 250;
const LOT: i64 = 25;

fn say(line: Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("standard output is open");
}

fn claim(event: &str, distinct_id: &str, uuid: Value, timestamp: Value, properties: Value) {
    say(json!({"claim": {
        "event": event, "distinct_id": distinct_id, "uuid": uuid, "timestamp": timestamp, "properties": properties,
    }}));
}

struct Script {
    client: Client,
    base: DateTime<Utc>,
}

impl Script {
    fn capture(
        &self,
        name: &str,
        distinct_id: &str,
        properties: Map<String, Value>,
        group: Option<&str>,
    ) {
        let n = properties["n"]
            .as_i64()
            .expect("every captured event has its number");
        let mut event = Event::new(name, distinct_id);
        for (key, value) in &properties {
            event
                .insert_prop(key.clone(), value)
                .expect("JSON serializes");
        }
        let mut claimed = properties;
        if let Some(key) = group {
            event.add_group("company", key);
            claimed.insert("$groups".into(), json!({"company": key}));
        }
        let (mut uuid, mut timestamp) = (Value::Null, Value::Null);
        if n < 0 || n % 2 == 0 {
            let chosen = Uuid::new_v4();
            let instant = self.base + Duration::milliseconds(n * 1001);
            event.set_uuid(chosen);
            event
                .set_timestamp(instant)
                .expect("yesterday is not in the future");
            uuid = json!(chosen.to_string());
            timestamp = json!(instant.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        claim(name, distinct_id, uuid, timestamp, Value::Object(claimed));
        self.client.capture(event);
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (host, key, variant, situation, seed) = (&args[0], &args[1], &args[2], &args[3], &args[4]);
    let mut options = ClientOptionsBuilder::default();
    options.api_key(key.clone()).host(host.clone());
    match variant.trim_start_matches("v1 ") {
        "gzip" => drop(options.capture_compression(CaptureCompression::Gzip)),
        "zstd" => drop(options.capture_compression(CaptureCompression::Zstd)),
        _ => (),
    }
    options.on_error(|error| {
        if let PostHogError::Capture(failure) = error {
            let because = format!("{:?} {:?}", failure.status(), failure.error());
            say(json!({"failed": failure.event_count(), "because": because}));
        }
    });
    let client = posthog_rs::client(options.build().expect("the options are complete"));
    let script = Script {
        client,
        base: (Utc::now() - Duration::days(1)).trunc_subsecs(3),
    };

    let ann = format!("{seed}-ann");
    let acme = format!("{seed}-acme");
    let rich = json!({
        "n": -1,
        "$ignore_sent_at": true,
        "text": "naïve 日本語 😀 \"quoted\" back\\slash \n line\ttab \u{2028}",
        "empty": "", "yes": true, "no": false, "nothing": null,
        "zero": 0, "integer": -42, "float": 1.5, "third": 1.0 / 3.0, "tiny": 1e-7,
        "largest": i64::MAX, "smallest": i64::MIN, "odd": 9007199254740993_i64, "unsigned": u64::MAX,
        "nested": {"list": [1, "two", null, {"three": [true, 0.25]}], "empty": {}, "none": [], "a.b c": "x"},
        "ключ": "значение",
    });
    script.capture("sdk rich", &ann, object(rich), None);
    let person = json!({"$set": {"email": "ann@example.com", "age": 41}});
    let mut identify = Event::new("$identify", ann.as_str());
    identify
        .insert_prop("$set", &person["$set"])
        .expect("JSON serializes");
    script.client.capture(identify);
    claim("$identify", &ann, Value::Null, Value::Null, person);
    let anonymous = format!("{seed}-anonymous");
    script.client.alias(anonymous.as_str(), ann.as_str());
    let alias = json!({"distinct_id": anonymous, "alias": ann});
    claim("$create_alias", &anonymous, Value::Null, Value::Null, alias);
    script
        .client
        .group_identify("company", acme.as_str(), json!({"size": 7}))
        .expect("JSON serializes");
    let group = json!({"$group_type": "company", "$group_key": acme, "$group_set": {"size": 7}});
    claim(
        "$groupidentify",
        &format!("$company_{acme}"),
        Value::Null,
        Value::Null,
        group,
    );
    script.capture(
        "événement 😀",
        &format!("{seed}-ünï😀"),
        object(json!({"n": -2})),
        Some(acme.as_str()),
    );

    for n in 0..BURST {
        if n == 4 * LOT {
            say(json!({"half": true}));
        }
        if n == 8 * LOT {
            std::io::stdin()
                .read_line(&mut String::new())
                .expect("standard input is open");
        }
        let properties = object(json!({"n": n, "text": "é😀"}));
        script.capture("sdk burst", &format!("{seed}-{n}"), properties, None);
        if n % LOT == LOT - 1 {
            sleep(Pause::from_millis(60));
        }
    }
    // Shutdown tries each batch once and drops what is refused, also what was waiting for its retry, without a report.
    if situation != "plain" {
        script.client.flush();
        say(json!({"sent": true}));
        std::io::stdin()
            .read_line(&mut String::new())
            .expect("standard input is open");
    }
    script.client.shutdown();
    say(json!({"done": true}));
}
