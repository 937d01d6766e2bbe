//! The example `shop`: what nearly every script does, in each language.

use std::collections::BTreeMap;

use serde_json::Value;

use super::language::{Language, PATIENCE};
use crate::support::command::{Squall, Summary};
use crate::support::script::logged;
use crate::support::server::Server;

/// With the same seed, customers in all languages look at the same items and buy
/// as much, and the host measures the same of them.
pub(crate) fn shop(language: Language) {
    let (counts, figures) = visited(language);
    let (counts_in_rust, figures_in_rust) = visited(Language::Rust);
    assert_eq!(counts, counts_in_rust);
    assert_eq!(figures, figures_in_rust);
}

/// Lets five customers visit the shop six times each: how often the server saw each
/// path, and what the summary says that does not depend on time.
fn visited(language: Language) -> (BTreeMap<String, u64>, Vec<String>) {
    let server = Server::start();
    let outcome = Squall::script(language.example("shop"))
        .flag("--base-url", server.url(""))
        .flag("--executor", "per-vu-iterations")
        .flag("--iterations", "6")
        .flag("--duration", "60s")
        .flag("--group-by", "kind")
        .script_env("ITEMS", "20")
        .timeout(PATIENCE)
        .run()
        .exited(0);
    let summary = outcome.summary();
    let failures = summary.failures();
    assert_eq!(summary.count("/iterations/finished"), 30);
    assert_eq!(summary.count("/iterations/failed"), 0, "{failures:?}");
    assert_eq!(failures, []);
    let messages = logged(&outcome, None);
    assert!(
        messages.iter().any(|message| message == "the shop closes"),
        "{messages:?}"
    );
    let mut orders: Vec<String> = messages
        .into_iter()
        .filter(|message| message.starts_with("user "))
        .collect();
    orders.sort();
    assert_eq!(orders.len(), 5, "each of five customers says goodbye");

    let mut counts = BTreeMap::new();
    for path in server.paths_below("/") {
        *counts.entry(path).or_insert(0) += 1;
    }
    add_up(&counts, &summary);
    let mut figures = figures(&summary);
    figures.extend(orders);
    (counts, figures)
}

/// What follows from the script, whatever its numbers were.
fn add_up(counts: &BTreeMap<String, u64>, summary: &Summary) {
    let count = |path: &str| counts.get(path).copied().unwrap_or(0);
    let (items, orders) = (count("/basket"), count("/checkout"));
    assert_eq!(count("/login"), 5);
    assert!((30..=90).contains(&items), "{items} items in 30 baskets");
    assert!((1..30).contains(&orders), "{orders} orders of 30 customers");
    // `setup` looks whether the shop is open, and whoever buys looks again.
    assert_eq!(count("/"), 1 + 30 + orders);
    assert_eq!(summary.row("/requests", "/item/[id]")["requests"], items);
    assert_eq!(summary.row("/requests", "/checkout")["requests"], orders);
    for (check, passes) in [
        ("the front page is there", 30),
        ("the page is complete", 30),
        ("the page shows the item", items),
        ("the item is in the basket", items),
    ] {
        let row = summary.row("/checks", check);
        assert_eq!(row["passes"], passes, "{check}");
        assert_eq!(row["failures"], 0, "{check}");
    }
    let checkout = summary.row("/transactions", "checkout");
    assert_eq!(checkout["duration"]["count"], orders);
    assert_eq!(checkout["failures"], 0);
    for (metric, kind, uses) in [
        ("basket_size", "gauge", 30),
        ("customers_who_buy", "rate", 30),
        ("revenue", "counter", orders),
        ("checkout_per_item_ms", "trend", orders),
    ] {
        let row = summary.row("/metrics", metric);
        assert_eq!(row["kind"], kind, "{metric}");
        assert_eq!(row["count"], uses, "{metric}");
    }
    // The script's own thresholds.
    let thresholds = summary.rows("/thresholds");
    assert_eq!(thresholds.len(), 2, "{thresholds:?}");
    assert!(
        thresholds
            .iter()
            .all(|threshold| threshold["passed"] == true)
    );
}

/// Names and counts of all that was measured.
fn figures(summary: &Summary) -> Vec<String> {
    let mut figures = Vec::new();
    let mut add = |list: &str, keys: &[&str]| {
        for row in summary.rows(list) {
            let values: Vec<&Value> = keys.iter().map(|key| &row[key]).collect();
            figures.push(format!("{list} {values:?}"));
        }
    };
    add(
        "/requests",
        &["method", "name", "requests", "failures", "statuses"],
    );
    add("/checks", &["name", "passes", "failures"]);
    add("/transactions", &["name", "failures"]);
    add("/thresholds", &["expression", "passed"]);
    add("/metrics", &["name", "kind", "count"]);
    let revenue = &summary.row("/metrics", "revenue")["value"];
    figures.push(format!("revenue {revenue}"));
    figures.push(format!("groups {}", kinds(summary)));
    figures.sort();
    figures
}

/// The requests of each value of the tag `kind`.
fn kinds(summary: &Summary) -> String {
    let groups = summary.rows("/groups");
    let kind = groups.iter().find(|group| group["tag"] == "kind");
    let values = kind.expect("it was asked for")["values"].as_array();
    let of = |row: &Value| format!("{} {}", row["value"], row["requests"]);
    let values: Vec<String> = values.expect("a list").iter().map(of).collect();
    values.join(", ")
}
