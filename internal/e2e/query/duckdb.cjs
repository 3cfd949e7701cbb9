// Runs the statements of a JSON array from the standard input in one database
// in memory, and prints for each a line: its rows as a JSON array of objects.
const { readFileSync } = require('node:fs');
const { DuckDBInstance } = require('@duckdb/node-api');

(async () => {
  const db = await (await DuckDBInstance.create(':memory:')).connect();
  for (const statement of JSON.parse(readFileSync(0, 'utf8'))) {
    const answer = await db.runAndReadAll(statement);
    console.log(JSON.stringify(answer.getRowObjectsJson()));
  }
})();
