/** A look into Baton's database, past the bridge: what was really kept, and what somebody with the file could do to it. */

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Baton } from "./baton";

const run = promisify(execFile);

const PROGRAM = `
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=10)
rows = [list(row) for statement in json.loads(sys.argv[2]) for row in database.execute(statement)]
database.commit()
print(json.dumps(rows))
`;

/** Runs these statements in one transaction; answers all rows. Needs Python 3, whose library reads SQLite. */
export async function sql(baton: Baton, ...statements: string[]): Promise<unknown[][]> {
  const file = join(baton.home, "state", "baton.sqlite3");
  const { stdout } = await run("python3", ["-c", PROGRAM, file, JSON.stringify(statements)], { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as unknown[][];
}

/** The numbers of all events after `seq` that are kept. */
export async function eventSeqs(baton: Baton, seq = 0): Promise<number[]> {
  return (await sql(baton, `SELECT seq FROM events WHERE seq > ${seq} ORDER BY seq`)).map(([number]) => number as number);
}
