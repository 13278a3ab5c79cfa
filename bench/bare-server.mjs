// The yardstick: node:http that reads the body, parses it, stores nothing.
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';

const answer = Buffer.from('{"status":"Ok"}');
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const raw = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    JSON.parse(raw[0] === 0x1f ? gunzipSync(raw) : raw);
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': answer.length });
    response.end(answer);
  });
});
server.listen(0, '127.0.0.1', 4096, () =>
  process.stdout.write(`ready http://127.0.0.1:${server.address().port} 
`),
);
