'use strict';
const http = require('http');
const database = require('./database');

const READY_MS = 1500;
let served = 0;
let failed = 0;
let leaving = false;

/** Status and body for a request, or undefined where nothing is served. */
async function answer(method, path) {
  if (method === 'GET' && path === '/healthz') return [200, { status: 'alive' }];
  if (method === 'GET' && path === '/readyz') {
    const ready = !leaving && (await database.answers(READY_MS));
    return [ready ? 200 : 503, { ready }];
  }
  if (method === 'GET' && path === '/internal/stats') return [200, { served, failed }];

  const book = /^\/books\/(\d+)$/.exec(path);
  if (method === 'GET' && book) {
    const rows = await database.query('SELECT id, title, stock FROM books WHERE id = ?', [book[1]]);
    return rows.length ? [200, rows[0]] : [404, { error: 'no such book' }];
  }
  if (method === 'POST' && path === '/baskets') {
    const made = await database.query('INSERT INTO baskets (book_id) VALUES (1 + FLOOR(RAND() * 50))');
    return [201, { basket: made.insertId }];
  }
  return undefined;
}

const server = http.createServer(async (request, response) => {
  request.resume();
  let result;
  try {
    result = (await answer(request.method, request.url)) || [404, { error: 'not found' }];
  } catch (error) {
    result = [503, { error: error.code || error.message }];
  }
  if (result[0] < 500) served += 1;
  else failed += 1;
  response.writeHead(result[0], { 'content-type': 'application/json' });
  response.end(JSON.stringify(result[1]));
});

process.on('SIGTERM', () => {
  leaving = true;
  // Endpoints need a moment to forget this pod.
  setTimeout(() => {
    server.close(async () => {
      await database.close();
      process.exit(0);
    });
    server.closeIdleConnections();
  }, 3000);
});

server.listen(3000, '0.0.0.0', () => console.log('shop listens on 3000'));
