'use strict';
// Brings the schema up to date before a pod's server starts; several pods may do so at once.
const database = require('./database');

const STATEMENTS = [
  `CREATE TABLE IF NOT EXISTS books (
     id INT PRIMARY KEY, title VARCHAR(80) NOT NULL, stock INT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS baskets (
     id BIGINT PRIMARY KEY AUTO_INCREMENT, book_id INT NOT NULL,
     made TIMESTAMP DEFAULT CURRENT_TIMESTAMP)`,
  `INSERT IGNORE INTO books (id, title, stock)
     SELECT seq, CONCAT('Book no. ', seq), 100 FROM seq_1_to_50`,
];

async function untilThere() {
  for (let left = 120; !(await database.answers(2000)); left -= 1) {
    if (left === 0) throw new Error(`no database at ${process.env.DB_HOST}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

untilThere()
  .then(async () => {
    for (const statement of STATEMENTS) await database.query(statement);
    await database.close();
  })
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
