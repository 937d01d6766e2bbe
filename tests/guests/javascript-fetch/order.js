// Orders something with nothing but `fetch`: `--env SHOP=https://shop.test`.

import { check } from "squall:script/metrics@0.1.0";
import { getEnvironment } from "wasi:cli/environment@0.2.0";

async function order() {
  const shop = new Map(getEnvironment()).get("SHOP");
  // Both at once.
  const [found, basket] = await Promise.all([fetch(`${shop}/item/7`), fetch(`${shop}/basket`)]);
  const order = { item: (await found.json()).id, beside: (await basket.json()).items };
  const headers = { "content-type": "application/json" };
  const request = { method: "POST", headers, body: JSON.stringify(order) };
  const answer = await fetch(`${shop}/checkout`, request);
  check("the order is accepted", answer.ok && (await answer.json()).state === "accepted");
}

export const user = {
  iterate: () =>
    order().catch((error) => {
      // An error as such would not reach the host.
      throw `${error}\n${error.stack}`;
    }),
};
