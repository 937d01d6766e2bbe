// Visits the front page, again and again.

import * as http from "squall:script/http";
import * as metrics from "squall:script/metrics";
import { withStack } from "./stack.js";

export const user = withStack({
  iterate() {
    const page = http.get("/", null);
    metrics.check("the front page is there", page.status() === 200);
  },
});
