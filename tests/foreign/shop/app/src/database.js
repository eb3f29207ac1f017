'use strict';
// One pool for the process: requests and the readiness probe draw from the same connections.
const mysql = require('mysql');

const pool = mysql.createPool({
  host: process.env.DB_HOST,
  port: Number(process.env.DB_PORT || 3306),
  user: process.env.DB_USER,
  password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME,
  connectionLimit: Number(process.env.DB_POOL_MAX || 8),
  connectTimeout: 5000,
  acquireTimeout: 5000,
  queueLimit: 200,
});

/** Rows of one statement; a connection that does not answer within `timeout` ms is thrown away. */
function query(sql, values = [], timeout = 5000) {
  return new Promise((resolve, reject) => {
    pool.query({ sql, values, timeout }, (error, rows) => (error ? reject(error) : resolve(rows)));
  });
}

/** Whether the database answers through the pool within `timeout` ms, waiting for its turn included. */
function answers(timeout) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, timeout, false);
    query('SELECT 1', [], timeout)
      .then(() => resolve(true), () => resolve(false))
      .finally(() => clearTimeout(late));
  });
}

/** Ends every connection once it is idle. */
function close() {
  return new Promise((resolve) => pool.end(() => resolve()));
}

module.exports = { query, answers, close };
