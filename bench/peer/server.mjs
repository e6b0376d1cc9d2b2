// What a team would write in a day: Fastify, one handler, one transaction in Postgres.
// It checks the signature, parses the order, walks ten levels and writes the order with its rows.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import pg from "pg";

const { DATABASE_URL, PARENTS, WEBHOOK_SECRET } = process.env;
// Hundredths of a percent, from level 1.
const RATES = [500, 400, 300, 200, 150, 100, 100, 50, 50, 25];
const EARNS = "BENCH-EARNS";

const parents = new Map();
for (const line of readFileSync(PARENTS, "utf8").split("\n")) {
  const [id, parent] = line.split(",");
  if (id) parents.set(Number(id), Number(parent));
}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 16 });

// Rounds a half to the even one.
function share(cents, rate) {
  const product = cents * rate;
  const whole = Math.floor(product / 10000);
  const rest = product - whole * 10000;
  return rest > 5000 || (rest === 5000 && whole % 2 === 1) ? whole + 1 : whole;
}

function money(cents) {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
}

function believed(body, signature) {
  const expected = createHmac("sha256", WEBHOOK_SECRET).update(body).digest();
  const given = Buffer.from(signature ?? "", "base64");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function post(order, store) {
  const referrer = Number(order.note_attributes.find((note) => note.name === "ref")?.value);
  let cents = 0;
  for (const line of order.line_items) {
    if (line.sku === EARNS) cents += Math.round(Number(line.price) * 100) * line.quantity;
  }
  const levels = [];
  const distributors = [];
  const amounts = [];
  let at = referrer;
  for (let level = 1; level <= RATES.length && at; level += 1) {
    levels.push(level);
    distributors.push(at);
    amounts.push(money(share(cents, RATES[level - 1])));
    at = parents.get(at);
  }
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const inserted = await client.query({
      name: "order",
      text: `INSERT INTO peer.orders (order_id, store, referrer, total) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING`,
      values: [order.id, store, referrer, order.total_price],
    });
    if (inserted.rowCount > 0) {
      await client.query({
        name: "ledger",
        text: `INSERT INTO peer.ledger (order_id, level, distributor, amount, currency)
               SELECT $1, l, d, a, $5
               FROM unnest($2::smallint[], $3::bigint[], $4::numeric[]) AS r(l, d, a)`,
        values: [order.id, levels, distributors, amounts, order.currency],
      });
    }
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

const server = Fastify({ bodyLimit: 10 * 1024 * 1024 });
// The signature is over the raw bytes.
server.removeContentTypeParser("application/json");
server.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) =>
  done(null, body),
);
server.post("/webhooks/shopify/:store", async (request, reply) => {
  if (!believed(request.body, request.headers["x-shopify-hmac-sha256"])) {
    return reply.code(401).send({ error: "bad_signature" });
  }
  await post(JSON.parse(request.body), request.params.store);
  return { status: "accepted" };
});

await server.listen({ host: "127.0.0.1", port: 0 });
const { port } = server.server.address();
console.log(`listening on 127.0.0.1:${port}`);
