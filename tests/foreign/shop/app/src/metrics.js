'use strict';
// Sidecar: the server's own counters in Prometheus' text format.
const http = require('http');

function stats() {
  return new Promise((resolve, reject) => {
    http
      .get('http://127.0.0.1:3000/internal/stats', (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve(JSON.parse(text)));
      })
      .on('error', reject);
  });
}

http
  .createServer(async (request, response) => {
    try {
      const { served, failed } = await stats();
      response.end(`shop_requests_total{ok="true"} ${served}\nshop_requests_total{ok="false"} ${failed}\n`);
    } catch (error) {
      response.writeHead(503);
      response.end(`${error.message}\n`);
    }
  })
  .listen(9113, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
