// Visits the front page, again and again.

import * as http from "squall:script/http";
import * as metrics from "squall:script/metrics";
import type { User } from "squall:script/user";
import { withStack } from "./stack";

export const user = withStack<User>({
  iterate() {
    const page = http.get("/", null);
    metrics.check("the front page is there", page.status() === 200);
  },
});
