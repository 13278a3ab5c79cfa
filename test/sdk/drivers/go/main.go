// posthog-go. See README.md in the folder above.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/posthog/posthog-go"
)

const (
	burst = 250
	lot   = 25
)

var (
	lines sync.Mutex
	// One for each message, until the SDK's callback says what became of it.
	pending sync.WaitGroup
)

func say(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	lines.Lock()
	defer lines.Unlock()
	fmt.Println(string(text))
}

type fates struct{}

func (fates) Success(posthog.APIMessage) { pending.Done() }

func (fates) Failure(_ posthog.APIMessage, err error) {
	say(map[string]any{"failed": 1, "because": err.Error()})
	pending.Done()
}

// The SDK logs each retry to standard error; in the plain situation there is none.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Logf(string, ...any)   {}
func (quiet) Warnf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
func (quiet) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func main() {
	host, key, variant, seed := os.Args[1], os.Args[2], os.Args[3], os.Args[5]
	config := posthog.Config{Endpoint: host, Callback: fates{}, Logger: quiet{}, Interval: time.Second}
	if strings.HasPrefix(variant, "v1") {
		config.CaptureMode = posthog.CaptureModeAnalyticsV1
	}
	switch strings.TrimPrefix(variant, "v1 ") {
	case "gzip":
		config.Compression = posthog.CompressionGzip
	case "zstd":
		config.Compression = posthog.CompressionZstd
	case "br":
		config.Compression = posthog.CompressionBrotli
	}
	client, err := posthog.NewWithConfig(key, config)
	if err != nil {
		panic(err)
	}

	base := time.Now().UTC().Add(-24 * time.Hour).Truncate(time.Millisecond)
	enqueue := func(message posthog.Message) {
		pending.Add(1)
		if err := client.Enqueue(message); err != nil {
			panic(err)
		}
	}
	claim := func(event, distinctID string, id any, timestamp any, properties map[string]any) {
		say(map[string]any{"claim": map[string]any{
			"event": event, "distinct_id": distinctID, "uuid": id, "timestamp": timestamp, "properties": properties,
		}})
	}
	capture := func(event, distinctID string, n int, properties posthog.Properties, groups posthog.Groups) {
		message := posthog.Capture{Event: event, DistinctId: distinctID, Properties: properties, Groups: groups}
		properties["n"] = n
		var id, timestamp any
		if n < 0 || n%2 == 0 {
			message.Uuid = uuid.NewString()
			message.Timestamp = base.Add(time.Duration(n) * 1001 * time.Millisecond)
			id, timestamp = message.Uuid, message.Timestamp.Format("2006-01-02T15:04:05.000Z")
		}
		claimed := map[string]any{}
		for name, value := range properties {
			claimed[name] = value
		}
		if groups != nil {
			claimed["$groups"] = groups
		}
		claim(event, distinctID, id, timestamp, claimed)
		enqueue(message)
	}

	capture("sdk rich", seed+"-ann", -1, posthog.Properties{
		"$ignore_sent_at": true,
		"text":            "naïve 日本語 😀 \"quoted\" back\\slash \n line\ttab \u2028",
		"empty":           "", "yes": true, "no": false, "nothing": nil,
		"zero": 0, "integer": -42, "float": 1.5, "third": 1.0 / 3, "tiny": 1e-7,
		"largest": int64(math.MaxInt64), "smallest": int64(math.MinInt64), "odd": int64(9007199254740993),
		"unsigned": uint64(math.MaxUint64),
		"nested": map[string]any{
			"list":  []any{1, "two", nil, map[string]any{"three": []any{true, 0.25}}},
			"empty": map[string]any{}, "none": []any{}, "a.b c": "x",
		},
		"ключ": "значение",
	}, nil)
	person := map[string]any{"email": "ann@example.com", "age": 41}
	enqueue(posthog.Identify{DistinctId: seed + "-ann", Properties: person})
	claim("$identify", seed+"-ann", nil, nil, map[string]any{"$set": person})
	enqueue(posthog.Alias{DistinctId: seed + "-ann", Alias: seed + "-anonymous"})
	alias := map[string]any{"alias": seed + "-anonymous"}
	if config.CaptureMode == posthog.CaptureModeLegacy { // V1 sends the distinct id beside the properties
		alias["distinct_id"] = seed + "-ann"
	}
	claim("$create_alias", seed+"-ann", nil, nil, alias)
	enqueue(posthog.GroupIdentify{Type: "company", Key: seed + "-acme", Properties: map[string]any{"size": 7}})
	claim("$groupidentify", "$company_"+seed+"-acme", nil, nil, map[string]any{
		"$group_type": "company", "$group_key": seed + "-acme", "$group_set": map[string]any{"size": 7},
	})
	capture("événement 😀", seed+"-ünï😀", -2, posthog.Properties{}, posthog.Groups{"company": seed + "-acme"})

	for n := 0; n < burst; n++ {
		if n == 4*lot {
			say(map[string]any{"half": true})
		}
		if n == 8*lot {
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		}
		capture("sdk burst", fmt.Sprintf("%s-%d", seed, n), n, posthog.Properties{"text": "é😀"}, nil)
		if n%lot == lot-1 {
			time.Sleep(60 * time.Millisecond)
		}
	}
	// Close gives up a batch that is waiting for its retry, so the fates come first.
	pending.Wait()
	if err := client.Close(); err != nil {
		panic(err)
	}
	say(map[string]any{"done": true})
}
