// Sends one body at a steady rate over keep-alive connections. Usage: paced.mjs <url> <requests a second> <ms>, body on stdin.
import { Agent, request } from 'node:http';

const [url, perSecondText, lastMsText] = process.argv.slice(2);
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const body = Buffer.concat(chunks);
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const perSecond = Number(perSecondText);
const lastMs = Number(lastMsText);
const latencies = [];
let sent = 0;
let answered = 0;
let failed = 0;
let open = 0;

function send() {
  const startedMs = performance.now();
  open += 1;
  const call = request(
    url,
    { method: 'POST', agent, headers: { 'Content-Type': 'application/json', 'Content-Length': body.length } },
    (response) => {
      response.resume();
      response.on('end', () => {
        open -= 1;
        if (response.statusCode === 200) answered += 1;
        else failed += 1;
        latencies.push(performance.now() - startedMs);
      });
    },
  );
  call.on('error', () => {
    open -= 1;
    failed += 1;
  });
  call.end(body);
}

const startMs = performance.now();
await new Promise((resolve) => {
  const timer = setInterval(() => {
    const passedMs = performance.now() - startMs;
    if (passedMs >= lastMs) {
      clearInterval(timer);
      resolve();
      return;
    }
    const due = Math.floor((passedMs / 1000) * perSecond);
    while (sent < due && open < 1000) {
      send();
      sent += 1;
    }
  }, 2);
});
latencies.sort((a, b) => a - b);
process.stdout.write(
  JSON.stringify({ sent, answered, failed, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0 }),
);
process.exit(0);
