'use strict';
// One pool for the process: requests and the readiness probe draw from the same connections.
const mysql = require('mysql');

const LIMIT_MS = Number(process.env.DB_LIMIT_MS || 2000);

const pool = mysql.createPool({
  host: process.env.DB_HOST,
  port: Number(process.env.DB_PORT || 3306),
  user: process.env.DB_USER,
  password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME,
  connectionLimit: Number(process.env.DB_POOL_MAX || 8),
  connectTimeout: LIMIT_MS,
  acquireTimeout: LIMIT_MS,
  queueLimit: 50,
});

/**
 * Rows of one statement, at most `limit` ms from now: waiting for a connection counts. A connection
 * that does not answer is thrown away, and one that comes too late goes back unused.
 */
function query(sql, values = [], limit = LIMIT_MS) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + limit;
    const late = setTimeout(() => reject(new Error('DATABASE_LATE')), limit);
    const done = (error, rows) => {
      clearTimeout(late);
      if (error) reject(error);
      else resolve(rows);
    };
    pool.getConnection((error, connection) => {
      if (error) return done(error);
      const timeout = deadline - Date.now();
      if (timeout <= 0) return connection.release();
      return connection.query({ sql, values, timeout }, (failure, rows) => {
        connection.release();
        done(failure, rows);
      });
    });
  });
}

/** Whether the database answers through the pool within `limit` ms. */
function answers(limit) {
  return query('SELECT 1', [], limit).then(() => true, () => false);
}

/** Ends every connection once it is idle. */
function close() {
  return new Promise((resolve) => pool.end(() => resolve()));
}

module.exports = { query, answers, close };
